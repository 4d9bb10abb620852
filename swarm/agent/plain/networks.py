"""How a plain container reaches networks: its interfaces, its names, and its addresses, which managers give.

What the managers were told is remembered by a number that grows: a word that comes late, or twice, does
nothing there. Whatever they know and this node does not, and the other way round, is put right when a
manager is heard again, and now and then.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import structlog

from swarm.agent.container import NodeFacts, resolver_client
from swarm.agent.network.base import NodeNetwork, PublishedPort, Sandbox, TaskNetwork
from swarm.agent.overlay.feed import networks_of
from swarm.agent.plain.config import as_task
from swarm.agent.resolver.base import Resolver
from swarm.api.v1.dispatcher_pb2 import AttachRequest, AttachResponse
from swarm.api.v1.objects_pb2 import Attachment, Task
from swarm.api.v1.plain_pb2 import PlainContainer
from swarm.clock import Clock
from swarm.errors import SwarmError, TransientError

log = structlog.get_logger(__name__)

JOIN_TRIES = (
    10  # each of two seconds: for this node to hear of a network that it was just given an address in
)
LOOK_S = 60.0
RELEASE_TIMEOUT_S = 5.0
RETRY_S = 1.0
RETRY_MAX_S = 15.0

WaitFor = Callable[[Task], Awaitable[tuple[TaskNetwork, ...]]]
Ask = Callable[[AttachRequest], Awaitable[AttachResponse]]
OnAddresses = Callable[[Attachment], Awaitable[None]]


class PlainNetworks:
    """The networks of all plain containers of a node."""

    def __init__(
        self,
        network: NodeNetwork,
        resolver: Resolver,
        wait_for: WaitFor,
        ask: Ask,
        clock: Clock,
        facts: Callable[[], NodeFacts],
    ) -> None:
        """`wait_for` returns the networks of a task once they are there; `ask` puts a request to managers.

        Both raise SwarmError.
        """
        # Held while managers are asked and what they said is written down.
        self.turn = asyncio.Lock()
        self._network = network
        self._resolver = resolver
        self._wait_for = wait_for
        self._ask = ask
        self._clock = clock
        self._facts = facts
        self._said: dict[str, Attachment] = {}  # what the managers took last, by container
        self._generation = 0
        self._wake = asyncio.Event()

    # On this node.

    async def join(self, record: PlainContainer, ports: Iterable[PublishedPort]) -> Sandbox:
        """Give a container its network, or change that of one that runs; raises SwarmError."""
        networks = await self._ready(as_task(record))
        sandbox = await self._network.attach(record.id, tuple(ports), networks, record.spec.mac_address)
        await self.introduce(record, sandbox.address)
        return sandbox

    async def _ready(self, task: Task) -> tuple[TaskNetwork, ...]:
        for _ in range(JOIN_TRIES - 1):
            with contextlib.suppress(TransientError):
                return await self._wait_for(task)
        return await self._wait_for(task)

    async def introduce(self, record: PlainContainer, address: str) -> None:
        """Have names answered for a container that has this address in the node's own network."""
        if address:
            task = as_task(record)
            ids = [one.network_id for one in networks_of(task) if one.addresses]
            await self._resolver.attach(resolver_client(task, address, ids, self._facts()))

    async def leave(self, container_id: str) -> None:
        """Take its network from a container that does not run; raises SwarmError, OSError."""
        await self._resolver.detach(container_id)
        await self._network.detach(container_id)

    # In the cluster.

    async def settle(self, record: PlainContainer) -> Attachment:
        """Have the managers give a container what it wants; return what it has then. Raises SwarmError.

        To be called, and its answer to be written down, in one `turn`.
        """
        said = attachment_of(record)
        self._generation = said.generation = max(self._generation + 1, self._clock.now_ns())
        answer = await self._ask(AttachRequest(set=[said]))
        found = next((one for one in answer.attachments if one.id == record.id), None)
        if found is None or found.generation != said.generation:
            self._generation = max(self._generation, found.generation if found is not None else 0)
            raise TransientError("the managers heard something newer of the container: try again")
        said.generation = 0
        del said.wanted[:]
        said.wanted.extend(found.wanted)  # with what the leader filled in, as it is written down now
        self._said[record.id] = said
        return found

    async def release(self, record: PlainContainer) -> None:
        """Have the managers free what a container has that is about to be gone, now or later."""
        if not record.spec.networks:
            return
        self._said.pop(record.id, None)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self._ask(AttachRequest(removed=[record.id]))
        except (SwarmError, TimeoutError) as error:
            log.info("agent.attachment_not_released", container=record.spec.name, reason=str(error))

    async def free_left(self, record: PlainContainer) -> None:
        """Have the managers free what a container had in networks that it has left; within a `turn`."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                if record.spec.networks:
                    await self.settle(record)
                else:
                    await self._ask(AttachRequest(removed=[record.id]))
                    self._said.pop(record.id, None)
        except (SwarmError, TimeoutError) as error:
            log.info("agent.attachment_not_released", container=record.spec.name, reason=str(error))
            self.changed()

    def changed(self) -> None:
        """Hear that something of a container differs from what was said of it."""
        self._wake.set()

    async def run(
        self,
        known: Callable[[], Collection[str]],
        records: Callable[[], Mapping[str, PlainContainer]],
        on_addresses: OnAddresses,
    ) -> None:
        """Keep what the managers know in line, until cancelled.

        `known` returns the ids of all containers that there may be, `records` those that can be read;
        `on_addresses` hears what one has.
        """
        pause_s = RETRY_S
        while True:
            self._wake.clear()
            try:
                await self._bring_in_line(known, records, on_addresses)
                pause_s, wait_s = RETRY_S, LOOK_S
            except (SwarmError, OSError) as error:
                log.info("agent.attachments_not_told", reason=str(error))
                wait_s, pause_s = pause_s, min(2 * pause_s, RETRY_MAX_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _bring_in_line(
        self,
        known: Callable[[], Collection[str]],
        records: Callable[[], Mapping[str, PlainContainer]],
        on_addresses: OnAddresses,
    ) -> None:
        async with self.turn:
            there = {one.id for one in (await self._ask(AttachRequest())).attachments}
            self._said = {key: one for key, one in self._said.items() if key in there}
            mine = records()
            unreadable = frozenset(known()) - mine.keys()
            gone = {key for key in there - unreadable if key not in mine or not _wants_any(mine[key])}
            if gone:
                await self._ask(AttachRequest(removed=sorted(gone)))
                self._said = {key: one for key, one in self._said.items() if key not in gone}
        problem: SwarmError | None = None
        for container_id in [key for key, one in records().items() if self._differs(one)]:
            try:
                await self._say_again(container_id, records, on_addresses)
            except SwarmError as error:  # one that cannot be must not keep the others waiting
                problem = error
        if problem is not None:
            raise problem

    async def _say_again(
        self,
        container_id: str,
        records: Callable[[], Mapping[str, PlainContainer]],
        on_addresses: OnAddresses,
    ) -> None:
        async with self.turn:
            record = records().get(container_id)
            if record is not None and self._differs(record):
                await on_addresses(await self.settle(record))

    def _differs(self, record: PlainContainer) -> bool:
        return _wants_any(record) and self._said.get(record.id) != attachment_of(record)


def _wants_any(record: PlainContainer) -> bool:
    return bool(record.spec.networks) and not record.removing


def attachment_of(record: PlainContainer) -> Attachment:
    """Return what is to be said of a container."""
    return Attachment(
        id=record.id,
        name=record.spec.name,
        hostname=record.spec.container.hostname,
        wanted=record.spec.networks,
        serving=bool(record.address),
    )
