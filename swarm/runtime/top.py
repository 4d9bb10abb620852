"""What do processes do? Reads /proc; blocks for microseconds each."""

import os
from collections.abc import Iterable
from pathlib import Path

from swarm.clock import SECOND
from swarm.runtime.base import ProcessInfo

_TICK_NS = SECOND // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def read_processes(pids: Iterable[int]) -> list[ProcessInfo]:
    """Return what is known of the processes that still exist."""
    booted_ns = _booted_ns()
    return [found for pid in pids if (found := _read(pid, booted_ns)) is not None]


def _booted_ns() -> int:
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == "btime":
            return int(value) * SECOND
    return 0


def _read(pid: int, booted_ns: int) -> ProcessInfo | None:
    directory = Path(f"/proc/{pid}")
    try:
        stat = (directory / "stat").read_bytes()
        words = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        user = directory.stat().st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name in parentheses may hold spaces and parentheses itself: count from the last one.
    end = stat.rindex(b")")
    fields = stat[end + 2 :].split()
    command = b" ".join(words) or b"[" + stat[stat.index(b"(") + 1 : end] + b"]"
    return ProcessInfo(
        pid=pid,
        parent_pid=int(fields[1]),
        user=user,
        cpu_ns=(int(fields[11]) + int(fields[12])) * _TICK_NS,
        started_at_ns=booted_ns + int(fields[19]) * _TICK_NS,
        memory_bytes=int(fields[21]) * _PAGE_BYTES,
        command=command.decode("utf-8", "replace"),
    )
