"""What a driver of an engine does with containers that leaves them as they are: looking, running commands,
copying files."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

from swarm.errors import FailedPrecondition, NotFound
from swarm.runtime.abilities import Ability
from swarm.runtime.base import (
    Attachment,
    Capabilities,
    ExecConfig,
    ExecProcess,
    LogLine,
    LogQuery,
    ProcessInfo,
    Sample,
)
from swarm.runtime.changes import Change
from swarm.runtime.docker.attach import attach
from swarm.runtime.docker.client import EngineClient, EngineError
from swarm.runtime.docker.container import EngineContainer
from swarm.runtime.docker.flavor import Flavor
from swarm.runtime.docker.insides import EngineExecs, EngineFiles, opened_layers, opened_root, read_logs
from swarm.runtime.docker.place import Place
from swarm.runtime.oci import copying
from swarm.runtime.oci.cgroups import CgroupLayout, read_layout
from swarm.runtime.supervision import Turns
from swarm.runtime.top import read_processes
from swarm.runtime.traffic import with_network


class Views:
    """The containers of one driver, and how to look into them."""

    def __init__(self, directory: Path, engine: EngineClient, flavor: Flavor) -> None:
        self._directory = directory.absolute()
        self._engine = engine
        self._flavor = flavor
        self._instance = hashlib.sha256(str(self._directory).encode()).hexdigest()[:12]
        self._containers: dict[str, EngineContainer] = {}
        self._turns = Turns()
        self._given_layout: CgroupLayout | None = None
        self._execs = EngineExecs(engine, self._layout)
        self._capabilities: Capabilities | None = None

    def _layout(self) -> CgroupLayout:
        if self._given_layout is None:
            self._given_layout = read_layout()
        return self._given_layout

    def _name(self, container_id: str) -> str:
        return f"swarm-{self._instance}-{container_id}"

    def _path(self, container_id: str) -> str:
        return f"/containers/{self._name(container_id)}"

    def _place(self, container_id: str) -> Place:
        return Place(self._directory / "containers" / container_id)

    async def _look(self) -> Capabilities:
        if self._capabilities is None:
            self._capabilities = await self._flavor.look(self._engine)
        return self._capabilities

    def _get(self, container_id: str) -> EngineContainer:
        container = self._containers.get(container_id)
        if container is None:
            raise NotFound(f"no container {container_id} on this node")
        return container

    async def logs(self, container_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Yield the container's output, oldest line first; raises NotFound."""
        container = self._get(container_id)
        async with aclosing(read_logs(self._engine, self._name(container_id), container, query)) as lines:
            async for line in lines:
                yield line

    async def attach(self, container_id: str) -> Attachment:
        """Look on at a container; raises NotFound, FailedPrecondition."""
        container = self._get(container_id)
        if container.ended.is_set():
            raise FailedPrecondition(f"container {container_id} does not run")
        return await attach(self._engine, self._path(container_id), container)

    async def disk_bytes(self, container_id: str, *, output: bool = True) -> int:
        """Return what a container wrote into its file system, as the engine counts it."""
        self._get(container_id)
        path = f"/containers/{self._name(container_id)}/json"
        about = await self._engine.request("GET", path, {"size": "1"})
        return int(about.get("SizeRw") or 0)

    async def exec(self, container_id: str, config: ExecConfig) -> ExecProcess:
        """Start a command in a running container; raises NotFound, FailedPrecondition."""
        container = self._get(container_id)
        container.must_run()
        if not config.command or not config.command[0] or any("\0" in word for word in config.command):
            raise FailedPrecondition("there is no command to run")
        if config.privileged and Ability.PRIVILEGED in (await self._look()).refused:
            raise FailedPrecondition(f"{self._flavor.name} on this node cannot run privileged commands")
        return await self._execs.start(self._name(container_id), container, config)

    async def sample(self, container_id: str) -> Sample | None:
        """Return the container's resource use, None when it does not run."""
        container = self._containers.get(container_id)
        cgroup = container.cgroup(self._layout()) if container is not None else None
        if container is None or cgroup is None:
            return None
        return with_network(cgroup.sample(), container.info.pid)

    async def pause(self, container_id: str) -> None:
        """Give a running container no more time."""
        await self._pause(container_id, "pause", "already paused")

    async def unpause(self, container_id: str) -> None:
        """Let a paused container go on."""
        await self._pause(container_id, "unpause", "not paused")

    async def _pause(self, container_id: str, verb: str, done: str) -> None:
        self._get(container_id).must_run()
        try:
            await self._engine.request("POST", f"{self._path(container_id)}/{verb}")
        except EngineError as error:
            if done not in str(error):
                raise FailedPrecondition(str(error)) from error

    async def processes(self, container_id: str) -> Sequence[ProcessInfo]:
        """Return what runs in a container."""
        container = self._get(container_id)
        container.must_run()
        return await asyncio.to_thread(lambda: read_processes(container.pids(self._layout())))

    async def path_kind(self, container_id: str, path: str) -> str:
        """Return what a path inside a container leads to."""
        async with self._turns.of(container_id), self._root(container_id) as root:
            return await copying.path_kind(root, path)

    async def copy_from(self, container_id: str, path: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield a tar archive of what is at a path."""
        async with (
            self._turns.of(container_id),
            self._root(container_id) as root,
            aclosing(copying.copy_from(root, path, follow=follow)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def copy_to(
        self, container_id: str, path: str, archive: AsyncIterator[bytes], *, keep_owner: bool = False
    ) -> None:
        """Unpack a tar archive into a directory."""
        async with self._turns.of(container_id), self._root(container_id) as root:
            await copying.copy_to(root, path, archive, keep_owner=keep_owner)

    async def changes(self, container_id: str) -> AsyncIterator[Change]:
        """Yield the paths that are not as in the image."""
        async with (
            self._layers_of(container_id) as files,
            aclosing(copying.changes(files.root, files.upper, files.lowers)) as found,
        ):
            async for one in found:
                yield one

    async def export(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield a tar archive of all files, without what is mounted among them."""
        async with self._layers_of(container_id) as files, aclosing(copying.export(files.root)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def layer(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield what a container changed as a layer of an image."""
        async with (
            self._layers_of(container_id) as files,
            aclosing(copying.layer(files.root, files.upper)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    def _layers_of(self, container_id: str) -> AbstractAsyncContextManager[EngineFiles]:
        self._get(container_id)
        return opened_layers(self._engine, self._name(container_id), self._place(container_id))

    def _root(self, container_id: str) -> AbstractAsyncContextManager[int]:
        info = self._get(container_id).info
        return opened_root(self._engine, self._name(container_id), info, self._place(container_id))
