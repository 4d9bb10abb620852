"""Looking into containers of an engine: output, commands, files, use."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarm.errors import FailedPrecondition, NotFound, SwarmError, TaskRejected
from swarm.ids import new_id
from swarm.runtime.base import ContainerInfo, ContainerState, ExecConfig, LogLine, LogQuery
from swarm.runtime.docker.client import EngineClient, EngineError
from swarm.runtime.docker.container import EngineContainer
from swarm.runtime.docker.exec import DockerExec, exec_request, kill_marked, marked_ids
from swarm.runtime.docker.logs import framed_lines, query_of, raw_lines
from swarm.runtime.docker.place import Place
from swarm.runtime.exec_process import exec_mark
from swarm.runtime.oci import copying
from swarm.runtime.oci.cgroups import CgroupLayout
from swarm.runtime.oci.rootfs import read_text_inside
from swarm.runtime.oci.users import resolve_user
from swarm.runtime.processes import start_time
from swarm.runtime.state import Record

_NOT_FOUND, _CONFLICT = 404, 409


async def read_logs(
    engine: EngineClient, name: str, container: EngineContainer, query: LogQuery
) -> AsyncGenerator[LogLine, None]:
    """Yield what a container said, and says until it ends if the query follows."""
    if query.follow and not container.begun.is_set():  # an engine would not wait for the start
        await container.begun.wait()
    if container.info.started_at_ns == 0 and not container.has_run:
        return
    if query.follow and container.ended.is_set():
        query = LogQuery(False, query.tail, query.since_ns, query.until_ns, query.stdout, query.stderr)
    parse = raw_lines if container.tty else framed_lines
    try:
        async with (
            engine.stream("GET", f"/containers/{name}/logs", query_of(query)) as answer,
            aclosing(parse(answer.chunks())) as lines,
        ):
            async for line in lines:
                if line.timestamp_ns >= query.since_ns:
                    yield line
    except EngineError as error:
        if error.status != _NOT_FOUND:
            raise
    except asyncio.IncompleteReadError:  # it was removed meanwhile
        return


class EngineExecs:
    """The commands of a driver's containers."""

    def __init__(self, engine: EngineClient, layout: Callable[[], CgroupLayout]) -> None:
        self._engine = engine
        self._layout = layout
        self._unfinished: set[asyncio.Task[None]] = set()

    async def start(self, name: str, container: EngineContainer, config: ExecConfig) -> DockerExec:
        """Start a command; raises FailedPrecondition."""
        starting = asyncio.get_running_loop().create_task(self._start(name, container, config))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # nobody would ever end it
            ending = asyncio.get_running_loop().create_task(_end_unwanted(starting))
            self._unfinished.add(ending)
            ending.add_done_callback(self._unfinished.discard)
            raise

    async def _start(self, name: str, container: EngineContainer, config: ExecConfig) -> DockerExec:
        exec_id = new_id()
        container.execs[exec_id] = None
        try:
            process = await self._begin(name, container, config, exec_id)
        except BaseException:
            container.execs.pop(exec_id, None)
            raise
        container.execs[exec_id] = process
        if config.tty:
            await process.resize(config.rows, config.columns)
        return process

    async def _begin(
        self, name: str, container: EngineContainer, config: ExecConfig, exec_id: str
    ) -> DockerExec:
        try:
            if config.user:
                await asyncio.to_thread(_find_user, container.info.pid, config.user)
            body = exec_request(config, exec_mark(exec_id))
            answer = await self._engine.request("POST", f"/containers/{name}/exec", body=body)
            engine_id = str(answer["Id"])
            stream = await self._engine.open(
                "POST", f"/exec/{engine_id}/start", body={"Detach": False, "Tty": config.tty}, upgrade=True
            )
        except (TaskRejected, EngineError, OSError) as error:
            container.must_run()
            reason = f"container {container.info.id}: {error}"
            if "paused" in str(error):
                reason = f"container {container.info.id} is paused: unpause it first"
            raise FailedPrecondition(reason) from error

        def pids() -> list[int]:
            return container.pids(self._layout())

        def forget() -> None:
            container.execs.pop(exec_id, None)

        return DockerExec(self._engine, engine_id, exec_id, config, stream, pids, forget)

    async def kill_left(self, container: EngineContainer) -> None:
        """Kill what an earlier agent has started in a container."""

        def pids() -> list[int]:
            return container.pids(self._layout())

        for exec_id in marked_ids(await asyncio.to_thread(pids)):
            if exec_id not in container.execs:
                await asyncio.to_thread(kill_marked, exec_id, pids)

    async def kill(self, container: EngineContainer) -> None:
        """Kill all commands of a container."""
        running = [one for one in container.execs.values() if one is not None]
        await asyncio.gather(*(one.let_go() for one in running), return_exceptions=True)

    async def close(self, containers: list[EngineContainer]) -> None:
        """Kill all commands."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)
        await asyncio.gather(*(self.kill(container) for container in containers))


def _find_user(pid: int, name: str) -> None:
    """Raise TaskRejected for a user whom a container does not know: an engine would start, and fail then."""
    texts = (read_text_inside(Path(f"/proc/{pid}/root"), path) for path in ("/etc/passwd", "/etc/group"))
    resolve_user(name, *texts)


async def _end_unwanted(starting: asyncio.Task[DockerExec]) -> None:
    with suppress(SwarmError, OSError):
        await (await starting).let_go()


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """The files of a container, and the layers that they are on."""

    root: int
    upper: int
    lowers: Sequence[Path]


@asynccontextmanager
async def opened_layers(engine: EngineClient, name: str, place: Place) -> AsyncIterator[EngineFiles]:
    """Open the files of a container, without what is mounted there; raises NotFound, FailedPrecondition."""
    try:
        about = await engine.request("GET", f"/containers/{name}/json")
    except EngineError as error:
        raise NotFound(str(error)) from error
    with ExitStack() as stack:
        yield _open_layers(stack, about, place)


def _open_layers(stack: ExitStack, about: dict[str, Any], place: Place) -> EngineFiles:
    data = (about.get("GraphDriver") or {}).get("Data") or {}
    merged = data.get("MergedDir") or ""
    root = Path(merged) if os.path.ismount(merged) else stack.enter_context(place.opened(about))
    fds = []
    try:
        for path in (root, Path(data["UpperDir"])):
            fds.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            stack.callback(os.close, fds[-1])
    except (KeyError, OSError) as error:
        raise FailedPrecondition(f"the layers of the container cannot be read here: {error}") from error
    return EngineFiles(fds[0], fds[1], [Path(path) for path in data["LowerDir"].split(":")])


@asynccontextmanager
async def opened_root(
    engine: EngineClient, name: str, info: ContainerInfo, place: Place
) -> AsyncIterator[int]:
    """Open the root of a container; raises NotFound, FailedPrecondition."""
    record = Record(
        id=info.id, boot_id="", pid=info.pid, pid_started=start_time(info.pid) if info.pid else 0
    )
    if info.state is ContainerState.RUNNING:
        with copying.root_of(record, place.directory / "no-root") as root:
            yield root
        return
    try:
        about = await engine.request("GET", f"/containers/{name}/json")
    except EngineError as error:
        raise NotFound(str(error)) from error
    with place.opened(about) as path, copying.root_of(record, path) as root:
        yield root
