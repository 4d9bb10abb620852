"""Names for cgroups of tests, and which test has left one behind."""

import contextlib
import os
import secrets
import time
from pathlib import Path

from swarm.runtime.oci.cgroups import read_layout

GONE_S = 60.0  # the kernel lets go of a cgroup a moment after its last process

_made: dict[str, str] = {}  # name → the test that was running


def cgroup_name() -> str:
    """Return a name that no other test has, of a cgroup that is to be gone at the end of the tests."""
    name = f"swarm-test-{secrets.token_hex(4)}"
    _made[name] = os.environ.get("PYTEST_CURRENT_TEST", "a fixture").split(" ")[0]
    return name


def left() -> list[str]:
    """Return a line for each such cgroup that is still there."""
    return [f"{path}, made in {test}" for name, test in _made.items() for path in _places(name)]


def remove(name: str) -> None:
    """Remove a cgroup and all in it, which has no processes any more or loses them just now."""
    deadline = time.monotonic() + GONE_S
    while (places := _places(name)) and time.monotonic() < deadline:
        for place in places:
            for path in (*sorted(place.rglob("*/"), reverse=True), place):
                with contextlib.suppress(OSError):
                    path.rmdir()
        time.sleep(0.02)


def _places(name: str) -> list[Path]:
    return [path for root in read_layout().roots if (path := root / name).is_dir()]
