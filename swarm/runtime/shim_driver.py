"""What all drivers have in common whose containers are held by a shim process: life cycle, supervision,
adoption.

A shim is the parent of a container's first process, writes its output into a log and its exit code into a
file, and outlives the agent. A driver adds how a container is made, started and torn down.
"""

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import structlog

from swarm.clock import Clock, SystemClock
from swarm.errors import FailedPrecondition, NotFound, SwarmError, TaskFailed, TaskRejected, Unavailable
from swarm.runtime.base import (
    Capabilities,
    ContainerConfig,
    ContainerInfo,
    ExecConfig,
    ExecProcess,
    LogLine,
    LogQuery,
    Sample,
)
from swarm.runtime.exec_process import ExecFiles, Execs
from swarm.runtime.logs import read_log
from swarm.runtime.oci.layers import LayerSource
from swarm.runtime.places import Places
from swarm.runtime.processes import boot_id, signal_number, signal_to_stop
from swarm.runtime.state import Phase, Record, read_record, write_record
from swarm.runtime.supervision import Container, Turns, first_to_end
from swarm.runtime.unfinished import Unfinished

log = structlog.get_logger(__name__)
T = TypeVar("T")

PARALLEL_STARTS = 8
SHIM_FAREWELL_S = 10.0  # how long a shim may take from its container's end to its own
KILL_TIMEOUT_S = 10.0
LOST_EXIT_CODE = 255


