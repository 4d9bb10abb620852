"""What a driver writes down about each container: one small file, replaced atomically.

The file is not fsynced: what it describes are processes, and none of them outlives the power failure that
could lose it. A container directory without a readable record is half made and is removed by `adopt`.
"""

import errno
import json
import os
import shutil
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from swarm.runtime.base import ContainerInfo, ContainerState

FORMAT = 1
_RUNS = 0o700


class Phase(StrEnum):
    """How far a container has come; only ever moves forward."""

    CREATED = "created"
    STARTING = "starting"  # the command may or may not run yet
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Record:
    """One container as its driver remembers it."""

    id: str
    boot_id: str
    phase: Phase = Phase.CREATED
    image_digest: str = ""
    runtime: str = ""  # program that created it and has to start it
    stop_signal: int = 15
    log_max_bytes: int = 0  # 0: the default
    log_files: int = 0
    pid: int = 0
    pid_started: int = 0  # clock ticks since boot, to tell the process from a later one with its id
    shim_pid: int = 0
    shim_started: int = 0
    started_at_ns: int = 0
    finished_at_ns: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    warnings: tuple[str, ...] = ()
    shares_pids: bool = False  # its processes do not end with the first one

    def ended(self, exit_code: int, seen_at_ns: int, *, oom_killed: bool) -> "Record":
        """Return the record of its end.

        `seen_at_ns` is the date of a file, which lags behind the clock by some milliseconds: no container
        ends before it was started.
        """
        return replace(
            self,
            phase=Phase.EXITED,
            exit_code=exit_code,
            finished_at_ns=max(seen_at_ns, self.started_at_ns),
            oom_killed=oom_killed,
        )

    def info(self) -> ContainerInfo:
        """Return what callers of the driver may know."""
        states = {Phase.CREATED: ContainerState.CREATED, Phase.EXITED: ContainerState.EXITED}
        return ContainerInfo(
            id=self.id,
            state=states.get(self.phase, ContainerState.RUNNING),
            pid=0 if self.phase is Phase.EXITED else self.pid,
            exit_code=self.exit_code,
            oom_killed=self.oom_killed,
            error=self.error,
            started_at_ns=self.started_at_ns,
            finished_at_ns=self.finished_at_ns,
            warnings=self.warnings,
        )


_NAMES = tuple(field.name for field in fields(Record))


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(content)
    temporary.rename(path)


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it; what vanishes meanwhile, or never was, is no error.

    A plain `rmtree` stops at the first entry that somebody else has removed or renamed, and leaves the rest.
    """

    def passed_over(_function: object, _path: str, reason: Any) -> None:
        if not isinstance(reason[1], FileNotFoundError):
            raise reason[1]

    for _ in range(10):
        shutil.rmtree(directory, onerror=passed_over)
        if not directory.exists():
            return
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(directory))


def write_record(path: Path, record: Record) -> None:
    """Write a container's record."""
    values = {name: getattr(record, name) for name in _NAMES}  # `asdict` takes ten times as long
    write_atomically(path, json.dumps({"format": FORMAT, **values}).encode())


def mark_running(path: Path, started_at_ns: int) -> None:
    """Make the record of a container that was created the record of one that runs; raises OSError.

    Its date and the mark of programs say so: nothing is written, and no other file takes its place.
    """
    os.utime(path, ns=(started_at_ns, started_at_ns))
    path.chmod(_RUNS)


def read_record(path: Path) -> Record | None:
    """Return a container's record, None when there is none that makes sense."""
    try:
        status = path.stat()
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            return None
        values = {key: value for key, value in document.items() if key in _NAMES}
        warnings = tuple(values.get("warnings", ()))
        record = Record(**{**values, "phase": Phase(values["phase"]), "warnings": warnings})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if record.phase is Phase.CREATED and status.st_mode & _RUNS == _RUNS:
        return replace(record, phase=Phase.RUNNING, started_at_ns=status.st_mtime_ns)
    return record
