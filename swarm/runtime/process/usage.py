"""What does a process use together with its descendants? Read from /proc."""

import os
from pathlib import Path

from swarm.runtime.base import Sample
from swarm.runtime.processes import children

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_sample(pid: int) -> Sample | None:
    """Return the use of a process and its descendants, None when it is gone.

    The processor time includes that of ended children which somebody has waited for.
    """
    usage = _usage(pid)
    if usage is None:
        return None
    cpu_ns, memory_bytes = usage
    count = 1
    left = list(children(pid))
    while left:
        child = left.pop()
        usage = _usage(child)
        if usage is not None:
            cpu_ns, memory_bytes, count = cpu_ns + usage[0], memory_bytes + usage[1], count + 1
            left.extend(children(child))
    return Sample(cpu_usage_ns=cpu_ns, memory_bytes=memory_bytes, pids=count)


def tree_pids(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left.extend(children(found[-1]))
    return found


def _usage(pid: int) -> tuple[int, int] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        resident = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return sum(map(int, fields[11:15])) * _TICK_NS, resident * _PAGE_BYTES
