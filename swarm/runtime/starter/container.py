"""Makes, starts and removes containers, and tells what became of them: the verbs of an OCI runtime.

`create` leaves a process that has everything of the container but its program; it waits at a pipe in the
state directory until `start` opens that. The parent of the process is who called us, or its subreaper.
"""

import json
import os
import select
import shutil
import signal
import socket
from contextlib import suppress
from typing import Any

from swarm.runtime.starter import cgroups, namespaces, process, rootfs, seccomp

_READY = b"ready"
_KILL_TIMEOUT_S = 10.0
STATE, FILTER, _GATE, _COMPLAINTS = "state.json", "filter", "start", "complaints"


class Refused(Exception):
    """What was asked for cannot be done, and why."""


def create(root: str, bundle: str, container_id: str, pid_file: str = "", console: str = "") -> None:
    """Make the container; raises Refused and leaves nothing but its cgroup, which the caller removes."""
    with open(f"{bundle}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    if config.get("hooks"):
        raise Refused("hooks of the container's specification: the Python starter runs none")
    program = _filter(config)
    state_dir = f"{root}/{container_id}"
    os.makedirs(state_dir, 0o700)
    for name in (_GATE, _COMPLAINTS):
        os.mkfifo(f"{state_dir}/{name}", 0o600)
    with open(f"{state_dir}/{FILTER}", "wb") as compiled:
        compiled.write(program)
    path = config["linux"]["cgroupsPath"]
    cgroups.make(path, config["linux"].get("resources") or {})
    terminal = connected(console) if console else None
    pid = _spawn(config, program, state_dir, terminal)
    state = {"id": container_id, "pid": pid, "started": start_time(pid), "bundle": bundle, "cgroup": path}
    write_atomically(f"{state_dir}/{STATE}", json.dumps(state))
    if pid_file:
        write_atomically(pid_file, str(pid))


def _filter(config: dict[str, Any]) -> bytes:
    try:
        return process.filter_for(config)
    except seccomp.Unsupported as error:
        raise Refused(str(error)) from None


def connected(path: str) -> socket.socket:
    """Return a connection to who waits for a terminal."""
    connection = socket.socket(socket.AF_UNIX)
    directory, _, name = path.rpartition("/")
    fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{fd}/{name}")  # the whole path may be too long for an address
    finally:
        os.close(fd)
    return connection


def _spawn(config: dict[str, Any], program: bytes, state_dir: str, terminal: socket.socket | None) -> int:
    """Fork the container's first process and return its id once only its program is missing."""
    own, linux = config["process"], config["linux"]
    has_users = any(one["type"] == "user" for one in linux["namespaces"])
    answers, answer = os.pipe()

    def before() -> None:
        process.set_oom_score(own)
        if has_users:  # inside nobody may raise a limit
            process.set_limits(own)

    def inside() -> None:
        os.close(answers)
        _be_first(config, program, state_dir, answer, terminal)

    def adopt(child: int) -> None:
        cgroups.join(linux["cgroupsPath"], child)

    child = namespaces.fork_into_new(linux, before, adopt, inside)
    os.close(answer)
    _await_ready(answers)
    return child.pid


def _await_ready(answers: int) -> None:
    """Return when the first process says that it is ready; raises Refused with what it says instead."""
    with open(answers, "rb") as file:
        said = file.read()
    if not said.startswith(_READY):
        raise Refused(said.decode("utf-8", "replace") or "the first process of the container ended at once")


def _be_first(
    config: dict[str, Any], program: bytes, state_dir: str, answer: int, terminal: socket.socket | None
) -> None:
    """Be the container's first process: set everything up, answer, wait, and become the program."""
    own = config["process"]
    # Held for reading and writing: so neither waits for the other side, and none is ever broken.
    gate, complaints = (
        os.open(f"{state_dir}/{name}", os.O_RDWR | os.O_CLOEXEC) for name in (_GATE, _COMPLAINTS)
    )
    with giving_up(answer):
        os.setsid()
        rootfs.build(config)
        if config.get("hostname"):
            socket.sethostname(config["hostname"])
        if own.get("terminal") and terminal is not None:
            process.send_terminal(own, terminal, console=True)
        rootfs.finish(config)
        path = process.take_on(own, program, limits=not config["linux"].get("uidMappings"))
    os.write(answer, _READY)
    os.close(answer)
    os.read(gate, 1)
    try:
        process.run(own, path, program)
    except OSError as error:
        os.write(complaints, f'exec: "{own["args"][0]}": {(error.strerror or "").lower()}'.encode())
    os._exit(127)


class giving_up:  # noqa: N801 -- used as a word of `with`
    """Says on a pipe what went wrong, and ends the process."""

    def __init__(self, answer: int) -> None:
        """`answer` is read by who started us."""
        self._answer = answer

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End the process if there was an error."""
        if error is not None:
            os.write(self._answer, readable(error).encode())
            os._exit(1)


def readable(error: BaseException) -> str:
    """Return what a person is told of an error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def start(root: str, container_id: str) -> None:
    """Let the created container run its program; raises Refused when it was started before, or is gone."""
    load(root, container_id)
    gate = _open_gate(root, container_id)
    if gate is None:
        raise Refused(f"container {container_id} is not in the state `created`")
    complaints = os.open(f"{root}/{container_id}/{_COMPLAINTS}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(gate, b"x")
    os.close(gate)
    os.set_blocking(complaints, True)
    with open(complaints, "rb") as file:  # it ends with the program's start, which closes the other side
        complaint = file.read()
    if complaint:
        raise Refused(complaint.decode("utf-8", "replace"))


def _open_gate(root: str, container_id: str) -> int | None:
    """Return the way to a process that waits for its start, None when none waits."""
    try:
        return os.open(f"{root}/{container_id}/{_GATE}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
        fd = os.pidfd_open(state["pid"])
        if start_time(state["pid"]) == state["started"]:  # asked now that the id cannot change hands
            signal.pidfd_send_signal(fd, number)
            if wait:
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
