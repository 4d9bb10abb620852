"""The agent of one node, put together."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import structlog

from swarm.agent.assignments import Changes, NetworkChanges
from swarm.agent.blob_source import ManagerBlobs
from swarm.agent.connection import Connection
from swarm.agent.container import NodeFacts
from swarm.agent.containers.calls import CallAnswerer
from swarm.agent.containers.conversation import Conversation
from swarm.agent.containers.files import FileRequests
from swarm.agent.containers.pausing import Pausing
from swarm.agent.containers.requests import ContainerRequests
from swarm.agent.containers.volumes import VolumeRequests, is_about_volumes
from swarm.agent.csi.plugins import CsiPlugins
from swarm.agent.csi.requests import CsiRequests, is_about_plugins
from swarm.agent.csi.volumes import ClusterVolumes
from swarm.agent.database import Database
from swarm.agent.describing import Describer
from swarm.agent.description import this_platform
from swarm.agent.http.base import Counters, HttpProxy, NoHttpProxy
from swarm.agent.log_attributes import asking
from swarm.agent.log_publisher import LogPublisher
from swarm.agent.network.base import NodeNetwork
from swarm.agent.overlay.feed import OverlayFeed
from swarm.agent.overlay.listening import Listening
from swarm.agent.plain.containers import PlainContainers
from swarm.agent.plain.managers import Managers
from swarm.agent.plain.networks import PlainNetworks
from swarm.agent.plain.node import Node as PlainNode
from swarm.agent.plain.records import PlainRecords
from swarm.agent.plain.requests import PlainRequests
from swarm.agent.probes import Prober
from swarm.agent.reporter import Reporter
from swarm.agent.resolver.base import NoResolver, Resolver
from swarm.agent.sampler import Sampler
from swarm.agent.session import Session
from swarm.agent.system.disk_watch import DiskWatch, remove_ended
from swarm.agent.system.pressure import Limits
from swarm.agent.system.requests import VERBS, SystemRequests
from swarm.agent.task_files import TaskFiles
from swarm.agent.task_images import TaskImages
from swarm.agent.task_machine import TaskRecord
from swarm.agent.task_volumes import TaskVolumes
from swarm.agent.worker import Worker
from swarm.api.v1.containers_pb2 import ContainerCall, ContainerRequest
from swarm.api.v1.dispatcher_pb2 import Hello, NodeInfo, StatusReport
from swarm.api.v1.logs_pb2 import LogSubscription
from swarm.api.v1.types_pb2 import Peer, TaskState, TaskStatus, TlsInfo
from swarm.clock import Clock
from swarm.config import Settings
from swarm.endings import endless
from swarm.errors import NodeRemoved
from swarm.model.health import UNHEALTHY
from swarm.model.task_state import is_terminal
from swarm.runtime.base import Capabilities, RuntimeDriver, Sample
from swarm.runtime.disk import DiskSpace
from swarm.runtime.images.base import ImageStore
from swarm.runtime.images.collected import Collected
from swarm.runtime.memory_files import MemoryFiles
from swarm.runtime.volumes.store import VolumeStore
from swarm.security.tls import NodeCredentials

log = structlog.get_logger(__name__)

STARTS_PER_CPU = 4  # containers created and started at once: mostly waiting for the kernel

Dial = Callable[[str, Sequence[tuple[str, int | str]]], grpc.aio.Channel]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What tasks and plain containers share, beside driver and network."""

    images: ImageStore
    blobs: ManagerBlobs
    volumes: TaskVolumes
    starts_max: int


@dataclass(frozen=True, slots=True)
class TaskContainer:
    """One task of this node, for metrics."""

    task_id: str
    service_id: str
    service_name: str
    slot: int
    state: "TaskState"