class ShimDriver(ABC):
    """The parts of a RuntimeDriver that do not depend on what a container is."""

    def __init__(
        self, directory: Path, run_dir: Path, layers: LayerSource, clock: Clock | None = None
    ) -> None:
        """Keep containers in `directory` (survives a reboot) and what only this boot needs in `run_dir`."""
        self._directory = directory.absolute()
        self._run_dir = run_dir.absolute()
        self._layers = layers
        self._clock = clock or SystemClock()
        self._containers: dict[str, Container] = {}
        self._turns = Turns()
        self._unfinished = Unfinished()
        self._threads = ThreadPoolExecutor(2 * PARALLEL_STARTS, thread_name_prefix="runtime")
        self._starts = asyncio.Semaphore(PARALLEL_STARTS)
        self._execs = Execs(self._run_dir / "execs")

    # The phase in which an agent that is killed while it starts a container leaves the record behind.
    _doubtful = Phase.STARTING

    # What a driver has to add. Those without `async` block and run in threads.

    @abstractmethod
    async def probe(self) -> Capabilities:
        """See RuntimeDriver."""

    @abstractmethod
    async def _make(self, config: ContainerConfig) -> Container:
        """Make the container, not running, and write its record; raise TaskRejected.

        May leave a mess: `_destroy` follows.
        """

    @abstractmethod
    async def _launch(self, record: Record) -> Record:
        """Run the user's command; return, and write, the record of what runs; raise TaskFailed."""

    @abstractmethod
    async def _find_out(self, record: Record) -> Record:
        """Return the truth about a container of which is not known whether it was started."""

    @abstractmethod
    def _kill_everything(self, record: Record) -> None:
        """Kill all processes of the container."""

    @abstractmethod
    def _destroy(self, container_id: str, record: Record | None) -> None:
        """Remove every trace, whatever state it is in; without a record nobody wrote the processes down."""

    @abstractmethod
    def _exit_status(self, record: Record) -> tuple[int, int] | None:
        """Return (exit code, finished at in ns) as the shim left it, None when it did not."""

    @abstractmethod
    def _was_out_of_memory(self, record: Record) -> bool:
        """Tell whether the kernel killed processes of the container for want of memory."""

    @abstractmethod
    async def _exec(self, record: Record, files: ExecFiles, config: ExecConfig) -> ExecProcess:
        """Start a command in a running container."""

    @abstractmethod
    def _kill_left_exec(self, container_id: str, files: ExecFiles) -> None:
        """Kill what is left of a command that an earlier agent has started."""

    @abstractmethod
    def _sample(self, record: Record) -> Sample | None:
        """Measure a running container; takes microseconds."""

    @abstractmethod
    def _thaw(self, record: Record) -> None:
        """Let a paused container go on: nothing that stands still can end."""

    @abstractmethod
    def _is_paused(self, record: Record) -> bool:
        """Tell whether somebody paused a running container; takes microseconds."""

    # Files

    def _container_dir(self, container_id: str) -> Path:
        return self._directory / "containers" / container_id

    def _record_path(self, container_id: str) -> Path:
        return self._container_dir(container_id) / "state.json"

    def _log_path(self, container_id: str) -> Path:
        return self._container_dir(container_id) / "log"

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    # The contract

    async def adopt(self) -> Sequence[ContainerInfo]:
        """Find the containers of an earlier life of this agent; remove those that were only half made."""
        now = boot_id()
        await self._in_thread(self._kill_left_execs)
        for container_id, record in await self._in_thread(self._read_records):
            if container_id in self._containers:
                continue
            if record is None:
                log.warning("runtime.half_made_container_found", task_id=container_id)
                await self._abandon(container_id)
                continue
            await self._take_over(record, now)
        for container_id in set(self._layers.leases()) - set(self._containers):
            self._layers.release(container_id)  # killed after the removal, before the release
        return [container.record.info() for container in self._containers.values()]

    def _read_records(self) -> list[tuple[str, Record | None]]:
        try:
            directories = sorted((self._directory / "containers").iterdir())
        except FileNotFoundError:
            return []
        return [(directory.name, read_record(directory / "state.json")) for directory in directories]

    def _kill_left_execs(self) -> None:
        for container_id, files in self._execs.left_behind():
            files.request.unlink(missing_ok=True)
            self._kill_left_exec(container_id, files)
            files.remove()

    async def _take_over(self, record: Record, now: str) -> None:
        if record.phase is not Phase.EXITED and record.boot_id != now:
            record = replace(
                record,
                phase=Phase.EXITED,
                exit_code=LOST_EXIT_CODE,
                error="the node was restarted",
                finished_at_ns=self._clock.now_ns(),
            )
        elif record.phase in {self._doubtful, Phase.STARTING}:  # of an older agent, too
            record = await self._find_out(record)
        container = Container(record)
        self._containers[record.id] = container
        if record.phase is Phase.EXITED:
            await self._write(container)
            return
        self._supervise(container)
        if not container.lives and container.supervisor is not None:
            await container.supervisor  # it ended while nobody looked: say how right away

    async def create(self, config: ContainerConfig) -> None:
        """Prepare file system, limits and process; raises TaskRejected and leaves nothing in that case."""
        await self._unfinished.to_its_end(self._create_in_turn(config))

    async def _create_in_turn(self, config: ContainerConfig) -> None:
        async with self._turns.of(config.id):
            if config.id in self._containers:
                return
            if not is_container_id(config.id):
                raise TaskRejected(f"{config.id!r} cannot be the id of a container")
            async with self._starts:
                await self._create(config)

    async def _create(self, config: ContainerConfig) -> None:
        try:
            container = await self._make(config)
        except BaseException as error:
            await self._abandon(config.id)
            if isinstance(error, OSError):
                raise TaskRejected(f"cannot prepare the container: {error}") from error
            raise
        self._containers[config.id] = container
        self._supervise(container)

    async def _abandon(self, container_id: str) -> None:
        try:
            await self._in_thread(self._destroy, container_id, None)
        except (SwarmError, OSError) as error:
            log.warning("runtime.cleanup_failed", task_id=container_id, reason=str(error))
        self._layers.release(container_id)

    async def start(self, container_id: str) -> ContainerInfo:
        """Run the user's command; raises TaskFailed."""
        return await self._unfinished.to_its_end(self._start_in_turn(container_id))

    async def _start_in_turn(self, container_id: str) -> ContainerInfo:
        async with self._turns.of(container_id):
            container = self._get(container_id)
            if container.record.phase is not Phase.CREATED:
                return container.record.info()
            async with self._starts:
                await self._start(container)
            return container.record.info()

    async def _start(self, container: Container) -> None:
        container.record = replace(
            container.record, phase=Phase.STARTING, started_at_ns=self._clock.now_ns()
        )
        try:
            if self._doubtful is Phase.STARTING:
                await self._write(container)
            async with container.writing:  # whoever sees its end meanwhile writes that after us
                running = await self._launch(container.record)
        except (TaskFailed, OSError) as error:
            self._fail(container, str(error))
            await self._in_thread(self._kill_everything, container.record)
            await self._write(container)
            raise TaskFailed(str(error)) from error
        if container.record.phase is Phase.STARTING:  # it may have ended in the meantime
            container.record = running
        if container.supervisor is None:
            self._supervise(container)

    def _fail(self, container: Container, reason: str) -> None:
        if container.record.phase is Phase.EXITED:
            return
        container.record = replace(
            container.record,
            phase=Phase.EXITED,
            exit_code=LOST_EXIT_CODE,
            error=reason,
            finished_at_ns=self._clock.now_ns(),
        )
        container.ended.set()

    async def wait(self, container_id: str) -> ContainerInfo:
        """Return when the container has ended; raises NotFound for an unknown one."""
        container = self._get(container_id)
        await container.ended.wait()
        return container.record.info()

    async def stop(self, container_id: str, grace_s: float, signal_name: str = "") -> None:
        """Ask a container to end, wait up to `grace_s`, then kill it; returns when it has ended."""
        container = self._containers.get(container_id)
        if container is None or container.ended.is_set():
            return
        number = signal_to_stop(signal_name, container.record.stop_signal)
        if container.record.phase is not Phase.CREATED and container.main is not None:
            await self._in_thread(self._thaw, container.record)
            container.main.send(number)
            try:
                async with asyncio.timeout(max(0.0, grace_s)):
                    await container.ended.wait()
            except TimeoutError:
                log.info("runtime.grace_is_over", task_id=container_id, grace_s=grace_s)
        await self._kill(container)

    async def _kill(self, container: Container) -> None:
        if container.record.phase is Phase.CREATED and container.main is None:
            self._fail(container, "stopped before it was started")
            await self._write(container)
        if container.ended.is_set():
            return
        if container.main is not None:
            container.main.send(signal.SIGKILL)
        await self._in_thread(self._kill_everything, container.record)
        await self._in_thread(self._thaw, container.record)
        await container.ended.wait()

    async def kill(self, container_id: str, signal_name: str) -> None:
        """Send a signal to the container's first process; raises NotFound, or TaskFailed for an unknown
        signal."""
        container = self._get(container_id)
        try:
            number = signal_number(signal_name)
        except ValueError as error:
            raise TaskFailed(str(error)) from None
        if container.main is not None:
            container.main.send(number)
            if number == signal.SIGKILL:
                await self._in_thread(self._thaw, container.record)

    async def remove(self, container_id: str) -> None:
        """Kill what still runs and leave nothing behind; raises Unavailable when something would not go."""
        if is_container_id(
            container_id
        ):  # anything else could lead out of our directory, and exists nowhere
            await self._unfinished.to_its_end(self._remove_in_turn(container_id))

    async def _remove_in_turn(self, container_id: str) -> None:
        async with self._turns.of(container_id):
            container = self._containers.get(container_id)
            if container is None and not self._container_dir(container_id).exists():
                self._layers.release(container_id)
                return
            if container is not None:
                await self._end_for_removal(container)
                record: Record | None = container.record
            else:
                record = self._record_of_this_boot(container_id)
            try:
                await self._in_thread(self._destroy, container_id, record)
            except OSError as error:
                raise Unavailable(f"cannot remove container {container_id}: {error}") from error
            self._layers.release(container_id)
            self._containers.pop(container_id, None)
            if container is not None:
                container.let_go()

    def _record_of_this_boot(self, container_id: str) -> Record | None:
        record = read_record(self._record_path(container_id))
        return record if record is not None and record.boot_id == boot_id() else None

    async def _end_for_removal(self, container: Container) -> None:
        try:
            async with asyncio.timeout(KILL_TIMEOUT_S):
                await self._kill(container)
                if container.supervisor is not None:
                    await asyncio.shield(container.supervisor)  # it may still be writing its last record
        except TimeoutError:
            raise Unavailable(f"container {container.record.id} does not die") from None

    async def inspect(self, container_id: str) -> ContainerInfo | None:
        """Return what is known of a container, None when there is no such container."""
        container = self._containers.get(container_id)
        if container is None:
            return None
        record = container.record
        return replace(record.info(), paused=record.phase is Phase.RUNNING and self._is_paused(record))

    def _running(self, container_id: str) -> Record:
        """Return the record of a container that runs; raises NotFound, FailedPrecondition."""
        record = self._get(container_id).record
        if record.phase is not Phase.RUNNING:
            raise FailedPrecondition(f"container {container_id} does not run")
        return record

    async def places(self, container_id: str) -> Places:
        """Return where its output is: it has no files of its own but that."""
        log_path = self._log_path(container_id)
        return Places(log=str(log_path) if log_path.exists() else "")

    async def logs(self, container_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Yield the container's output, oldest line first; raises NotFound."""
        container = self._get(container_id)

        def ended() -> bool:
            return container.ended.is_set()

        async for line in read_log(self._log_path(container_id), query, ended):
            yield line

    async def exec(self, container_id: str, config: ExecConfig) -> ExecProcess:
        """Start a command in a running container; raises NotFound, FailedPrecondition."""
        record = self._running(container_id)
        if self._is_paused(record):
            raise FailedPrecondition(f"container {container_id} is paused: unpause it first")
        if not config.command or not config.command[0] or any("\0" in word for word in config.command):
            raise FailedPrecondition("there is no command to run")
        return await self._execs.start(container_id, lambda files: self._exec(record, files, config))

    async def sample(self, container_id: str) -> Sample | None:
        """Return the container's resource use, None when it does not run."""
        container = self._containers.get(container_id)
        if container is None or container.record.phase is not Phase.RUNNING:
            return None
        return self._sample(container.record)

    async def close(self) -> None:
        """Let go of the containers without touching them; commands beside theirs end."""
        await self._execs.close()
        await self._unfinished.wait()
        supervisors = [container.supervisor for container in self._containers.values()]
        for container in self._containers.values():
            container.let_go()
        await asyncio.gather(*(task for task in supervisors if task is not None), return_exceptions=True)
        self._containers.clear()
        await asyncio.to_thread(self._threads.shutdown)

    def _get(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise NotFound(f"no container {container_id} on this node")
        return container

    # Supervision

    def _supervise(self, container: Container) -> None:
        if container.main is None and container.shim is None:
            container.find_processes()
        if container.record.phase is Phase.CREATED and not container.record.pid:
            return  # nothing runs yet that could end
        container.supervisor = asyncio.get_running_loop().create_task(
            self._watch(container), name=f"container {container.record.id}"
        )

    async def _watch(self, container: Container) -> None:
        """Wait for the end of a container and write down how it ended."""
        try:
            await first_to_end(container)
            status = await self._how_it_ended(container)
            await self._execs.kill(container.record.id)
            await self._finish(container, status)
        except Exception:
            # Whoever waits for this container must not wait for ever.
            log.exception("runtime.supervision_failed", task_id=container.record.id)
            self._fail(container, "the agent lost track of the container")

    async def _how_it_ended(self, container: Container) -> tuple[int, int] | None:
        """Return the exit status; None when the shim is gone without leaving one, which ends the container
        too."""
        if container.shim is not None:
            try:
                # A shim that vanished under a living container has ended already: no wait in that case.
                async with asyncio.timeout(SHIM_FAREWELL_S):
                    await container.shim.wait()
            except TimeoutError:
                container.shim.send(signal.SIGKILL)
        status = self._exit_status(container.record)
        if status is None:
            if container.main is not None:
                container.main.send(signal.SIGKILL)
            await self._in_thread(self._kill_everything, container.record)
            if container.main is not None:
                await container.main.wait()
            status = self._exit_status(container.record)
        return status

    async def _finish(self, container: Container, status: tuple[int, int] | None) -> None:
        if container.record.phase is Phase.EXITED:
            return
        if status is None:
            self._fail(container, "shim lost")
        else:
            oom_killed = self._was_out_of_memory(container.record)
            if container.record.shares_pids:
                await self._in_thread(self._kill_everything, container.record)
            container.record = container.record.ended(*status, oom_killed=oom_killed)
            container.ended.set()
        await self._write(container)

    async def _write(self, container: Container) -> None:
        """Write the newest record; a full disk must not hide from the agent what happened to a container."""
        async with container.writing:
            await self._in_thread(self._write_down, container.record)

    def _write_down(self, record: Record) -> Record:
        try:
            write_record(self._record_path(record.id), record)
        except OSError as error:
            if record.phase is Phase.CREATED:
                raise
            log.warning("runtime.record_not_written", task_id=record.id, reason=str(error))
        return record


def is_container_id(text: str) -> bool:
    """Tell whether a text can be the id of a container: a name of a directory and of a cgroup, and nothing
    else."""
    return 0 < len(text) <= 64 and text.isascii() and text.replace("-", "").isalnum()
