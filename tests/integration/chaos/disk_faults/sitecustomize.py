"""Python imports this at start in daemons whose disk is to be bad: a file says what syncing does.

`sleep SECONDS` makes it slow, `skip` makes it do nothing, `fail ERRNO` makes it fail; without a file, or
with an empty one, the disk is good. The file has the name of the node, in the folder that the
environment names.
"""

import os
import sys
import time

FOLDER = "SWARM_TEST_DISK_FAULTS"
_real = os.fdatasync


def _orders() -> list[str]:
    try:
        with open(_file) as file:  # noqa: PTH123  # before anything else is imported
            return file.read().split()
    except FileNotFoundError:
        return []


def _fdatasync(descriptor: int) -> None:
    orders = _orders()
    if orders[:1] == ["skip"]:
        return
    if orders[:1] == ["fail"]:
        raise OSError(int(orders[1]), os.strerror(int(orders[1])))
    _real(descriptor)
    if orders[:1] == ["sleep"]:
        time.sleep(float(orders[1]))


_names = [part.partition("=")[2] for part in sys.orig_argv if part.startswith("--hostname=")]
if _names and os.environ.get(FOLDER):
    _file = f"{os.environ[FOLDER]}/{_names[0]}"
    os.fdatasync = _fdatasync  # type: ignore[assignment]
