"""What is written down of a container, and the verbs that need nothing else: start, state, kill, delete.

Kept apart from `create`: whoever only opens a gate has not to load what builds the house.
"""

import errno
import json
import os
import signal
from contextlib import suppress
from typing import Any

STATE, FILTER, GATE, COMPLAINTS = "state.json", "filter", "start", "complaints"
_KILL_TIMEOUT_S = 10.0
_START_TIMEOUT_S = 25.0


class Refused(Exception):
    """What was asked for cannot be done, and why."""


class NotWaiting(Refused):
    """The container was started before, or never got so far."""


def readable(error: BaseException) -> str:
    """Return what a person is told of an error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def start(root: str, container_id: str) -> None:
    """Let the created container run its program; raises Refused when it cannot, NotWaiting."""
    load(root, container_id)
    gate = _open_gate(root, container_id)
    if gate is None:
        raise NotWaiting(f"container {container_id} is not in the state `created`")
    complaints = os.open(f"{root}/{container_id}/{COMPLAINTS}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(gate, b"x")
    os.close(gate)
    with open(complaints, "rb") as file:  # it ends with the program's start, which closes the other side
        import select

        if not select.select([file], (), (), _START_TIMEOUT_S)[0]:
            raise Refused(f"the program did not start in {_START_TIMEOUT_S:.0f} s")
        os.set_blocking(complaints, True)
        complaint = file.read()
    if complaint:
        raise Refused(complaint.decode("utf-8", "replace"))


def _open_gate(root: str, container_id: str) -> int | None:
    """Return the way to a process that waits for its start, None when none waits."""
    try:
        return os.open(f"{root}/{container_id}/{GATE}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def status(root: str, container_id: str) -> dict[str, Any]:
    """Return what `state` prints; raises Refused for an unknown container."""
    state = load(root, container_id)
    alive = start_time(state["pid"]) == state["started"]
    gate = _open_gate(root, container_id)
    waiting = gate is not None
    if gate is not None:
        os.close(gate)
    word = "stopped" if not alive else "created" if waiting else "running"
    return {
        "ociVersion": "1.0.2",
        "id": container_id,
        "pid": state["pid"] if alive else 0,
        "status": word,
        "bundle": state["bundle"],
    }


def load(root: str, container_id: str) -> dict[str, Any]:
    """Return what was written down of a container; raises Refused for an unknown one."""
    try:
        with open(f"{root}/{container_id}/{STATE}", encoding="utf-8") as file:
            state: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        raise Refused(f"container {container_id} does not exist") from None
    return state


def signal_first(root: str, container_id: str, number: int, *, wait: bool = False) -> None:
    """Send a signal to the container's first process; raises Refused when it does not run."""
    state = load(root, container_id)
    with suppress(ProcessLookupError):
        try:
            fd = os.pidfd_open(state["pid"])
        except OSError as error:
            if error.errno != errno.EINVAL:  # it is being taken down (kernel 6.1)
                raise
            raise ProcessLookupError from None
        if start_time(state["pid"]) == state["started"]:  # asked now that the id cannot change hands
            signal.pidfd_send_signal(fd, number)
            if wait:
                import select

                select.select([fd], [], [], _KILL_TIMEOUT_S)
            return
    raise Refused(f"container {container_id} is not running")


def delete(root: str, container_id: str, *, force: bool = False) -> None:
    """Forget a container that has ended or was never started; raises Refused for one that runs."""
    word = status(root, container_id)["status"]
    if word == "running" and not force:
        raise Refused(f"container {container_id} is running: kill it first")
    if word != "stopped":
        signal_first(root, container_id, signal.SIGKILL, wait=True)
    import shutil

    from swarm.runtime.starter import cgroups

    with suppress(OSError):
        cgroups.remove(load(root, container_id)["cgroup"])
    shutil.rmtree(f"{root}/{container_id}")


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    words = stat[stat.rindex(b")") + 2 :].split()
    return 0 if words[0] in {b"Z", b"X"} else int(words[19])


def write_atomically(path: str, text: str) -> None:
    """Replace a file as a whole."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(f"{path}.new", path)
