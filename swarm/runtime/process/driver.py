"""Plain processes, for machines where no container can run: an unprivileged laptop, a locked-down CI.

What is reduced stands in `Capabilities.info`. The life cycle is the same as that of containers: a shim holds
each process, so it outlives the agent.
"""

import asyncio
import json
import os
import pwd
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from swarm.errors import FailedPrecondition, TaskFailed, TaskRejected, UserError
from swarm.ids import new_id
from swarm.runtime.abilities import Ability
from swarm.runtime.base import (
    Capabilities,
    ContainerConfig,
    ExecConfig,
    ExecProcess,
    ImageMount,
    Limits,
    ProcessInfo,
    Sample,
    TmpfsMount,
)
from swarm.runtime.changes import Change
from swarm.runtime.command import DEFAULT_PATH, command_line, environment, stop_signal
from swarm.runtime.exec_process import ExecFiles
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.logs import KEPT_FILES, MAX_FILE_BYTES
from swarm.runtime.process.exec import kill_left_exec, start_exec
from swarm.runtime.process.options import process_limits, refuse_options
from swarm.runtime.process.usage import tree_pids, tree_sample
from swarm.runtime.process.view import build_view, find_program, resolve_inside
from swarm.runtime.processes import Process, boot_id, carriers, kill_all, kill_and_wait, running_with
from swarm.runtime.renewing_driver import RenewingDriver
from swarm.runtime.state import Phase, Record, remove_tree, write_atomically
from swarm.runtime.supervision import Container
from swarm.runtime.top import read_processes
from swarm.runtime.ulimits import clamp_warnings, may_raise_limits, read_hard_limits

START_TIMEOUT_S = 30.0
_AGAIN_S = 0.02  # to look for what a shim is about to write
TASK_VARIABLE = "SWARM_TASK_ID"
# Of memory a limit for each process is kept; the other limits hold for the shim's children as for any.
ABILITIES = frozenset({Ability.MEMORY, Ability.ULIMITS})
IGNORED = frozenset(
    {
        *(Ability.CPUS, Ability.PIDS, Ability.CPU_SHARES, Ability.READ_ONLY, Ability.TTY, Ability.INIT),
        *(Ability.NO_NEW_PRIVILEGES, Ability.SHARED_NAMESPACES, Ability.OOM, Ability.HOSTNAME),
        Ability.USERS,
    }
)
_SHIM = Path(__file__).with_name("shim.py")


