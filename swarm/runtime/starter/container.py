"""Makes containers: the verb `create` of an OCI runtime.

`create` leaves a process that has everything of the container but its program; it waits at a pipe in the
state directory until `start` opens that. The parent of the process is who called us, or its subreaper.
"""

import json
import os
import socket
from typing import Any

from swarm.runtime.starter import cgroups, namespaces, process, rootfs, seccomp
from swarm.runtime.starter.state import (
    COMPLAINTS,
    FILTER,
    GATE,
    STATE,
    Refused,
    readable,
    start_time,
    write_atomically,
)

_READY = b"ready"


def create(root: str, bundle: str, container_id: str, pid_file: str = "", console: str = "") -> None:
    """Make the container; raises Refused and leaves nothing but its cgroup, which the caller removes."""
    with open(f"{bundle}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    if config.get("hooks"):
        raise Refused("hooks of the container's specification: the Python starter runs none")
    program = _filter(config)
    state_dir = f"{root}/{container_id}"
    os.makedirs(state_dir, 0o700)
    for name in (GATE, COMPLAINTS):
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
    # Held for reading and writing: so neither waits for the other side, and none is ever broken. Opened as
    # the node's root: users of the container's own may not look into this directory.
    gate, complaints = (
        os.open(f"{state_dir}/{name}", os.O_RDWR | os.O_CLOEXEC) for name in (GATE, COMPLAINTS)
    )

    def before() -> None:
        process.set_oom_score(own)
        if has_users:  # inside nobody may raise a limit
            process.set_limits(own)

    def inside() -> None:
        os.close(answers)
        _be_first(config, program, (gate, complaints, answer), terminal)

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
    config: dict[str, Any], program: bytes, pipes: tuple[int, int, int], terminal: socket.socket | None
) -> None:
    """Be the container's first process: set everything up, answer, wait, and become the program."""
    own = config["process"]
    gate, complaints, answer = pipes
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
