"""How much of a limit of its processes (`ulimit`) can this agent grant?"""

import re
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from swarm.model.capabilities import KNOWN, of_mask
from swarm.model.ulimits import NUMBERS, UNLIMITED, is_over
from swarm.runtime.base import Ulimit


def bounding_set(proc: Path = Path("/proc")) -> frozenset[str]:
    """Return the capabilities that this process, as root, can pass on."""
    status = (proc / "self/status").read_text("utf-8")
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return of_mask(int(found[1], 16)) if found else frozenset(KNOWN)


def may_raise_limits(proc: Path = Path("/proc")) -> bool:
    """Tell whether this process, as root, can go beyond its own limits.

    In a user namespace of its own it cannot, whatever capabilities it seems to have.
    """
    ids = (proc / "self/uid_map").read_text("ascii").split()
    return "CAP_SYS_RESOURCE" in bounding_set(proc) and ids == ["0", "0", "4294967295"]


def read_hard_limits(*, may_raise: bool, proc: Path = Path("/proc")) -> dict[str, int]:
    """Return the most that can be granted, by name; what is absent has no bound.

    `may_raise`: whether this process may go beyond its own hard limits.
    """
    limits = {}
    if not may_raise:
        for name, number in NUMBERS.items():
            hard = resource.getrlimit(number)[1]
            limits[name] = UNLIMITED if hard == resource.RLIM_INFINITY else hard
    most = int((proc / "sys/fs/nr_open").read_text("ascii"))  # nobody may have more
    files = limits.get("nofile", UNLIMITED)
    limits["nofile"] = most if files == UNLIMITED else min(files, most)
    return limits


def clamped(wanted: Ulimit, hard_limits: Mapping[str, int]) -> Ulimit:
    """Return as much of a limit as can be granted."""
    most = hard_limits.get(wanted.name, UNLIMITED)
    soft, hard = (most if is_over(value, most) else value for value in (wanted.soft, wanted.hard))
    return Ulimit(wanted.name, soft, hard)


def clamp_warnings(wanted: Sequence[Ulimit], hard_limits: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for every limit that is granted in part only."""
    for one in wanted:
        less = clamped(one, hard_limits)
        if less != one:
            yield f"ulimit {_text(one)} is more than this node can grant: {_text(less)}"


def _text(limit: Ulimit) -> str:
    return f"{limit.name}={limit.soft}:{limit.hard}"
