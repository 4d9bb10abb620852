"""A command beside a plain process: with the same environment, directory and view of the image."""

import json
import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from swarm.errors import FailedPrecondition, TaskRejected
from swarm.runtime.base import ExecConfig, ExecProcess
from swarm.runtime.command import environment
from swarm.runtime.exec_process import (
    NOT_FOUND,
    NOT_RUNNABLE,
    ExecFiles,
    FailedExec,
    PipedExec,
    exec_mark,
)
from swarm.runtime.process.view import find_program, resolve_inside
from swarm.runtime.processes import Process, carriers, kill_all
from swarm.runtime.terminal import Terminal


class PlainExec(PipedExec):
    """A process of this node, told apart with all that it starts by its environment."""

    def _command_pid(self) -> int:
        return self._process.pid

    def limit(self, limits: Mapping[str, Sequence[int]]) -> None:
        """Set the limits of the task, (soft, hard) by number; what it starts from now on has them too."""
        for number, (soft, hard) in limits.items():
            with suppress(ProcessLookupError):
                resource.prlimit(self._process.pid, int(number), (soft, hard))

    def _members(self) -> list[Process]:
        return carriers(exec_mark(self._files.exec_id))


async def start_exec(container: Path, files: ExecFiles, config: ExecConfig) -> ExecProcess:
    """Start a command for the process whose files are in `container`; raises FailedPrecondition."""
    try:
        spec: dict[str, Any] = json.loads((container / "spec.json").read_bytes())
        terminal = {"TERM": "xterm"} if config.tty else {}
        variables = environment({**terminal, **spec["env"]}, config.env, [exec_mark(files.exec_id)])
    except (OSError, ValueError, TaskRejected) as error:
        raise FailedPrecondition(f"cannot run a command here: {error}") from error
    view = container / "rootfs"
    name = config.command[0]
    program = find_program(name, variables.get("PATH", ""), view)
    if program is None:
        reason = "no such file or directory" if "/" in name else "not found in $PATH"
        return FailedExec(NOT_FOUND, f'exec: "{name}": {reason}')
    inside = resolve_inside(view, config.working_dir) if config.working_dir else Path(spec["cwd"])
    if inside is None or not inside.is_dir():
        return FailedExec(NOT_RUNNABLE, f"there is no directory {config.working_dir}")
    files.request.touch(mode=0o600)  # tells the next agent whom to look for
    process = PlainExec(files, Terminal.wanted(config))
    try:
        await process.launch(
            config.command,
            env=variables,
            cwd=str(inside),
            stdin=config.stdin,
            program=str(program),
        )
    except OSError as error:
        files.remove()
        return FailedExec(NOT_RUNNABLE, f'exec: "{name}": {(error.strerror or str(error)).lower()}')
    process.limit(spec["rlimits"])
    return process


def kill_left_exec(files: ExecFiles) -> None:
    """Kill what an earlier agent had started."""
    kill_all(lambda: carriers(exec_mark(files.exec_id)))
