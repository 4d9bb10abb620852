"""Which records are asked for, and in which order do those of several managers stand? Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from swarm.api.v1.users_pb2 import AuditRecord, ReadAuditRequest
from swarm.clock import nanoseconds
from swarm.security.audit import BEGUN, DENIED

RECORDS_MAX = 10_000  # of one manager in one answer: its newest


@dataclass(frozen=True, slots=True)
class Selection:
    """What somebody asks for; times in nanoseconds since the epoch."""

    denied: bool
    users: frozenset[str]
    since_ns: int
    tail: int

    @classmethod
    def of(cls, request: ReadAuditRequest) -> "Selection":
        """Return what a request asks for; nobody gets more than RECORDS_MAX."""
        tail = min(request.tail or RECORDS_MAX, RECORDS_MAX)
        return cls(request.denied, frozenset(request.users), nanoseconds(request.since), tail)

    def wants(self, record: AuditRecord) -> bool:
        """Whether a record is asked for."""
        return (
            (not self.denied or record.outcome == DENIED)
            and (not self.users or record.user in self.users)
            and nanoseconds(record.at) >= self.since_ns
        )

    def last(self, records: Iterable[AuditRecord]) -> list[AuditRecord]:
        """Return the newest of all that is asked for, oldest first, one record a call."""
        return merged(records)[-self.tail :]


def merged(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    """Return records in order of time, of each call the one that says most.

    A call that was passed on stands in the trails of two managers, one that goes on twice in the same.
    """
    best: dict[str, AuditRecord] = {}
    for record in records:
        known = best.get(record.id)
        if known is None or _says(record) > _says(known):
            best[record.id] = record
    return sorted(best.values(), key=lambda one: (nanoseconds(one.at), one.id))


def _says(record: AuditRecord) -> tuple[bool, bool, int]:
    """Of the same outcome the later record counts: it is that of the manager that was asked."""
    return (record.outcome != BEGUN, bool(record.object), nanoseconds(record.at))
