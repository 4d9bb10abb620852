"""How is a share or bound of one disk written into a cgroup? Pure but for looking up devices.

The driver writes it, as it does the weight: runtimes differ in which of these files they know.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.base import BlockLimit

WEIGHT_FILES_V1 = ("blkio.weight_device", "blkio.bfq.weight_device")
WEIGHT_FILES_V2 = ("io.bfq.weight", "io.weight")
BOUNDS_FILE_V2 = "io.max"

_BOUNDS_V1 = {
    "read_bps": "blkio.throttle.read_bps_device",
    "write_bps": "blkio.throttle.write_bps_device",
    "read_iops": "blkio.throttle.read_iops_device",
    "write_iops": "blkio.throttle.write_iops_device",
}
_BOUNDS_V2 = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}


def device_number(path: str) -> str:
    """Return `MAJOR:MINOR` of a block device of this node; raises TaskRejected."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise TaskRejected(f"the block device {path} cannot be limited: {error.strerror}") from None
    if not stat.S_ISBLK(status.st_mode):
        raise TaskRejected(f"{path} is no block device on this node")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def weight_on_v2(weight: int) -> int:
    """Return a weight from 10 to 1000 as `io.weight` has it, from 1 to 10000."""
    return 1 + (weight - 10) * 9999 // 990


def writes(limit: BlockLimit, number: str, version: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what to write for one device: files, of which the first that there is takes it, and the text."""
    if limit.weight and version == 1:
        yield WEIGHT_FILES_V1, f"{number} {limit.weight}"
    elif limit.weight:
        yield WEIGHT_FILES_V2[:1], f"{number} {limit.weight}"
        yield WEIGHT_FILES_V2[1:], f"{number} {weight_on_v2(limit.weight)}"
    if version == 1:
        for field, file in _BOUNDS_V1.items():
            if rate := getattr(limit, field):
                yield (file,), f"{number} {rate}"
    elif limit.is_bound:
        rates = (f"{name}={getattr(limit, field) or 'max'}" for field, name in _BOUNDS_V2.items())
        yield (BOUNDS_FILE_V2,), " ".join((number, *rates))
