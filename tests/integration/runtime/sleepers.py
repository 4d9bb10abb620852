"""Processes that are known by how long they sleep."""

import secrets
from pathlib import Path


def marker() -> str:
    """Return a number of seconds that only one test sleeps for."""
    return str(10_000_000 + secrets.randbelow(80_000_000))


def sleepers(mark: str) -> set[str]:
    """Return the ids of the processes that sleep so long."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.add(entry.name)
        except OSError:
            continue
    return found
