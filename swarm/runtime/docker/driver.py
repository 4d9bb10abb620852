"""Containers by Docker's engine, or another one with its API, in networks and with images of our own."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from swarm.clock import Clock, SystemClock
from swarm.errors import (
    FailedPrecondition,
    SwarmError,
    TaskFailed,
    TaskRejected,
    Unavailable,
    UserError,
)
from swarm.runtime.base import (
    Capabilities,
    ContainerConfig,
    ContainerInfo,
    ContainerState,
    Limits,
)
from swarm.runtime.docker.client import EngineClient, EngineError
from swarm.runtime.docker.container import EngineContainer
from swarm.runtime.docker.flavor import DOCKER, Flavor, refuse_unable
from swarm.runtime.docker.images import EngineImages
from swarm.runtime.docker.network import Door, network_mode
from swarm.runtime.docker.place import Place
from swarm.runtime.docker.request import (
    DOOR_LABEL,
    INSTANCE_LABEL,
    TASK_LABEL,
    Around,
    changed,
    create_request,
    label_warnings,
    limits_given,
    warnings_of,
)
from swarm.runtime.docker.state import container_info, engine_places, failed_info
from swarm.runtime.docker.views import Views
from swarm.runtime.oci.conmon import readable_error
from swarm.runtime.oci.devices import CdiSettings, edits_for
from swarm.runtime.oci.layers import LayerSource
from swarm.runtime.oci.overlay import mounts_below, unmount
from swarm.runtime.places import Places
from swarm.runtime.processes import signal_number, signal_to_stop
from swarm.runtime.shim_driver import is_container_id
from swarm.runtime.state import remove_tree
from swarm.runtime.ulimits import clamp_warnings, may_raise_limits, read_hard_limits
from swarm.runtime.unfinished import Unfinished

log = structlog.get_logger(__name__)

PARALLEL_STARTS = 8
KILL_TIMEOUT_S = 20.0
_AGAIN_S = 0.5  # when the engine does not answer, after that long it is asked again
_NOT_FOUND, _CONFLICT = 404, 409


class DockerDriver(Views):
    """A RuntimeDriver. Several may work with one engine, each with a directory of its own."""

    def __init__(
        self,
        directory: Path,
        engine: EngineClient,
        layers: LayerSource,
        *,
        flavor: Flavor = DOCKER,
        clock: Clock | None = None,
        cdi: CdiSettings | None = None,
    ) -> None:
        """Keep in `directory` what containers need besides; `engine` keeps all else."""
        super().__init__(directory, engine, flavor)
        self._layers = layers
        self._clock = clock or SystemClock()
        self._cdi = cdi or CdiSettings()
        self._images = EngineImages(engine, layers, self._directory)
        self._starts = asyncio.Semaphore(PARALLEL_STARTS)
        self._unfinished = Unfinished()
        self._tried = False

    async def probe(self) -> Capabilities:
        """Run a container for a trial; raises FailedPrecondition with the reason why that does not work."""
        try:
            capabilities = await self._look()
        except SwarmError as error:
            raise FailedPrecondition(f"{self._flavor.name} does not work on this node: {error}") from error
        if not self._tried:
            await self._flavor.try_out(self._directory, self._trial)
            self._tried = True
        return capabilities

    def _trial(self, directory: Path, layers: LayerSource) -> "DockerDriver":
        return DockerDriver(directory, self._engine, layers, flavor=self._flavor)

    # From nothing to running

    async def adopt(self) -> Sequence[ContainerInfo]:
        """Find the containers of an earlier life of this agent; remove what was only half made."""
        for about in await self._listed():
            if DOOR_LABEL in about["Labels"]:
                if not self._containers:
                    await self._delete(f"/containers/{about['Id']}")
                continue
            container_id = about["Labels"][TASK_LABEL]
            if container_id not in self._containers:
                await self._take_over(container_id)
        known = set(self._containers)
        for place in await asyncio.to_thread(self._places):
            if place.directory.name not in known:
                await asyncio.to_thread(place.remove)
        for container_id in set(self._layers.leases()) - known:
            self._layers.release(container_id)
        await self._images.forget_unused()
        return [container.info for container in self._containers.values()]

    async def _listed(self) -> list[dict[str, Any]]:
        filters = json.dumps({"label": [f"{INSTANCE_LABEL}={self._instance}"]})
        return list(await self._engine.request("GET", "/containers/json", {"all": "1", "filters": filters}))

    def _places(self) -> list[Place]:
        try:
            return [Place(path) for path in (self._directory / "containers").iterdir()]
        except FileNotFoundError:
            return []

    async def _take_over(self, container_id: str) -> None:
        with suppress(EngineError):  # removed in this moment
            about = await self._about(container_id)
            container = EngineContainer(self._info(about), about)
            self._containers[container_id] = container
            await self._execs.kill_left(container)
            self._watch(container)

    async def _about(self, container_id: str) -> dict[str, Any]:
        about = await self._engine.request("GET", f"{self._path(container_id)}/json")
        return dict(about)

    async def places(self, container_id: str) -> Places:
        """Return where the engine has what it consists of."""
        with suppress(EngineError):
            return engine_places(await self._about(container_id))
        return Places()

    def _info(self, about: dict[str, Any]) -> ContainerInfo:
        place = self._place(about["Config"]["Labels"][TASK_LABEL])
        return container_info(about, place.warnings(), place.stopped(), place.renewed())

    async def foresee(self, config: ContainerConfig) -> Sequence[str]:
        """Return the warnings that its container would have; those of the engine come when it is made."""
        selinux = (await self._look()).info.get("selinux") == "yes"
        limits = read_hard_limits(may_raise=may_raise_limits())
        labels = label_warnings(config.security.selinux, selinux=selinux)
        return (*clamp_warnings(config.ulimits, limits), *labels)

    async def create(self, config: ContainerConfig) -> None:
        """Make the container, not running; raises TaskRejected and leaves nothing in that case."""
        await self._unfinished.to_its_end(self._create_in_turn(config))

    async def _create_in_turn(self, config: ContainerConfig) -> None:
        async with self._turns.of(config.id):
            if config.id in self._containers:
                return
            if not is_container_id(config.id):
                raise TaskRejected(f"{config.id!r} cannot be the id of a container")
            try:
                async with self._starts:
                    await self._create(config)
            except BaseException as error:
                await self._abandon(config.id)
                if isinstance(error, Unavailable):
                    raise
                if isinstance(error, (OSError, EngineError, UserError)):
                    raise TaskRejected(f"cannot prepare the container: {error}") from error
                raise

    async def _create(self, config: ContainerConfig) -> None:
        abilities = await self._look()
        refuse_unable(config, abilities)
        try:
            image = self._layers.image_config(config.image_digest)
            layers = self._layers.lower_dirs(config.image_digest)
            self._layers.lease(config.id, config.image_digest)
        except UserError as error:
            raise TaskRejected(str(error)) from error
        hostname = os.uname().nodename if config.shared.uts else config.hostname or config.id[:12]
        place = self._place(config.id)
        await asyncio.to_thread(place.remove)  # of an attempt that was cut off
        plain = replace(config, devices=(), security=replace(config.security, privileged=False))
        edits = await asyncio.to_thread(edits_for, plain, self._cdi)
        limits = read_hard_limits(may_raise=may_raise_limits())
        around = Around(
            instance=self._instance,
            image="",
            network=network_mode(config.netns_path, self._name(config.id)),
            hostname=hostname,
            hostname_is_given=bool(config.netns_path),
            files={},
            hard_limits=limits,
            edits=edits,
            selinux=abilities.info.get("selinux") == "yes",
        )
        create_request(config, image, around)  # what makes no sense is refused before anything is made
        files = await asyncio.to_thread(place.make, config, layers, hostname)
        around = replace(around, image=await self._images.ensure(config.image_digest), files=files)
        body = create_request(config, image, around)
        answer = await self._made(config.id, body)
        place.note([*await self.foresee(config), *warnings_of(answer)])
        about = await self._about(config.id)
        self._containers[config.id] = EngineContainer(self._info(about), about)

    async def _made(self, container_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Have the engine make the container; what it made too late for an agent that was killed gives
        way."""
        order = ("POST", "/containers/create", {"name": self._name(container_id)}, body)
        try:
            return dict(await self._engine.request(*order))
        except EngineError as error:
            if error.status != _CONFLICT:
                raise
        await self._delete(self._path(container_id))
        return dict(await self._engine.request(*order))

    async def _abandon(self, container_id: str) -> None:
        try:
            if is_container_id(container_id):
                await self._delete(self._path(container_id))
                await asyncio.to_thread(self._place(container_id).remove)
        except (SwarmError, OSError) as error:
            log.warning("runtime.cleanup_failed", task_id=container_id, reason=str(error))
        self._layers.release(container_id)

    async def renew(self, config: ContainerConfig) -> None:
        """Make a container that has ended ready to start again; raises as the contract says.

        The engine's container stays, with its files and its output: it can be started again, and goes
        through a new door into the namespace that stands at the same path by then.
        """
        await self._unfinished.to_its_end(self._renew_in_turn(config))

    async def _renew_in_turn(self, config: ContainerConfig) -> None:
        async with self._turns.of(config.id):
            container = self._get(config.id)
            if container.info.state is ContainerState.CREATED:
                return
            if container.info.state is not ContainerState.EXITED:
                raise FailedPrecondition(f"container {config.id} runs")
            try:
                renewed = await self._renewed(container, config)
            except (OSError, EngineError) as error:
                raise TaskRejected(f"cannot prepare the container: {error}") from error
            await container.let_go()
            self._containers[config.id] = renewed

    async def _renewed(self, old: EngineContainer, config: ContainerConfig) -> EngineContainer:
        if config.netns_path != old.netns_path:
            raise TaskRejected("docker on this node cannot start a container again in another network")
        about = await self._about(config.id)
        body = changed(config.limits, limits_given(about))
        body = {key: value for key, value in body.items() if about["HostConfig"].get(key) != value}
        if body:
            await self._engine.request("POST", f"{self._path(config.id)}/update", body=body)
        place = self._place(config.id)
        await asyncio.to_thread(place.renew, config, old.hostname, str(about["State"]["StartedAt"]))
        return EngineContainer(self._info(about), about)

    async def start(self, container_id: str) -> ContainerInfo:
        """Run the user's command; raises TaskFailed."""
        return await self._unfinished.to_its_end(self._start_in_turn(container_id))

    async def _start_in_turn(self, container_id: str) -> ContainerInfo:
        async with self._turns.of(container_id):
            container = self._get(container_id)
            if container.info.state is not ContainerState.CREATED:
                return container.info
            async with self._starts:
                try:
                    await self._start(container_id, container)
                except (EngineError, TaskFailed) as error:
                    reason = readable_error(str(error), container.command)
                    self._fail(container, reason)
                    raise TaskFailed(reason) from error
            container.take(self._info(await self._about(container_id)))
            self._watch(container)
            return container.info

    async def _start(self, container_id: str, container: EngineContainer) -> None:
        door = Door(self._engine, self._images, self._instance, self._name(container_id))
        through_door = bool(container.netns_path)
        try:
            if through_door:
                await door.open(container.netns_path, container.hostname)
            await self._engine.request("POST", f"{self._path(container_id)}/start")
        finally:
            if through_door:
                await door.close()

    def _fail(self, container: EngineContainer, reason: str) -> None:
        if not container.ended.is_set():
            self._place(container.info.id).mark_stopped(reason)
            warnings = container.info.warnings
            container.take(failed_info(container.info.id, reason, self._clock.now_ns(), warnings))

    # To its end

    def _watch(self, container: EngineContainer) -> None:
        if container.runs and container.watcher is None:
            container.watcher = asyncio.get_running_loop().create_task(
                self._see_its_end(container), name=f"container {container.info.id}"
            )

    async def _see_its_end(self, container: EngineContainer) -> None:
        """Wait until a container has ended, also while the engine is away for a time."""
        path = self._path(container.info.id)
        while not container.ended.is_set():
            try:
                await self._engine.request("POST", f"{path}/wait", timeout_s=None)
                info = self._info(await self._about(container.info.id))
                if info.state is ContainerState.EXITED:
                    await self._execs.kill(container)
                container.take(info)
            except EngineError as error:
                if error.status == _NOT_FOUND:
                    self._fail(container, "the container was removed by somebody else")
                    return
                await asyncio.sleep(_AGAIN_S)
            except (Unavailable, ValueError) as error:
                log.info("runtime.engine_away", task_id=container.info.id, reason=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def wait(self, container_id: str) -> ContainerInfo:
        """Return when the container has ended; raises NotFound for an unknown one."""
        container = self._get(container_id)
        await container.ended.wait()
        return container.info

    async def stop(self, container_id: str, grace_s: float, signal_name: str = "") -> None:
        """Ask a container to end, wait up to `grace_s`, then kill it; returns when it has ended."""
        container = self._containers.get(container_id)
        if container is None or container.ended.is_set():
            return
        number = signal_to_stop(signal_name, container.stop_signal)
        if not container.begun.is_set():
            self._fail(container, "stopped before it was started")
            return
        await self._signal(container_id, number)
        await self._thaw(container_id)
        try:
            async with asyncio.timeout(max(0.0, grace_s)):
                await container.ended.wait()
        except TimeoutError:
            log.info("runtime.grace_is_over", task_id=container_id, grace_s=grace_s)
            await self._signal(container_id, signal.SIGKILL)
            await container.ended.wait()

    async def _signal(self, container_id: str, number: int) -> None:
        with suppress(EngineError):  # it has ended, and the watcher sees that
            await self._engine.request(
                "POST", f"{self._path(container_id)}/kill", {"signal": str(int(number))}
            )

    async def _thaw(self, container_id: str) -> None:
        with suppress(EngineError):
            await self._engine.request("POST", f"{self._path(container_id)}/unpause")

    async def update(self, container_id: str, limits: Limits, before: Limits) -> None:
        """Give a running container other bounds and shares; raises as the contract says."""
        if not self._get(container_id).runs:
            raise FailedPrecondition(f"container {container_id} does not run")
        try:
            await self._engine.request(
                "POST", f"{self._path(container_id)}/update", body=changed(limits, before)
            )
        except EngineError as error:
            raise TaskRejected(f"the engine does not take the limits: {error}") from error

    async def kill(self, container_id: str, signal_name: str) -> None:
        """Send a signal to the container's first process; raises NotFound, TaskFailed for an unknown one."""
        container = self._get(container_id)
        try:
            number = signal_number(signal_name)
        except ValueError as error:
            raise TaskFailed(str(error)) from None
        if container.runs:
            await self._signal(container_id, number)
            if number == signal.SIGKILL:
                await self._thaw(container_id)

    async def remove(self, container_id: str) -> None:
        """Kill what still runs and leave nothing behind; raises Unavailable when something would not go."""
        if is_container_id(container_id):
            await self._unfinished.to_its_end(self._remove_in_turn(container_id))

    async def _remove_in_turn(self, container_id: str) -> None:
        async with self._turns.of(container_id):
            container = self._containers.get(container_id)
            if container is not None:
                await self._end_for_removal(container_id, container)
            try:
                await self._delete(self._path(container_id))
                await asyncio.to_thread(self._place(container_id).remove)
            except (EngineError, OSError) as error:
                raise Unavailable(f"cannot remove container {container_id}: {error}") from error
            self._layers.release(container_id)
            self._containers.pop(container_id, None)
            if container is not None:
                await container.let_go()

    async def _end_for_removal(self, container_id: str, container: EngineContainer) -> None:
        try:
            async with asyncio.timeout(KILL_TIMEOUT_S):
                await self.stop(container_id, 0)
        except TimeoutError:
            raise Unavailable(f"container {container_id} does not die") from None

    async def _delete(self, path: str) -> None:
        for _ in range(100):
            try:
                await self._engine.request("DELETE", path, {"force": "1", "v": "1"})
            except EngineError as error:
                if error.status == _NOT_FOUND:
                    return
                if error.status != _CONFLICT:  # somebody else removes it in this moment
                    raise
                await asyncio.sleep(0.05)
            else:
                return
        raise Unavailable(f"the container engine does not remove {path.rpartition('/')[2]}")

    # Looking at it

    async def inspect(self, container_id: str) -> ContainerInfo | None:
        """Return what is known of a container, None when there is no such container."""
        container = self._containers.get(container_id)
        if container is None:
            return None
        if container.runs:
            with suppress(EngineError):
                info = self._info(await self._about(container_id))
                if info.state is ContainerState.RUNNING:  # the watcher tells of the end, when all is cleaned
                    container.take(info)
        return container.info

    async def close(self) -> None:
        """Let go of the containers without touching them; commands beside theirs end."""
        containers = list(self._containers.values())
        await self._execs.close(containers)
        await self._unfinished.wait()
        await asyncio.gather(*(container.let_go() for container in containers))
        self._containers.clear()

    async def cleanup(self) -> None:
        """Remove all containers and everything else of this driver."""
        for about in await self._listed():
            await self._delete(f"/containers/{about['Id']}")
        await self.close()
        for point in mounts_below(self._directory):
            unmount(point)
        await asyncio.to_thread(remove_tree, self._directory)