class ProcessDriver(RenewingDriver):
    """Processes of this node's own user, told apart by their environment."""

    async def probe(self) -> Capabilities:
        """Say what is missing compared to containers."""
        return Capabilities(
            driver="process",
            isolated=False,
            abilities=ABILITIES,
            ignored=IGNORED,
            info={
                "runtime": "plain processes",
                "why": "no containers on this node",
                "not_isolated": "file system, network, users, process ids and host name are the node's own",
                "not_enforced": "cpu and pids limits, read-only root, tty, the image's user, capabilities, "
                "no-new-privileges, hidden paths",
                "ignored": "cpu shares, memory swap and swappiness, disk weight, init, shared namespaces",
                "memory_limit": "per process (RLIMIT_DATA)",
                "refused": "mounts other than onto the same path, tmpfs, network namespaces, other users, "
                "options that change what a program sees or gains",
            },
        )

    async def foresee(self, config: ContainerConfig) -> Sequence[str]:
        """Return the warnings that its process would have."""
        return _warnings(config)

    async def _make(self, config: ContainerConfig) -> Container:
        try:
            image = self._layers.image_config(config.image_digest)
            layers = self._layers.lower_dirs(config.image_digest)
            self._layers.lease(config.id, config.image_digest)
        except UserError as error:
            raise TaskRejected(str(error)) from error
        refuse_options(config)
        _refuse_what_is_missing(config)
        await self._in_thread(self._prepare, config, image, layers)
        record = Record(
            id=config.id,
            boot_id=boot_id(),
            image_digest=config.image_digest,
            stop_signal=stop_signal(config, image),
            warnings=_warnings(config),
        )
        return Container(await self._in_thread(self._write_down, record))

    def _prepare(self, config: ContainerConfig, image: ImageConfig, layers: Sequence[Path]) -> None:
        directory = self._container_dir(config.id)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._exit_file(config.id).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        view = directory / "rootfs"
        build_view(layers, view)
        variables = environment(
            {
                "PATH": DEFAULT_PATH,
                "HOME": str(directory / "home"),
                "HOSTNAME": config.hostname or config.id[:12],
            },
            image.env,
            config.env,
        )
        line = command_line(config, image)
        program = find_program(line[0], variables["PATH"], view)
        if program is None:
            reason = "no such file or directory" if "/" in line[0] else "not found in $PATH"
            raise TaskRejected(f'exec: "{line[0]}": {reason}')
        (directory / "home").mkdir(exist_ok=True)
        spec = {
            "program": str(program),
            "argv": line,
            "env": self._environment(config, variables, view),
            "cwd": str(_working_dir(config.working_dir or image.working_dir, view, directory / "home")),
            "rlimits": process_limits(config, _hard_limits()),
            "log": str(self._log_path(config.id)),
            "log_max_bytes": config.log_max_bytes or MAX_FILE_BYTES,
            "log_kept_files": config.log_files or KEPT_FILES,
            "processes_file": str(directory / "processes.json"),
            "exit_file": str(self._exit_file(config.id)),
        }
        write_atomically(directory / "spec.json", json.dumps(spec).encode())
        self._log_path(config.id).touch(mode=0o600)

    def _environment(self, config: ContainerConfig, variables: dict[str, str], view: Path) -> dict[str, str]:
        inside = [str(view / entry.lstrip("/")) for entry in variables["PATH"].split(":") if entry]
        return {
            **variables,
            "PATH": ":".join([*inside, variables["PATH"], os.environ.get("PATH", DEFAULT_PATH)]),
            TASK_VARIABLE: config.id,
            "SWARM_TASK_ADDRESS": config.address,
            "SWARM_TASK_ROOTFS": str(view),
        }

    async def _launch(self, record: Record) -> Record:
        directory = self._container_dir(record.id)
        # A name of its own: the shim of an agent that was killed must not take the permit of the next one's.
        permit = directory / f"permit-{new_id()}"
        await self._in_thread(permit.touch)
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            shim = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-I",
                    "-S",
                    str(_SHIM),
                    str(directory / "spec.json"),
                    str(write_fd),
                    str(permit),
                ),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(write_fd,),
                env={"PATH": DEFAULT_PATH},
                cwd="/",  # the shim stays: it must not hold on to a directory that somebody wants to unmount
            )
            os.close(write_fd)
            write_fd = -1
            async with asyncio.timeout(START_TIMEOUT_S):
                answer = await self._in_thread(_read_all, read_fd)
                await shim.wait()
        except TimeoutError:
            raise TaskFailed(f"the process did not start in {START_TIMEOUT_S:.0f} s") from None
        finally:
            if write_fd >= 0:
                os.close(write_fd)
        running = replace(_with_processes(record, answer), phase=Phase.RUNNING)
        return await self._in_thread(self._write_down, running)

    async def _find_out(self, record: Record) -> Record:
        """Take the permit back from a shim that has not used it; else believe what the shim wrote down."""
        directory = self._container_dir(record.id)
        _withdraw_permits(directory)
        used = next(directory.glob("permit-*.used"), None)
        if used is None:
            return replace(record, phase=Phase.CREATED, started_at_ns=0)
        answer = await self._written_by_shim(directory, used.with_suffix(""))
        if answer is not None:
            record = _with_processes(record, answer)
        # Without an answer its supervisor will find neither process nor exit code.
        return replace(record, phase=Phase.RUNNING)

    async def _written_by_shim(self, directory: Path, permit: Path) -> bytes | None:
        """Return which processes the shim with a permit has started; None when it ended before it could
        say."""
        shims = await self._in_thread(running_with, str(permit).encode())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    lives = any(shim.alive for shim in shims)
                    try:
                        return (directory / "processes.json").read_bytes()
                    except FileNotFoundError:
                        if not lives:
                            return None
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            return None
        finally:
            for shim in shims:
                shim.close()

    async def _exec(self, record: Record, files: ExecFiles, config: ExecConfig) -> ExecProcess:
        if config.user and config.user.partition(":")[0] not in _own_names():
            raise FailedPrecondition(
                f"running as user {config.user} needs containers; this node runs plain processes"
            )
        return await start_exec(self._container_dir(record.id), files, config)

    def _kill_left_exec(self, container_id: str, files: ExecFiles) -> None:
        kill_left_exec(files)

    def _exit_file(self, container_id: str) -> Path:
        """Not on the disk that the tasks fill: usually memory."""
        return self._run_dir / "exits" / container_id

    def _exit_status(self, record: Record) -> tuple[int, int] | None:
        path = self._exit_file(record.id)
        try:
            return int(path.read_text("ascii")), path.stat().st_mtime_ns
        except (FileNotFoundError, ValueError):
            return None

    def _was_out_of_memory(self, record: Record) -> bool:
        return False  # a limit per process makes its allocations fail; nobody is killed

    def _sample(self, record: Record) -> Sample | None:
        return tree_sample(record.pid)

    async def update(self, container_id: str, limits: Limits, before: Limits) -> None:
        """Do nothing: what counts of limits for a process is given when it starts."""
        if self._get(container_id).record.phase is not Phase.RUNNING:
            raise FailedPrecondition(f"container {container_id} does not run")

    async def pause(self, container_id: str) -> None:
        """Refuse: every process would see it."""
        raise _needs_containers("pausing")

    async def unpause(self, container_id: str) -> None:
        """Refuse: there is nothing paused."""
        raise _needs_containers("pausing")

    def _thaw(self, record: Record) -> None:
        """Do nothing: nothing is ever paused."""

    def _is_paused(self, record: Record) -> bool:
        return False

    async def processes(self, container_id: str) -> Sequence[ProcessInfo]:
        """Return the process and what it has started."""
        record = self._running(container_id)
        return await self._in_thread(lambda: read_processes(tree_pids(record.pid)))

    async def path_kind(self, container_id: str, path: str) -> str:
        """Refuse: the files of a process are those of the node."""
        raise _needs_containers("copying")

    async def copy_from(self, container_id: str, path: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Refuse: the files of a process are those of the node."""
        raise _needs_containers("copying")
        yield b""  # makes this an iterator

    async def copy_to(
        self, container_id: str, path: str, archive: AsyncIterator[bytes], *, keep_owner: bool = False
    ) -> None:
        """Refuse: the files of a process are those of the node."""
        raise _needs_containers("copying")

    async def changes(self, container_id: str) -> AsyncIterator[Change]:
        """Refuse: the files of a process are those of the node."""
        raise _needs_containers("looking for changed files")
        yield  # makes this an iterator

    async def export(self, container_id: str) -> AsyncIterator[bytes]:
        """Refuse: the files of a process are those of the node."""
        raise _needs_containers("exporting")
        yield b""  # makes this an iterator

    async def layer(self, container_id: str) -> AsyncIterator[bytes]:
        """Refuse: the files of a process are those of the node."""
        raise _needs_containers("making an image of it")
        yield b""  # makes this an iterator

    def _kill_everything(self, record: Record) -> None:
        _kill_by_environment(record.id)

    def _destroy(self, container_id: str, record: Record | None) -> None:
        (self._container_dir(container_id) / "state.json").unlink(missing_ok=True)
        self._clear(container_id, record)
        remove_tree(self._container_dir(container_id))

    def _clear(self, container_id: str, record: Record | None) -> None:
        directory = self._container_dir(container_id)
        _withdraw_permits(directory)
        _kill_by_environment(container_id)
        pid, started = _shim_of(directory, record)
        shim = Process.open(pid, started)
        if shim is not None:
            if not shim.ends_within(2.0):
                kill_and_wait(shim, 2.0)
            shim.close()
        self._exit_file(container_id).unlink(missing_ok=True)
        self._execs.forget(container_id)
        for path in (*directory.glob("permit-*"), directory / "processes.json", directory / "spec.json"):
            path.unlink(missing_ok=True)
        if (directory / "rootfs").is_dir():
            remove_tree(directory / "rootfs")

    async def cleanup(self) -> None:
        """Remove all tasks and everything else this driver ever made."""
        for container_id, _ in await self._in_thread(self._read_records):
            await self.remove(container_id)
        await self.close()
        for path in (self._directory, self._run_dir):
            await asyncio.to_thread(remove_tree, path)


def _needs_containers(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"{what} needs containers; this node runs plain processes")


def _hard_limits() -> dict[str, int]:
    return read_hard_limits(may_raise=os.geteuid() == 0 and may_raise_limits())


def _with_processes(record: Record, answer: bytes) -> Record:
    try:
        document = json.loads(answer)
    except ValueError:
        document = {"error": "the shim of the process ended without an answer"}
    if "error" in document:
        raise TaskFailed(str(document["error"]))
    return replace(
        record,
        pid=document["pid"],
        pid_started=document["started"],
        shim_pid=document["shim_pid"],
        shim_started=document["shim_started"],
    )


def _withdraw_permits(directory: Path) -> None:
    """Take back the permits that no shim has used yet; a used one has another name."""
    for permit in directory.glob("permit-*"):
        if permit.suffix != ".used":
            permit.unlink(missing_ok=True)


def _shim_of(directory: Path, record: Record | None) -> tuple[int, int]:
    """Return (process id, start time) of a task's shim, zeros when there never was one."""
    if record is not None and record.shim_pid:
        return record.shim_pid, record.shim_started
    try:
        document = json.loads((directory / "processes.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return 0, 0
    return document["shim_pid"], document["shim_started"]


def _read_all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def _refuse_what_is_missing(config: ContainerConfig) -> None:
    """Refuse what would be silently wrong without containers; what is only weaker stands in the
    capabilities."""
    for mount in config.mounts:
        if isinstance(mount, TmpfsMount):
            raise TaskRejected(f"a tmpfs at {mount.target} needs containers; this node runs plain processes")
        if isinstance(mount, ImageMount) or mount.subpath:
            raise TaskRejected(
                f"mounting an image or a part of a volume at {mount.target} needs containers; "
                "this node runs plain processes"
            )
        if not Path(mount.source).exists():
            raise TaskRejected(f"bind source path does not exist: {mount.source}")
        if mount.source != mount.target:
            raise TaskRejected(
                f"mounting {mount.source} at {mount.target} needs containers; this node runs plain processes"
            )
    for device in (*config.cdi_devices, *(one.host_path for one in config.devices)):
        raise TaskRejected(f"the device {device} needs containers; this node runs plain processes")
    if config.netns_path:
        raise TaskRejected("a network of its own needs containers; this node runs plain processes")
    if config.stdin:
        raise TaskRejected("an open standard input needs containers; this node runs plain processes")
    if config.user and config.user.partition(":")[0] not in _own_names():
        raise TaskRejected(f"running as user {config.user} needs containers; this node runs plain processes")


def _warnings(config: ContainerConfig) -> tuple[str, ...]:
    return tuple(clamp_warnings(config.ulimits, _hard_limits()))


def _own_names() -> set[str]:
    uid = os.getuid()
    names = {str(uid)}
    with suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    return names


def _working_dir(wanted: str, view: Path, home: Path) -> Path:
    inside = resolve_inside(view, wanted) if wanted not in {"", "/"} else None
    return inside if inside is not None and inside.is_dir() else home


def _kill_by_environment(task_id: str) -> None:
    """Kill every process that carries a task's id in its environment, and wait for them; blocks."""
    kill_all(lambda: carriers(f"{TASK_VARIABLE}={task_id}"))
