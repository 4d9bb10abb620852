"""Giving the processes of a cgroup no time: version 1 and 2. Small files that block for microseconds."""

import time
from pathlib import Path

from swarm.errors import FailedPrecondition
from swarm.runtime.oci.cgroups import CgroupLayout

FREEZE_TIMEOUT_S = 5.0


def freeze(layout: CgroupLayout, path: str) -> None:
    """Stop all processes; blocks until they stand still. Raises FailedPrecondition where they cannot."""
    _write(layout, path, frozen=True)
    deadline = time.monotonic() + FREEZE_TIMEOUT_S
    while not is_frozen(layout, path):
        if time.monotonic() > deadline:
            _write(layout, path, frozen=False)
            raise FailedPrecondition("the kernel did not stop all processes of the container in time")
        time.sleep(0.01)


def thaw(layout: CgroupLayout, path: str) -> None:
    """Let them go on; no error when they never stood still, or are gone."""
    if _directory(layout, path) is not None:
        _write(layout, path, frozen=False)


def is_frozen(layout: CgroupLayout, path: str) -> bool:
    """Whether somebody stopped the processes; False when there is no such cgroup."""
    directory = _directory(layout, path)
    if directory is None:
        return False
    try:
        if layout.version == 2:
            return "frozen 1" in (directory / "cgroup.events").read_text("ascii")
        return (directory / "freezer.state").read_text("ascii").strip() == "FROZEN"
    except OSError:
        return False


def _write(layout: CgroupLayout, path: str, *, frozen: bool) -> None:
    directory = _directory(layout, path)
    if directory is None:
        raise FailedPrecondition("this kernel has no freezer: containers cannot be paused on this node")
    try:
        if layout.version == 2:
            (directory / "cgroup.freeze").write_text("1" if frozen else "0", "ascii")
        else:
            (directory / "freezer.state").write_text("FROZEN" if frozen else "THAWED", "ascii")
    except FileNotFoundError:
        if frozen:
            raise FailedPrecondition("the container has no processes to pause") from None


def _directory(layout: CgroupLayout, path: str) -> Path | None:
    root = layout.unified if layout.version == 2 else layout.mounts.get("freezer")
    return root / path.lstrip("/") if root else None
