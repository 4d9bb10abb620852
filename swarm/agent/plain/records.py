"""What a node writes down of its plain containers: one file each, outside of what belongs to the cluster.

They are nobody else's: what is lost here is lost. So every change is on disk before anything follows from
it, and a file that cannot be read keeps its container from being removed as a stranger's.
"""

from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from swarm.api.v1.plain_pb2 import PlainContainer
from swarm.runtime.images.durable import sync_folder, write_durably

log = structlog.get_logger(__name__)

_UNFINISHED = ".new"


class PlainRecords:
    """The files of all plain containers; every call blocks."""

    def __init__(self, directory: Path) -> None:
        """`directory` is made with the first container."""
        self._directory = directory

    def load(self) -> tuple[list[PlainContainer], frozenset[str]]:
        """Return the containers, oldest first, and the ids of those whose file cannot be read."""
        found: list[PlainContainer] = []
        unreadable: set[str] = set()
        for path in sorted(self._directory.glob("*")):
            if path.suffix == _UNFINISHED:
                path.unlink()
                continue
            record = _read(path)
            if record is None:
                log.error("agent.plain_container_unreadable", container_id=path.name, path=str(path))
                unreadable.add(path.name)
            else:
                found.append(record)
        found.sort(key=lambda one: (one.created_at.seconds, one.created_at.nanos, one.id))
        return found, frozenset(unreadable)

    def save(self, record: PlainContainer) -> None:
        """Write one down; raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(self._directory / record.id, record.SerializeToString())

    def delete(self, container_id: str) -> None:
        """Forget one; raises OSError."""
        (self._directory / container_id).unlink(missing_ok=True)
        if self._directory.is_dir():
            sync_folder(self._directory)


def _read(path: Path) -> PlainContainer | None:
    try:
        record = PlainContainer.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return None
    return record if record.id == path.name else None
