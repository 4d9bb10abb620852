"""A command in a container by the OCI runtime: what it is asked to run, and which processes are its own."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swarm.runtime.base import ExecConfig
from swarm.runtime.command import environment
from swarm.runtime.exec_process import NOT_FOUND, NOT_RUNNABLE, ExecFiles, PipedExec, exec_mark
from swarm.runtime.oci.cgroups import Cgroup
from swarm.runtime.oci.conmon import readable_error
from swarm.runtime.oci.users import User
from swarm.runtime.processes import Process, carriers, descendants, kill_all, living, running_with
from swarm.runtime.terminal import Terminal

_STATUS = Path("/proc/self/status")
_LOOK_AGAIN_S = 0.01
_SCORED = 'echo "$0" >/proc/self/oom_score_adj; exec "$@"'
# In the order of their numbers.
_ALL_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
)


def exec_process(
    own: Mapping[str, Any], config: ExecConfig, mark: str, user: User | None, grantable: int
) -> dict[str, Any]:
    """Return the process to run beside a container's `own` process, in the words of its config.json.

    `mark` is an entry for its environment; `user` replaces the container's; `grantable` are the capabilities
    that a privileged command can have, as a mask. Raises TaskRejected for a senseless environment.
    """
    process = dict(own)
    variables = environment({}, own.get("env", ()))
    if user is not None:
        process["user"] = {
            "uid": user.uid,
            "gid": user.gid,
            "additionalGids": list(user.additional_gids),
        }
        variables["HOME"] = user.home
    if config.tty:
        variables.setdefault("TERM", "xterm")
    variables = environment(variables, config.env, [mark])
    process |= {
        "terminal": config.tty,
        "args": list(config.command),
        "env": [f"{key}={value}" for key, value in variables.items()],
        "cwd": config.working_dir or own.get("cwd", "/"),
    }
    process.pop("consoleSize", None)
    if config.tty and config.rows and config.columns:
        process["consoleSize"] = {"height": config.rows, "width": config.columns}
    if config.privileged:
        names = [f"CAP_{name}" for at, name in enumerate(_ALL_CAPABILITIES.split()) if grantable >> at & 1]
        process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
        process["noNewPrivileges"] = False
    return process


def grantable_capabilities() -> int:
    """Return the capabilities of this agent, as a mask: nobody can give more than that."""
    text = _STATUS.read_text("ascii", "replace")
    return int(text.partition("CapBnd:")[2].split()[0], 16)


def exec_command(
    runtime: str, root: Path, files: ExecFiles, container_id: str, oom_score_adj: int
) -> list[str]:
    """Return the command line that runs what `files` ask for, and ends with it."""
    # With crun a command has the score of crun, which is that of the agent, until somebody sets it.
    scored = Path(runtime).name.startswith("crun")
    return [
        *(("/bin/sh", "-c", _SCORED, str(oom_score_adj)) if scored else ()),
        runtime,
        f"--root={root}",
        f"--log={files.complaint}",
        "exec",
        f"--process={files.request}",
        f"--pid-file={files.pid}",
        container_id,
    ]


def write_request(files: ExecFiles, process: Mapping[str, Any]) -> None:
    """Write what is to be run; it holds the environment of the container."""
    files.request.touch(mode=0o600)
    files.request.write_text(json.dumps(process), "utf-8")


class OciExec(PipedExec):
    """A command in a container; the OCI runtime is its parent and ends with its exit code.

    With runc also `wait` lasts until nobody holds the output any more: it copies that itself.
    """

    def __init__(
        self, files: ExecFiles, cgroup: Cgroup, name: str, terminal: Terminal | None = None
    ) -> None:
        """`cgroup` is the container's; `name` is the first word of the command."""
        super().__init__(files, terminal)
        self._cgroup = cgroup
        self._name = name

    def _command_pid(self) -> int:
        # The id that the file names belongs to the command as long as the runtime has not seen its end.
        try:
            return int(self._files.pid.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _members(self) -> list[Process]:
        runtime = [] if self.ended else [self._process.pid]
        return _members(runtime, self._cgroup, self._files.exec_id)

    def _outcome(self, code: int) -> tuple[int, str]:
        if not code:
            return code, ""
        said = self._complaint()
        if not said or _is_a_warning(said):
            return code, ""
        complaint = readable_error(said[-2000:], self._name)
        missing = "not found" in complaint or "no such file" in complaint.lower()
        return NOT_FOUND if missing else NOT_RUNNABLE, complaint

    async def _is_under_way(self) -> bool:
        # crun and runc write why they cannot run it into its output too, where it would be said twice.
        while not self._reaper.done():
            if await asyncio.to_thread(self._has_begun):
                return True
            await asyncio.wait({self._reaper}, timeout=_LOOK_AGAIN_S)
        _, complaint = self._reaper.result()
        return not complaint

    def _has_begun(self) -> bool:
        pid = self._command_pid()
        try:
            # Until the program takes its place, it is a child of the runtime with the runtime's program.
            begun = not Path(f"/proc/{pid}/exe").samefile(f"/proc/{self._process.pid}/exe")
        except OSError:  # there is none yet, or one of them has ended
            begun = bool(pid) and not self._complaint()
        return begun and self._files.request.exists()  # which is removed before what was just read

    def _complaint(self) -> str:
        try:
            return self._files.complaint.read_text("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""


def kill_left_exec(files: ExecFiles, cgroup: Cgroup) -> None:
    """Kill what an earlier agent had started: the runtime, known by its command line, and the command."""
    request = f"--process={files.request}".encode()

    def find() -> list[Process]:
        runtimes = running_with(request)
        return [*_members([one.pid for one in runtimes], cgroup, files.exec_id), *runtimes]

    kill_all(find)


def _members(runtimes: Sequence[int], cgroup: Cgroup, exec_id: str) -> list[Process]:
    """Return what the runtimes are about to start, and what the command has started, wherever it went."""
    started = living(descendants(runtimes))
    seen = {process.pid for process in started}
    return [*started, *carriers(exec_mark(exec_id), [pid for pid in cgroup.processes() if pid not in seen])]


def _is_a_warning(said: str) -> bool:
    return all("level=warning" in line for line in said.splitlines())
