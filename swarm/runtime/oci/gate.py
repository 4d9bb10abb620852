"""Lets a created container run its program without starting the OCI runtime once more.

`start` of crun and of our starter does nothing but write to a pipe at which the container's first process
waits. So do we; whatever is not as expected is left to the runtime's own `start`. runc has its pipe the
other way round, and hooks are the runtime's business: both take the long way.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from swarm.errors import TaskFailed
from swarm.runtime.oci.binaries import CRUN, STARTER
from swarm.runtime.starter import state as starter

_CRUN_GATE = "exec.fifo"  # crun and runc call a container `created` as long as this is there


def let_go(runtime: str, root: Path, container_id: str, config: Path) -> bool:
    """Return True when the container runs its program; False: ask the runtime. Blocks.

    `config` is the container's config.json. Raises TaskFailed when the program cannot be run.
    """
    name = Path(runtime).name
    if name == STARTER:
        return _open_starters(root, container_id)
    try:
        if name not in CRUN or b'"hooks"' in config.read_bytes():
            return False
        return _open_cruns(root / container_id / _CRUN_GATE)
    except OSError:
        return False


def opened_at_ns(runtime: str, root: Path, container_id: str, now_ns: int) -> int:
    """Return about when a container was let go, 0 for one that waits still; for an agent that was killed."""
    folder = root / container_id
    if Path(runtime).name == STARTER:
        with suppress(starter.Refused, OSError):
            if starter.status(str(root), container_id)["status"] == "created":
                return 0
    elif (folder / _CRUN_GATE).exists():
        return 0  # or the order came through just now: `let_go` will see
    try:
        return folder.stat().st_mtime_ns  # the gate was removed from it
    except OSError:
        return now_ns


def _open_cruns(gate: Path) -> bool:
    try:
        fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            # Nobody waits: an agent was killed between its order and the next line, or the container has
            # ended. The runtime will tell which, but would wait for ever for somebody at this pipe.
            gate.unlink()
        raise
    try:
        os.write(fd, b"\0")
    finally:
        os.close(fd)
    gate.unlink()
    return True


def _open_starters(root: Path, container_id: str) -> bool:
    try:
        starter.start(str(root), container_id)
    except (starter.NotWaiting, OSError):
        return False
    except starter.Refused as error:
        raise TaskFailed(str(error)) from None
    return True
