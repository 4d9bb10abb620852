"""All plain containers of this node."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import structlog

from swarm.agent.plain.config import as_task, publish_exposed
from swarm.agent.plain.container import OnEvent, Plain
from swarm.agent.plain.events import EventBook
from swarm.agent.plain.joining import check_can_connect, network_to_leave, without
from swarm.agent.plain.node import Node
from swarm.agent.task_images import pinned_digests
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.objects_pb2 import Attachment
from swarm.api.v1.plain_pb2 import PlainContainer, PlainSpec
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.clock import timestamp
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NotFound,
    SwarmError,
)
from swarm.ids import new_id
from swarm.model.health import merged
from swarm.model.limits import PLAIN_CONTAINERS
from swarm.model.plain import name_problems
from swarm.runtime.images.base import Credentials, ImageConfig, Pull

log = structlog.get_logger(__name__)
T = TypeVar("T")


class PlainContainers:
    """By id. What people ask for is done to its end, also when they leave meanwhile."""

    def __init__(self, node: Node) -> None:
        """`node` has the parts that they use."""
        self._node = node
        self._held: dict[str, Plain] = {}
        self._unreadable: frozenset[str] = frozenset()
        self._names: set[str] = set()  # about to be made
        self._unfinished: set[asyncio.Task[Any]] = set()
        self.events = EventBook(node.clock)
        self.on_event: OnEvent = lambda plain, event, attributes: None
        self.explain: Callable[[Exception], str] = str  # what to tell people of an error

    async def load(self) -> None:
        """Read what was written down; to be called before strangers are removed."""
        records, self._unreadable = await asyncio.to_thread(self._node.records.load)
        for record in records:
            self._hold(record)

    async def introduce(self) -> None:
        """Have names answered for those that may still ask; before the name server is taken over."""
        for plain in list(self._held.values()):
            try:
                await plain.introduce()
            except SwarmError as error:
                log.warning("agent.plain_container_not_introduced", container=plain.name, reason=str(error))

    async def tell_managers(self) -> None:
        """Keep the managers' word for addresses in line with what is here, until cancelled."""

        def records() -> Mapping[str, PlainContainer]:
            return {plain.id: plain.record for plain in self._held.values()}

        await self._node.networks.run(self.ids, records, self._take_networks)

    async def _take_networks(self, given: Attachment) -> None:
        plain = self._held.get(given.id)
        if plain is not None:
            await plain.take_networks(given)

    async def resume(self) -> None:
        """Take up what an earlier agent left; one that cannot be is said in the log."""
        for plain in list(self._held.values()):
            try:
                await plain.resume()
            except (SwarmError, OSError) as error:
                log.warning("agent.plain_container_not_resumed", container=plain.name, reason=str(error))

    async def close(self) -> None:
        """Let go of all; they run on."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)
        for plain in list(self._held.values()):
            await plain.close()

    async def leave_node(self) -> None:
        """Stop all, because the node leaves its cluster; they stay on its disk."""
        leaving = (plain.leave_node() for plain in list(self._held.values()))
        for outcome in await asyncio.gather(*leaving, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.warning("agent.plain_container_not_stopped", reason=str(outcome))

    # Who is there.

    def ids(self) -> frozenset[str]:
        """Return all ids, also of those that are known by nothing else any more."""
        return frozenset(self._held) | self._unreadable

    def all(self) -> Iterable[Plain]:
        """Return all, oldest first."""
        return tuple(self._held.values())

    def get(self, container_id: str) -> Plain | None:
        """Return one by its id."""
        return self._held.get(container_id)

    def named(self, refs: Iterable[str]) -> list[Plain]:
        """Return those of which one of `refs` is the name, the id or the beginning of the id."""
        wanted = tuple(refs)
        return [
            plain
            for plain in self._held.values()
            if plain.name in wanted or any(ref and plain.id.startswith(ref) for ref in wanted)
        ]

    def records(self) -> Mapping[str, TaskRecord]:
        """Return all in the form of tasks, for what people ask of both."""
        return {
            container_id: TaskRecord(task := as_task(plain.record), task.status)
            for container_id, plain in self._held.items()
        }

    def images(self) -> Mapping[str, tuple[str, str]]:
        """Return (name of the container, its image) of all, by id."""
        return {one.id: (one.name, one.record.spec.container.image) for one in self._held.values()}

    def image_of(self, container_id: str) -> ImageConfig | None:
        """Return what the image of a container says, plain or not; None when it is not here."""
        return self._node.images.image_of(container_id)

    def image_digests(self) -> frozenset[str]:
        """Return the manifests that all were made with: people may start them at any time."""
        records = [one.record for one in self._held.values()]
        mounted = (one for record in records for one in pinned_digests(record.spec.container.mounts))
        return frozenset(mounted) | {record.image_digest for record in records}

    # What is done with them.

    async def create(
        self,
        spec: PlainSpec,
        progress: Callable[[str], None] | None = None,
        pull: Pull = Pull.MISSING,
    ) -> Plain:
        """Make one, not started: its image is here then. Raises SwarmError, OSError, and nothing is made."""
        for problem in name_problems(spec.name):
            raise InvalidArgument(problem)
        for problem in PLAIN_CONTAINERS.exceeded("this node", len(self._held) + 1):
            raise FailedPrecondition(problem)
        self._check_name(spec.name)
        self._names.add(spec.name)
        try:
            return await self.finished(self._create(spec, progress, pull))
        finally:
            self._names.discard(spec.name)

    async def _create(self, spec: PlainSpec, progress: Callable[[str], None] | None, pull: Pull) -> Plain:
        container = spec.container
        image = await self._node.images.ensure(
            container.image, container.image_digest, _credentials(spec), self._node.source, progress, pull
        )
        record = PlainContainer(id=new_id(), image_digest=image.digest)
        record.spec.CopyFrom(spec)
        publish_exposed(record.spec, image.exposed)
        await self._node.mounted_images.pin(as_task(record), record.spec.container.mounts, progress)
        record.spec.container.ClearField("registry_auth")
        record.created_at.CopyFrom(timestamp(self._node.clock.now_ns()))
        record.healthcheck.CopyFrom(merged(container.healthcheck, image.healthcheck))
        if spec.networks:
            async with self._node.networks.turn:
                given = await self._node.networks.settle(record)
                del record.spec.networks[:]
                record.spec.networks.extend(given.wanted)
                record.addresses.extend(given.networks)
                plain = await self._keep(record)
        else:
            plain = await self._keep(record)
        log.info("agent.plain_container_created", container=spec.name, container_id=record.id)
        self._happened(plain, "create")
        return plain

    async def _keep(self, record: PlainContainer) -> Plain:
        await asyncio.to_thread(self._node.records.save, record)
        return self._hold(record)

    async def connect(self, plain: Plain, wanted: NetworkAttachment) -> None:
        """Bring one into one more network; raises SwarmError, OSError, and it is where it was."""
        await self.finished(self._connect(plain, wanted))

    async def _connect(self, plain: Plain, wanted: NetworkAttachment) -> None:
        check_can_connect(plain.record, wanted)
        changed = PlainContainer()
        async with self._node.networks.turn:
            changed.CopyFrom(plain.record)
            changed.spec.networks.append(wanted)
            try:
                await plain.take_networks(await self._node.networks.settle(changed))
            except BaseException:
                self._node.networks.changed()  # what it was given and does not have is said to be free
                raise
        log.info("agent.plain_container_connected", container=plain.name, network=wanted.network_name)
        self._happened(plain, "connect", {"network": wanted.network_name or wanted.network_id})

    async def disconnect(self, plain: Plain, network: str) -> None:
        """Take one out of a network: first its interface goes, then its address is free."""
        await self.finished(self._disconnect(plain, network))

    async def _disconnect(self, plain: Plain, network: str) -> None:
        gone = network_to_leave(plain.record, network)
        async with self._node.networks.turn:
            await plain.take_networks(without(plain.record, gone))
            await self._node.networks.free_left(plain.record)
        log.info("agent.plain_container_disconnected", container=plain.name, network=gone.network_name)
        self._happened(plain, "disconnect", {"network": gone.network_name})

    async def rename(self, plain: Plain, name: str) -> None:
        """Give one another name; raises InvalidArgument, NameConflict."""
        for problem in name_problems(name):
            raise InvalidArgument(problem)
        if name == plain.name:
            raise InvalidArgument(f"container {name} is called so already")
        self._check_name(name)
        before = plain.name
        await self.finished(plain.change(lambda record: setattr(record.spec, "name", name)))
        self._happened(plain, "rename", {"oldName": f"/{before}"})

    async def finished(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end, also when whoever asked for it leaves."""
        task = asyncio.create_task(work, name="plain-work")
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    def must_get(self, container_id: str) -> Plain:
        """Return one by its id; raises NotFound."""
        plain = self._held.get(container_id)
        if plain is None:
            raise NotFound(f"there is no plain container {container_id} on this node")
        return plain

    def _check_name(self, name: str) -> None:
        taken = next((one for one in self._held.values() if one.name == name), None)
        if taken is not None or name in self._names:
            who = f" ({taken.id[:12]})" if taken is not None else ""
            raise NameConflict(
                f'the name "{name}" is taken on this node by another container{who}: '
                "remove or rename that one"
            )

    def _hold(self, record: PlainContainer) -> Plain:
        plain = Plain(record, self._node, self._gone)
        plain.on_event = self._happened
        self._held[record.id] = plain
        return plain

    def tell(self, container_id: str, event: str, attributes: Mapping[str, str] | None = None) -> None:
        """Hear what somebody else did with a container; nothing of one that is not plain."""
        plain = self._held.get(container_id)
        if plain is not None:
            self._happened(plain, event, attributes or {})

    def _happened(
        self, plain: Plain, event: str, attributes: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._node.networks.changed()
        self.events.note(plain.record, event, attributes)
        self.on_event(plain, event, attributes)

    def _gone(self, plain: Plain) -> None:
        self._held.pop(plain.id, None)
        self._happened(plain, "destroy")


def _credentials(spec: PlainSpec) -> Credentials | None:
    if not spec.container.HasField("registry_auth"):
        return None
    auth = spec.container.registry_auth
    return Credentials(auth.server, auth.username, auth.password, auth.identity_token)
