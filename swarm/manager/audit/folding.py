"""Denials that repeat themselves become one record with a count: nobody pushes out all others. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from swarm.api.v1.users_pb2 import AuditRecord
from swarm.clock import SECOND, nanoseconds
from swarm.security.audit import DENIED

SPAN_NS = 60 * SECOND  # so long after one was written down, those alike are counted only
KEYS_MAX = 1024  # whoever has more certificates than that is not stopped by this


@dataclass(slots=True)
class _Kept:
    until_ns: int
    last: AuditRecord | None = None


class Folding:
    """Decides which records are written at once; the rest comes out of `due` as one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], _Kept] = {}

    def take(self, record: AuditRecord) -> bool:
        """Whether a record is counted, and not to be written by itself."""
        if record.outcome != DENIED:
            return False
        now_ns = nanoseconds(record.at)
        key = (record.user, record.node_id, record.role, record.rpc, record.reason)
        kept = self._kept.get(key)
        if kept is None or (now_ns >= kept.until_ns and kept.last is None):
            if len(self._kept) < KEYS_MAX or kept is not None:
                self._kept[key] = _Kept(now_ns + SPAN_NS)
            return False
        times = (kept.last.times if kept.last is not None else 0) + 1
        kept.last = AuditRecord()
        kept.last.CopyFrom(record)
        kept.last.times = times
        return True

    def waiting(self) -> Iterator[AuditRecord]:
        """Yield what is counted so far, as it would be written now."""
        for kept in self._kept.values():
            if kept.last is not None:
                yield kept.last

    def due(self, now_ns: int | None) -> list[AuditRecord]:
        """Return what is to be written now, None: everything, and forget it."""
        over = [key for key, kept in self._kept.items() if now_ns is None or now_ns >= kept.until_ns]
        found = [self._kept.pop(key).last for key in over]
        return [one for one in found if one is not None]
