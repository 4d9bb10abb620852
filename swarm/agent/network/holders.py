"""Which program has a port of this node? For the message that refuses a task."""

from collections.abc import Iterator
from pathlib import Path

from swarm.agent.network.ports import Key

_LISTEN = "0A"
_UNCONNECTED = "07"


def holder_of(port: Key) -> str:
    """Return e.g. "nginx (pid 812)" for who has the port, empty when that cannot be told."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not wanted:
        return ""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_open(process, wanted):
            return f"{_name(process)} (pid {process.name})"
    return ""


def _inodes(port: Key) -> Iterator[str]:
    protocol, number, _ = port
    state = _LISTEN if protocol == "tcp" else _UNCONNECTED
    for table in (protocol, f"{protocol}6"):
        for line in _lines(Path("/proc/thread-self/net") / table)[1:]:
            fields = line.split()
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == number:
                yield fields[9]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _has_open(process: Path, wanted: set[str]) -> bool:
    try:
        return any(_target(entry) in wanted for entry in (process / "fd").iterdir())
    except OSError:  # it ended, or is not ours to look into
        return False


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a program"
