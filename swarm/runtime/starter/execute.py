"""Runs a command in a container that runs, as its parent, and ends with it."""

import json
import os
from typing import Any

from swarm.runtime.starter import cgroups, container, namespaces, process, state


def execute(root: str, container_id: str, request: str, pid_file: str = "", console: str = "") -> int:
    """Run the process that the file `request` describes; return its exit code, 128 + number of a signal.

    Raises Refused when there is no such container, no such program, or it cannot be run.
    """
    known = state.load(root, container_id)
    if state.status(root, container_id)["status"] != "running":
        raise state.Refused(f"cannot run a command in container {container_id}: it is not running")
    with open(request, encoding="utf-8") as file:
        wanted = json.load(file)
    with open(f"{root}/{container_id}/{state.FILTER}", "rb") as compiled:
        program = compiled.read()
    terminal = container.connected(console) if console else None
    limits = not _has_users(known)  # inside of other users nobody may raise one
    answers, answer = os.pipe()

    def inside() -> None:
        os.close(answers)
        with container.giving_up(answer):
            os.setsid()
            if wanted.get("terminal") and terminal is not None:
                process.send_terminal(wanted, terminal, console=False)
            path = process.take_on(wanted, program, limits=limits)
            process.run(wanted, path, program)  # which closes `answer`

    def before() -> None:
        process.set_oom_score(wanted)
        if not limits:
            process.set_limits(wanted)

    def adopt(child: int) -> None:
        cgroups.join(known["cgroup"], child)
        if pid_file:
            state.write_atomically(pid_file, str(child))

    child = namespaces.fork_into_existing(known["pid"], before, adopt, inside)
    os.close(answer)
    with open(answers, "rb") as said:
        complaint = said.read()
    code = child.wait()
    if complaint:
        raise state.Refused(complaint.decode("utf-8", "replace"))
    return code


def _has_users(known: dict[str, Any]) -> bool:
    theirs = os.stat(f"/proc/{known['pid']}/ns/user").st_ino
    return theirs != os.stat("/proc/self/ns/user").st_ino
