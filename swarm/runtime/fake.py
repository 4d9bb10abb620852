"""A runtime that runs nothing: scriptable containers for tests, simulations and clusters without root.

Containers live in the object, so an agent that is "restarted" on the same driver finds them again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from swarm.clock import Clock, SystemClock
from swarm.errors import FailedPrecondition, NotFound, TaskFailed, TaskRejected
from swarm.runtime.abilities import Ability
from swarm.runtime.attachment import LogAttachment
from swarm.runtime.base import (
    Attachment,
    Capabilities,
    ContainerConfig,
    ContainerInfo,
    ContainerState,
    ExecConfig,
    Limits,
    LogLine,
    LogQuery,
    ProcessInfo,
    Sample,
)
from swarm.runtime.changes import Change
from swarm.runtime.places import Places

SIGKILL_EXIT = 137
SIGTERM_EXIT = 143


@dataclass(frozen=True, slots=True)
class ExecScript:
    """How a command in a fake container behaves. Durations in seconds."""

    exit_code: int = 0
    output: bytes = b""  # on stdout
    errors: bytes = b""  # on stderr
    runs_s: float | None = 0.0  # None: until it is killed


@dataclass(frozen=True, slots=True)
class Script:
    """How a fake container behaves. Durations in seconds."""

    create_s: float = 0.0
    start_s: float = 0.0
    create_error: str = ""  # TaskRejected with this text
    start_error: str = ""  # TaskFailed with this text
    runs_s: float | None = None  # then it exits by itself; None: it runs for ever
    exit_code: int = 0
    stop_s: float = 0.0  # from the stop signal to its end
    ignores_stop: bool = False  # only a kill ends it
    output: tuple[bytes, ...] = ()  # lines written to stdout when it starts
    exec: ExecScript = ExecScript()  # how a command in it behaves
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Container:
    config: ContainerConfig
    script: Script
    info: ContainerInfo
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[LogLine] = field(default_factory=list)
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None


class FakeExec:
    """An ExecProcess that runs nothing."""

    def __init__(self, config: ExecConfig, script: ExecScript, container_ended: asyncio.Event) -> None:
        self.config = config
        self.written = b""
        self.signals: list[str] = []
        self._script = script
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._run = asyncio.get_running_loop().create_task(self._live(container_ended))

    async def _live(self, container_ended: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._script.runs_s):
                await container_ended.wait()
            self._end(SIGKILL_EXIT)
        except TimeoutError:
            self._end(self._script.exit_code)

    def _end(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what the script says, and end with the command."""
        for stream, data in (("stdout", self._script.output), ("stderr", self._script.errors)):
            if data:
                yield stream, data
        await self.wait()

    async def refusal(self) -> str:
        """Say nothing: it runs."""
        return ""

    async def write(self, data: bytes) -> None:
        """Remember what was written."""
        self.written += data

    async def close_stdin(self) -> None:
        """Do nothing."""

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing."""

    async def signal(self, name: str) -> None:
        """Remember the signal; SIGKILL ends the command."""
        self.signals.append(name)
        if name in {"SIGKILL", "KILL"}:
            self._end(SIGKILL_EXIT)

    async def wait(self) -> int:
        """Return the exit code."""
        return await asyncio.shield(self._code)

    async def kill(self) -> None:
        """End it."""
        self._end(SIGKILL_EXIT)
        self._run.cancel()


class FakeDriver:
    """A RuntimeDriver. `scripts` is looked up by container id, then by image; else `default` holds."""

    def __init__(self, default: Script | None = None, clock: Clock | None = None) -> None:
        self.default = default or Script()
        self.scripts: dict[str, Script] = {}
        self.where: dict[str, Places] = {}
        self.changed: dict[str, Sequence[Change]] = {}
        self.layers_of_paused: list[bool] = []  # of each layer that was read
        self.stop_signals: dict[str, str] = {}  # by container: what the last stop named
        self.calls: Counter[str] = Counter()
        self.execs: list[tuple[str, FakeExec]] = []  # every command that was started
        self.broken: dict[str, Exception] = {}  # method name -> what every call of it raises
        self._clock = clock or SystemClock()
        self._containers: dict[str, _Container] = {}

    # What tests and simulations do to it.

    def exit(self, container_id: str, exit_code: int = 0, oom_killed: bool = False) -> None:
        """End a running container as if by itself."""
        container = self._get(container_id)
        if container.info.state is not ContainerState.EXITED:
            self._end(container, exit_code, oom_killed)

    def write(self, container_id: str, line: bytes, stream: str = "stdout") -> None:
        """Let a container print a line."""
        container = self._get(container_id)
        container.lines.append(LogLine(self._clock.now_ns(), stream, line))
        container.grew.set()
        container.grew = asyncio.Event()

    def lose(self, container_id: str) -> None:
        """Make a container vanish without a trace."""
        container = self._containers.pop(container_id)
        container.ended.set()

    def ids(self, *states: ContainerState) -> set[str]:
        """Return the containers that exist, only those in `states` when given."""
        return {
            container_id
            for container_id, container in self._containers.items()
            if not states or container.info.state in states
        }

    def config(self, container_id: str) -> ContainerConfig:
        """Return what a container was created from."""
        return self._get(container_id).config

    # The contract.

    async def probe(self) -> Capabilities:
        """Say what this driver is."""
        self._called("probe")
        return Capabilities(
            driver="fake",
            isolated=False,
            info={"reason": "nothing is run"},
            abilities=frozenset({Ability.PAUSE}),
            ignored=frozenset(Ability) - {Ability.PAUSE, Ability.COPY},
        )

    async def adopt(self) -> Sequence[ContainerInfo]:
        """Return all containers."""
        self._called("adopt")
        return [container.info for container in self._containers.values()]

    def _script(self, config: ContainerConfig) -> Script:
        return self.scripts.get(config.id) or self.scripts.get(config.image) or self.default

    async def foresee(self, config: ContainerConfig) -> Sequence[str]:
        """Return what its script says."""
        return self._script(config).warnings

    async def create(self, config: ContainerConfig) -> None:
        """Add a container."""
        self._called("create")
        if config.id in self._containers:
            return
        script = self._script(config)
        await asyncio.sleep(script.create_s)
        if script.create_error:
            raise TaskRejected(script.create_error)
        self._containers[config.id] = _Container(
            config, script, ContainerInfo(config.id, ContainerState.CREATED, warnings=script.warnings)
        )

    async def start(self, container_id: str) -> ContainerInfo:
        """Let a container run."""
        self._called("start")
        container = self._get(container_id)
        if container.info.state is not ContainerState.CREATED:
            return container.info
        script = container.script
        await asyncio.sleep(script.start_s)
        if script.start_error:
            raise TaskFailed(script.start_error)
        if container.info.state is not ContainerState.CREATED:  # a second start meanwhile
            return container.info
        container.info = replace(
            container.info,
            state=ContainerState.RUNNING,
            pid=100_000 + self.calls["start"],
            started_at_ns=self._clock.now_ns(),
        )
        for line in script.output:
            self.write(container_id, line)
        if script.runs_s is not None:
            loop = asyncio.get_running_loop()
            container.timer = loop.call_later(script.runs_s, self._end, container, script.exit_code, False)
        return container.info

    async def renew(self, config: ContainerConfig) -> None:
        """Let a container that has ended be started again; its output stays."""
        self._called("renew")
        old = self._get(config.id)
        if old.info.state is ContainerState.CREATED:
            return
        if old.info.state is not ContainerState.EXITED:
            raise FailedPrecondition(f"container {config.id} runs")
        script = self.scripts.get(config.id) or self.scripts.get(config.image) or self.default
        if script.create_error:
            raise TaskRejected(script.create_error)
        created = ContainerInfo(config.id, ContainerState.CREATED)
        self._containers[config.id] = _Container(config, script, created, lines=old.lines)

    async def attach(self, container_id: str) -> Attachment:
        """Look on at a container's output."""
        self._called("attach")
        container = self._get(container_id)
        if container.info.state is ContainerState.EXITED:
            raise FailedPrecondition(f"container {container_id} does not run")
        return LogAttachment(_go_on(container, len(container.lines)), lambda: None)

    async def wait(self, container_id: str) -> ContainerInfo:
        """Wait until a container has ended."""
        self._called("wait")
        container = self._get(container_id)
        await container.ended.wait()
        return container.info

    async def stop(self, container_id: str, grace_s: float, signal_name: str = "") -> None:
        """End a container, at once or as its script says."""
        self._called("stop")
        container = self._containers.get(container_id)
        if container is None or container.info.state is ContainerState.EXITED:
            return
        self.stop_signals[container_id] = signal_name
        if container.script.ignores_stop or container.script.stop_s > grace_s:
            await asyncio.sleep(grace_s)
            self.exit(container_id, SIGKILL_EXIT)
            return
        await asyncio.sleep(container.script.stop_s)
        self.exit(container_id, SIGTERM_EXIT)

    async def kill(self, container_id: str, signal_name: str) -> None:
        """End a container for SIGKILL; other signals do nothing."""
        self._called("kill")
        self._get(container_id)
        if signal_name in {"SIGKILL", "KILL"}:
            self.exit(container_id, SIGKILL_EXIT)

    async def remove(self, container_id: str) -> None:
        """Forget a container."""
        self._called("remove")
        container = self._containers.pop(container_id, None)
        if container is not None and container.info.state is not ContainerState.EXITED:
            self._end(container, SIGKILL_EXIT, False)

    async def inspect(self, container_id: str) -> ContainerInfo | None:
        """Return what is known of a container."""
        self._called("inspect")
        container = self._containers.get(container_id)
        return container.info if container else None

    async def places(self, container_id: str) -> Places:
        """Return what a test said."""
        return self.where.get(container_id, Places())

    async def logs(self, container_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Yield what a container printed."""
        self._called("logs")
        container = self._get(container_id)
        selected = [line for line in container.lines if _selected(line, query)]
        position = len(container.lines)
        for line in selected[-query.tail :] if query.tail else selected if query.tail is None else []:
            yield line
        if query.follow:
            async for line in _go_on(container, position):
                if _selected(line, query):
                    yield line

    async def exec(self, container_id: str, config: ExecConfig) -> FakeExec:
        """Pretend to run a command: `scripts` say how it behaves, looked up anew each time."""
        self._called("exec")
        container = self._get(container_id)
        if container.info.state is not ContainerState.RUNNING:
            raise FailedPrecondition(f"container {container_id} does not run")
        script = self.scripts.get(container_id) or self.scripts.get(container.config.image) or self.default
        process = FakeExec(config, script.exec, container.ended)
        self.execs.append((container_id, process))
        return process

    async def sample(self, container_id: str) -> Sample | None:
        """Return made-up resource use."""
        container = self._containers.get(container_id)
        if container is None or container.info.state is not ContainerState.RUNNING:
            return None
        age_ns = self._clock.now_ns() - container.info.started_at_ns
        return Sample(cpu_usage_ns=age_ns // 100, memory_bytes=1 << 20, pids=1)

    async def disk_bytes(self, container_id: str, *, output: bool = True) -> int:
        """Return nothing: there are no files."""
        return 0

    async def changes(self, container_id: str) -> AsyncIterator[Change]:
        """Yield what a test said."""
        for one in self.changed.get(container_id, ()):
            yield one

    async def export(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield the id as if it were an archive."""
        yield container_id.encode()

    async def layer(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield the id as if it were a layer; like all of a paused container, it stands still."""
        self.layers_of_paused.append(self._get(container_id).info.paused)
        yield container_id.encode()

    async def update(self, container_id: str, limits: Limits, before: Limits) -> None:
        """Remember other limits."""
        container = self._get(container_id)
        if container.info.state is not ContainerState.RUNNING:
            raise FailedPrecondition(f"container {container_id} does not run")
        container.config = replace(container.config, limits=limits)

    async def pause(self, container_id: str) -> None:
        """Call a container paused."""
        self._set_paused(container_id, True)

    async def unpause(self, container_id: str) -> None:
        """Call it running again."""
        self._set_paused(container_id, False)

    def _set_paused(self, container_id: str, paused: bool) -> None:
        container = self._get(container_id)
        if container.info.state is not ContainerState.RUNNING:
            raise FailedPrecondition(f"container {container_id} does not run")
        container.info = replace(container.info, paused=paused)

    async def processes(self, container_id: str) -> Sequence[ProcessInfo]:
        """Return one made-up process."""
        info = self._get(container_id).info
        return [ProcessInfo(info.pid, 1, 0, 0, info.started_at_ns, 1 << 20, "fake")]

    async def path_kind(self, container_id: str, path: str) -> str:
        """Refuse: there are no files."""
        raise FailedPrecondition("a fake container has no files")

    async def copy_from(self, container_id: str, path: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Refuse: there are no files."""
        raise FailedPrecondition("a fake container has no files")
        yield b""  # makes this an iterator

    async def copy_to(
        self, container_id: str, path: str, archive: AsyncIterator[bytes], *, keep_owner: bool = False
    ) -> None:
        """Refuse: there are no files."""
        raise FailedPrecondition("a fake container has no files")

    async def close(self) -> None:
        """Let go of the containers."""
        for container in self._containers.values():
            if container.timer is not None:
                container.timer.cancel()

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        if method in self.broken:
            raise self.broken[method]

    def _get(self, container_id: str) -> _Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise NotFound(f"there is no container {container_id}") from None

    def _end(self, container: _Container, exit_code: int, oom_killed: bool) -> None:
        if container.timer is not None:
            container.timer.cancel()
        container.info = replace(
            container.info,
            state=ContainerState.EXITED,
            exit_code=exit_code,
            oom_killed=oom_killed,
            finished_at_ns=self._clock.now_ns(),
        )
        container.ended.set()


async def _go_on(container: _Container, position: int) -> AsyncIterator[LogLine]:
    while True:
        grew = container.grew
        while position < len(container.lines):
            yield container.lines[position]
            position += 1
        if container.ended.is_set() and position == len(container.lines):
            return
        await _first(grew, container.ended)


def _selected(line: LogLine, query: LogQuery) -> bool:
    wanted = query.stdout if line.stream == "stdout" else query.stderr
    return (
        wanted
        and line.timestamp_ns >= query.since_ns
        and (query.until_ns == 0 or line.timestamp_ns <= query.until_ns)
    )


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