class Agent:
    """Runs the tasks of this node. `await run()` until cancelled; containers live on."""

    def __init__(  # noqa: PLR0913, PLR0917 -- a composition root: one argument per part
        self,
        settings: Settings,
        node_id: str,
        credentials: NodeCredentials,
        managers: Callable[[], Sequence[Peer]],
        driver: RuntimeDriver,
        images: ImageStore,
        network: NodeNetwork,
        clock: Clock,
        on_node_info: Callable[[NodeInfo], None],
        on_removed: Callable[[], None],
        *,
        resolver: Resolver | None = None,
        http_proxy: HttpProxy | None = None,
        capabilities: Capabilities | None = None,
        dial: Dial | None = None,
        tls_info: Callable[[], TlsInfo] | None = None,
    ) -> None:
        """`managers` returns those known at the moment; `dial` replaces mutual TLS in tests.

        `tls_info` returns what the managers shall know of this node's certificate (`describe_again`).
        `on_node_info` hears who the managers are and which role the node has; `on_removed` is called
        once the node was removed from the cluster and everything it ran is gone.
        """
        self._settings = settings
        self._node_id = node_id
        self._managers = managers
        self._driver = driver
        self._images = images
        self._network = network
        self._resolver = resolver or NoResolver()
        self._http_proxy = http_proxy or NoHttpProxy()
        self._clock = clock
        self._on_node_info = on_node_info
        self._on_removed = on_removed
        self._applied_index, self._strangers_allowed = 0, False
        channel = dial or credentials.channel
        self._database = Database(settings.agent_dir / "tasks.db")
        self._overlays = OverlayFeed(self._database, (network, self._resolver, self._http_proxy))
        self._reporter = Reporter()
        self._connection = Connection(
            self, node_id, managers, channel, self._hello, clock, self._session_changed
        )
        self._overlays.on_applied = self._connection.networks_applied
        volumes = VolumeStore(settings.volumes_dir, clock)
        self._csi = CsiPlugins(settings.csi_dir)
        self._system, self._disks = self._new_disk_parts(volumes)
        self._describer = self._new_describer(capabilities, tls_info)
        self._cluster_volumes = ClusterVolumes(settings.cluster_volumes_dir, self._csi)
        parts = _Parts(
            images,
            ManagerBlobs(self._preferred_managers, channel),
            TaskVolumes(volumes, self._cluster_volumes),
            STARTS_PER_CPU * (os.cpu_count() or 1),
        )
        self._worker = self._new_worker(parts)
        self._plain_networks = self._new_plain_networks(channel)
        self._plain = self._new_plain_containers(parts)
        self._plain_requests = PlainRequests(self._plain, driver, asking(self._facts, images))
        self._worker.neighbours = self._plain.ids
        self._sampler = Sampler(driver, lambda: self._worker.held, clock, self._connection.report_usage)
        self._logs = LogPublisher(node_id, driver, lambda: self._worker.held, asking(self._facts, images))
        self._requests = self._new_requests()
        self._volume_requests = VolumeRequests(volumes, self.records)
        self._csi_requests = CsiRequests(self._csi, self._cluster_volumes)
        self._worker.explain = self._plain.explain = self._disks.explain
        self._calls = CallAnswerer(channel, managers, self._answer)
        self._leaving, self._empty = asyncio.Event(), asyncio.Event()

    def _new_requests(self) -> ContainerRequests:
        driver, clock, plain = self._driver, self._clock, self._plain_requests
        self._pausing = Pausing(driver, self._database)
        files = FileRequests(driver, self._images, self.records, clock, self._facts, plain, self._pausing)
        return ContainerRequests(driver, lambda: self._worker.held, clock, plain, files)

    def _new_describer(
        self, capabilities: Capabilities | None, tls_info: Callable[[], TlsInfo] | None
    ) -> Describer:
        self._http_proxy.changed = self.describe_again
        self._listening = Listening(self._network, self._overlays.state, self._clock, self.describe_again)
        describer = Describer(
            self._settings,
            self._driver,
            self._network,
            self._csi,
            self._disks,
            self._http_proxy,
            capabilities=capabilities,
            tls_info=tls_info,
        )
        describer.warnings = lambda: self._listening.warnings
        return describer

    def _new_worker(self, parts: "_Parts") -> Worker:
        worker = Worker(
            self._driver,
            parts.images,
            self._network,
            self._database,
            parts.blobs,
            self._clock,
            self._facts,
            files=TaskFiles(MemoryFiles(self._settings.run_dir), self._describer.isolated),
            volumes=parts.volumes,
            overlays=self._overlays,
            resolver=self._resolver,
            starts_max=parts.starts_max,
        )
        worker.on_status = self._status_changed
        worker.on_forgotten = self._reporter.forget
        return worker

    def _new_plain_networks(self, channel: Dial) -> PlainNetworks:
        ask = Managers(self._preferred_managers, channel).attach
        wait_for = self._overlays.join
        return PlainNetworks(self._network, self._resolver, wait_for, ask, self._clock, self._facts)

    def _new_plain_containers(self, parts: "_Parts") -> PlainContainers:
        return PlainContainers(
            PlainNode(
                self._driver,
                parts.images,
                TaskImages(parts.images, parts.blobs),
                self._plain_networks,
                parts.blobs,
                parts.volumes,
                PlainRecords(self._settings.plain_dir),
                self._clock,
                self._facts,
                Prober(self._driver, parts.starts_max),
                asyncio.Semaphore(parts.starts_max),
            )
        )

    def _new_disk_parts(self, volumes: VolumeStore) -> tuple[SystemRequests, DiskWatch]:
        settings, state_dir, collect = self._settings, self._settings.state_dir, self._collect_unused
        answers = SystemRequests(
            self._driver, self._images, volumes, self.records, self._clock, state_dir, collect
        )
        return answers, DiskWatch(
            (settings.state_dir, settings.images_dir, settings.containers_dir, settings.volumes_dir),
            Limits(settings.disk_soft_percent / 100, settings.disk_hard_percent / 100),
            collect,
            self._clock,
            self._remove_ended,
            self.describe_again,
        )

    # What the daemon asks.

    @property
    def connected(self) -> bool:
        """Whether a manager holds a session with this node."""
        return self._connection.session is not None

    @property
    def manager(self) -> Peer | None:
        """The manager that holds the session."""
        return self._connection.session.peer if self._connection.session else None

    @property
    def refusal(self) -> str:
        """Why this machine may not be the node that it says it is; empty when nobody said so lately."""
        return self._connection.refusal

    def containers(self) -> tuple[TaskContainer, ...]:
        """Return the tasks of this node, finished ones included."""
        return tuple(
            TaskContainer(
                task_id,
                record.task.service_id,
                record.task.service_annotations.name,
                record.task.slot,
                record.status.state,
            )
            for task_id, record in self._worker.held.items()
        )

    def image_digests(self) -> frozenset[str]:
        """Return the manifests that containers here were prepared with: they may start at any time."""
        return self._worker.image_digests() | self._plain.image_digests()

    async def samples(self) -> Mapping[str, Sample]:
        """Return what running containers use, by task id."""
        found = {task_id: await self._driver.sample(task_id) for task_id in self._worker.held}
        return {task_id: sample for task_id, sample in found.items() if sample is not None}

    async def name_counters(self) -> Mapping[str, float]:
        """Return what the name server of this node counted since it started."""
        return await self._resolver.counters()

    async def tunnel_counters(self) -> Mapping[str, float]:
        """Return what was counted of encrypted networks; nothing while there are none here."""
        return await self._network.tunnel_counters()

    async def http_counters(self) -> Counters:
        """Return how many requests the HTTP proxy brought to which service, by kind of answer."""
        return await self._http_proxy.counters()

    def unhealthy(self) -> int:
        """Return how many containers are unhealthy."""
        tasks = sum(
            one.status.container.health.state == UNHEALTHY and not is_terminal(one.status.state)
            for one in self._worker.held.values()
        )
        return tasks + sum(one.health.state == UNHEALTHY for one in self._plain.all())

    def plain_running(self) -> int:
        """Return how many containers without a task run, or are about to again."""
        return sum(one.record.running for one in self._plain.all())

    def disk_spaces(self) -> list[DiskSpace]:
        """Return the file systems that this node uses; blocks."""
        return self._disks.spaces()

    @property
    def disk_pressure(self) -> bool:
        """Whether a disk is so full that new tasks stay away."""
        return bool(self._disks.pressure.conditions())

    async def shutdown_tasks(self) -> None:
        """Stop and remove everything, for a node that leaves; `run` must be running and stays so.

        The agent takes no assignments any more.
        """
        self._leaving.set()
        await self._empty.wait()

    async def run(self) -> None:
        """Run the tasks of this node until cancelled."""
        stored = await self._database.open(self._node_id, self._clock.now_ns())
        self._connection.incarnation = stored.incarnation
        self._applied_index = stored.applied_index
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._database.run())
                group.create_task(self._worker.run())
                await self._worker.started.wait()
                await self._driver.adopt()
                await self._pausing.resume(stored.pauses)
                await self._network.setup()
                self._overlays.resume(stored.overlays, complete=not stored.rebuilt)
                group.create_task(self._overlays.run())
                await self._overlays.settled()
                # Told all of it at once: the name server of the life before answers as before until then.
                await self._worker.introduce(stored.tasks)
                await self._plain.load()
                await self._plain.introduce()
                await self._resolver.start()
                await self._http_proxy.start()
                self._worker.resume(stored.tasks)
                self._strangers_allowed = stored.rebuilt
                if not stored.rebuilt:
                    await self._worker.remove_strangers()
                await self._describer.refresh()
                group.create_task(self._plain.resume())
                await self._serve()
        finally:
            await self._logs.close()
            await self._calls.close()
            await self._plain.close()
            await self._requests.close()
            await self._resolver.close()
            await self._http_proxy.close()
            await self._csi.close()
            await self._database.close()

    async def _serve(self) -> None:
        """Stay connected until the node leaves or was removed; then only wait for the end."""
        parts = {
            "connection": self._connection.run,
            "description": lambda: self._describer.run(self._connection.describe),
            "samples": self._sampler.run,
            "disks": self._disks.run,
            "csi": lambda: self._csi.watch(self.describe_again),
            "attachments": self._plain.tell_managers,
            "listening": self._listening.run,
        }
        works = [asyncio.create_task(endless(run, f"the agent's {name}")) for name, run in parts.items()]
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((*works, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (*works, leaving):
                one.cancel()
            ends = await asyncio.gather(*works, leaving, return_exceptions=True)
        removed = any(isinstance(end, NodeRemoved) for end in ends)
        if not removed and not self._leaving.is_set():
            raise next(end for end in ends if isinstance(end, Exception))
        await self._worker.remove_all()
        await self._plain.leave_node()
        await self._cluster_volumes.leave()
        self._overlays.take(NetworkChanges(complete=True))
        await self._overlays.settled()
        await self._http_proxy.teardown()
        await self._resolver.teardown()
        await self._network.teardown()
        await self._database.put_applied_index(0)
        self._empty.set()
        if removed:
            log.warning("agent.node_removed", node_id=self._node_id)
            self._on_removed()
        await asyncio.get_running_loop().create_future()

    def describe_again(self) -> None:
        """Tell the managers soon what this node is like: its certificate changed."""
        self._describer.again()

    # What a session does to its node.

    def held_ids(self) -> frozenset[str]:
        """Return the tasks this node holds."""
        return self._worker.held_ids()

    def apply(self, changes: Changes, index: int, complete: bool) -> int:
        """Carry out assignments; return how networks call what they say."""
        self._applied_index = index
        taken = self._overlays.take(changes.networks)
        self._http_proxy.take_data(changes.data)
        self._worker.apply(changes, index)
        if complete and self._strangers_allowed:
            # Nothing was known of what ran here; now the managers said what of it they want.
            self._strangers_allowed = False
            self._worker.spawn(self._worker.remove_strangers())
        return taken

    def take_node_info(self, info: NodeInfo) -> None:
        """Hear who the managers are."""
        self._connection.weigh_managers(info.manager_weights)
        self._sampler.want(info.sampled_service_ids)
        self._on_node_info(info)

    def subscribe_logs(self, subscription: LogSubscription) -> None:
        """Begin or end a log subscription."""
        self._logs.subscribe(subscription)

    def take_container_call(self, call: ContainerCall) -> None:
        """Go to a manager and answer what is asked there."""
        self._calls.take(call)

    async def _answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        if self._plain_requests.takes(request):
            await self._plain_requests.answer(request, conversation)
        elif request.WhichOneof("verb") in VERBS:
            await self._system.answer(request, conversation)
        elif is_about_plugins(request):
            await self._csi_requests.answer(request, conversation)
        elif is_about_volumes(request):
            await self._volume_requests.answer(request, conversation)
        else:
            await self._requests.answer(request, conversation)

    def records(self) -> Mapping[str, TaskRecord]:
        """Return the containers of this node, those without a task in the form of one."""
        return {**self._worker.held, **self._plain.records()}

    async def _collect_unused(self) -> Collected:
        return await self._images.gc(self._clock.now_ns(), self.image_digests(), unused=True)

    async def _remove_ended(self) -> int:
        return await remove_ended(self._driver, self._worker.held)

    def next_report(self) -> StatusReport | None:
        """Return a report to send now."""
        return self._reporter.take(self._clock.monotonic_s())

    def acknowledge(self, sequence: int) -> None:
        """Hear that reports are committed."""
        if self._reporter.acknowledged(sequence):
            self._connection.wake()

    # What happens here.

    def _status_changed(self, task_id: str, status: TaskStatus) -> None:
        self._reporter.changed(task_id, status)
        self._connection.wake()
        self._logs.tasks_changed()

    def _session_changed(self, session: Session | None) -> None:
        if session is not None:
            self._reporter.session_opened(self._worker.statuses())
            # What changed since the greeting was written was told to the session before.
            session.describe(self._describer.description)
            session.wake()
            self._plain_networks.changed()
        self._logs.session_changed(session.channel if session else None)

    def _hello(self) -> Hello:
        return Hello(description=self._describer.description, applied_index=self._applied_index)

    def _facts(self) -> NodeFacts:
        here = this_platform()
        return NodeFacts(self._node_id, self._settings.hostname, here.os, here.architecture)

    def _preferred_managers(self) -> Sequence[Peer]:
        """The manager of the session first: it is known to answer."""
        now = self.manager
        return sorted(self._managers(), key=lambda peer: now is None or peer.addr != now.addr)
