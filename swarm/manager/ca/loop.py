"""Makes the observed role of every node follow the desired one; runs on the leader."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NodeRole
from swarm.clock import Clock, nanoseconds
from swarm.errors import NotFound, SwarmError
from swarm.manager.ca.roles import Act, Step, plan_roles
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Watch, WatchOverflow
from swarm.pacing import rest_s

log = structlog.get_logger(__name__)

AFTER_A_STEP_S = 0.1  # the next step often depends on the last, and Raft membership is no event of the store
RETRY_S = 5.0
IDLE_S = 60.0  # to heal what no event announced
STEP_TIMEOUT_S = 5.0


class RaftGroup(Protocol):
    """What the role manager asks of Raft."""

    @property
    def raft_id(self) -> str:
        """This member's id."""

    @property
    def members(self) -> Sequence[RaftMember]:
        """All members."""

    def reachable(self, raft_id: str) -> bool:
        """Whether a member answered lately."""

    async def remove_member(self, raft_id: str, timeout_s: float) -> None:
        """Take a member out of the group."""

    async def transfer_leadership(self, timeout_s: float) -> None:
        """Make another member lead."""


class RoleLoop:
    """The role manager."""

    def __init__(self, store: Store, clock: Clock, raft: RaftGroup) -> None:
        """Change roles in `store` and members in `raft`."""
        self._store = store
        self._clock = clock
        self._raft = raft
        self._looked_s = 0.0  # how long the last look at all nodes took
        self._told: dict[str, str] = {}  # node id → why it waits, so that it is logged once

    async def run(self) -> None:
        """Run until cancelled."""
        with self._store.watch(Node) as watch:
            while True:
                await self._forget_expired()
                again_s = await self._pass()
                await asyncio.sleep(rest_s(self._looked_s))
                await _next_change(watch, again_s)

    async def _pass(self) -> float:
        """Do every step that can be done now; returns after how many seconds to look again."""
        began_s = self._clock.monotonic_s()
        steps = plan_roles(
            self._store.view.nodes, self._raft.members, self._raft.raft_id, self._raft.reachable
        )
        self._looked_s = self._clock.monotonic_s() - began_s
        done = 0
        for step in steps:
            try:
                done += await self._do(step)
            except SwarmError as error:
                log.warning("ca.role_change_failed", node_id=step.node_id, reason=str(error))
        self._told = {step.node_id: step.reason for step in steps if step.act is Act.WAIT}
        if done:
            return AFTER_A_STEP_S
        return RETRY_S if steps else IDLE_S

    async def _do(self, step: Step) -> bool:
        """Do one step; returns whether something changed."""
        if step.act is Act.WAIT:
            if self._told.get(step.node_id) != step.reason:
                log.warning("ca.demotion_waits", node_id=step.node_id, reason=step.reason)
            return False
        if step.act is Act.SET_ROLE:
            await self._store.update(lambda tx: set_role(tx, step.node_id, step.role), STEP_TIMEOUT_S)
        elif step.act is Act.REMOVE_MEMBER:
            await self._raft.remove_member(step.raft_id, STEP_TIMEOUT_S)
        else:
            await self._raft.transfer_leadership(STEP_TIMEOUT_S)
        log.info("ca.role_step_done", node_id=step.node_id, reason=step.act.value)
        return True

    async def _forget_expired(self) -> None:
        """Drop removed nodes whose certificates have expired anyhow."""
        now_ns = self._clock.now_ns()
        cluster = self._store.view.cluster
        if cluster is None or not expired_removals(cluster, now_ns):
            return
        try:
            await self._store.update(lambda tx: forget_removals(tx, now_ns), STEP_TIMEOUT_S)
        except SwarmError as error:
            log.warning("ca.removals_kept", reason=str(error))


def set_role(transaction: Transaction, node_id: str, role: NodeRole) -> None:
    """Set the role of a node, unless the desired role changed meanwhile; raises NotFound."""
    current = transaction.nodes.get(node_id)
    if current is None:
        raise NotFound(f"node {node_id} does not exist any more")
    if current.spec.desired_role != role:
        return
    node = Node()
    node.CopyFrom(current)
    node.role = role
    transaction.update(node)


def expired_removals(cluster: Cluster, now_ns: int) -> tuple[str, ...]:
    """Return the removed nodes that need not be remembered: their last certificate is not valid any more."""
    return tuple(
        node_id
        for node_id, removed in cluster.removed_nodes.items()
        if 0 < nanoseconds(removed.expires_at) < now_ns
    )


def forget_removals(transaction: Transaction, now_ns: int) -> None:
    """Forget those nodes."""
    current = transaction.cluster
    if current is None:
        return
    cluster = Cluster()
    cluster.CopyFrom(current)
    for node_id in expired_removals(cluster, now_ns):
        del cluster.removed_nodes[node_id]
    transaction.update(cluster)


async def _next_change(watch: Watch, timeout_s: float) -> None:
    """Wait for a change of nodes, or until it is time to try again."""
    try:
        async with asyncio.timeout(timeout_s):
            await anext(watch)
        watch.drain()
    except (TimeoutError, WatchOverflow):
        pass  # the next pass reads the whole state anyhow
