"""How does a manager get it written down that it holds an image? By the leader, wherever that is."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1.images_pb2 import HeldImage, ReportImageHolderRequest
from swarm.api.v1.images_pb2_grpc import ImagesStub
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import NotLeader, Unavailable
from swarm.ids import new_id
from swarm.manager.images.holders import check_report, record_held
from swarm.manager.store.scope import Scope
from swarm.manager.store.store import Store

Dial = Callable[[str], grpc.aio.Channel]

_RETRY_S = 0.2


class Consensus(Protocol):
    """Who leads and who belongs; RaftNode is one."""

    @property
    def is_leader(self) -> bool:
        """Whether this manager may write."""

    @property
    def leader(self) -> RaftMember | None:
        """The leader, as far as this manager knows."""

    @property
    def members(self) -> Sequence[RaftMember]:
        """Every member, this manager included."""

    async def barrier(self, timeout_s: float) -> int:
        """Return once everything committed before is applied here; raises NotLeader or NoQuorum."""


class HolderReports:
    """Writes reports when this manager leads, else sends them to the leader."""

    def __init__(self, store: Store, raft: Consensus, node_id: str, dial: Dial) -> None:
        """Report for manager `node_id`; `dial(addr)` opens a connection to a manager."""
        self._store = store
        self._raft = raft
        self._node_id = node_id
        self._dial = dial

    @property
    def leading(self) -> bool:
        """Whether this manager leads now."""
        return self._raft.is_leader

    async def report(
        self,
        images: Sequence[HeldImage],
        *,
        loaded: bool = False,
        scope: Scope = (),
        timeout_s: float = 5.0,
    ) -> list[Image]:
        """Report that this manager holds `images`, and return those that are in the cluster.

        What is missing in the answer is not in the cluster: the leader has said so. Tries again while no
        leader is known. `scope` is that of who loaded them. Raises NotPermitted, NotLeader, NoQuorum,
        OutcomeUnknown, Unavailable; may be repeated.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            remaining_s = deadline_s - asyncio.get_running_loop().time()
            try:
                return await self._report(images, loaded, scope, max(remaining_s, 0.1))
            except (NotLeader, Unavailable):
                if remaining_s <= _RETRY_S:
                    raise
                await asyncio.sleep(_RETRY_S)

    async def record(
        self,
        images: Sequence[HeldImage],
        node_id: str,
        *,
        loaded: bool,
        scope: Scope = (),
        timeout_s: float = 5.0,
    ) -> list[Image]:
        """Write down a report of manager `node_id`; on the leader only. Raises as `report`."""
        check_report(images, loaded=loaded)
        ids = [new_id() for _ in range(2 * len(images))]
        # A report that changes nothing is no write, and must not be answered from an old state either.
        await self._raft.barrier(timeout_s)
        await self._store.update(
            lambda transaction: record_held(transaction, images, node_id, ids, loaded=loaded, scope=scope),
            timeout_s,
        )
        named = [(self._store.view.images.by_name(held.reference), held) for held in images]
        return [image for image, held in named if image is not None and image.digest == held.digest]

    async def _report(
        self, images: Sequence[HeldImage], loaded: bool, scope: Scope, timeout_s: float
    ) -> list[Image]:
        if self._raft.is_leader:
            return await self.record(images, self._node_id, loaded=loaded, scope=scope, timeout_s=timeout_s)
        leader = self._raft.leader
        if leader is None:
            raise NotLeader
        request = ReportImageHolderRequest(images=images, loaded=loaded, scope=scope)
        async with self._dial(leader.addr) as channel:
            try:
                answer = await ImagesStub(channel).ReportHolder(request, timeout=timeout_s)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error
        return list(answer.images)
