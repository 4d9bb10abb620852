"""The leader's loop that writes which nodes are alive."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import NodeState
from swarm.clock import SECOND, Clock
from swarm.errors import TransientError
from swarm.manager.dispatcher.balance import Balancer
from swarm.manager.dispatcher.leader_servicer import LeaderServicer
from swarm.manager.dispatcher.liveness import LivenessTable, NodeChange, heartbeat_period_ns
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.pacing import rest_s

log = structlog.get_logger(__name__)

LOOK_S = 0.25  # how late a deadline may be noticed
# Less than a heartbeat period, so that waiting for a majority is not mistaken for a pause of the
# machine.
WRITE_TIMEOUT_S = 2.0
CHANGES_PER_COMMIT = 100  # a transaction of this size holds up the event loop for a few ms


class LivenessLoop:
    """Runs while this manager leads."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        leader: LeaderServicer,
        shares: Callable[[], Mapping[str, int]],
        suspects: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`leader` receives the reports this loop judges by; `shares` are the weights of all managers.

        `suspects` names nodes to doubt.
        """
        self._suspects = suspects
        self._shares = shares
        self._store = store
        self._clock = clock
        self._leader = leader
        self._looked_s = 0.0  # how long the last look took

    async def run(self) -> None:
        """Judge nodes until cancelled."""
        table = LivenessTable(self._clock.monotonic_s(), self._suspects())
        balancer = Balancer()
        with self._leader.leading(table):
            while True:
                await self._judge(table)
                self._balance(table, balancer)
                await self._wait()

    def _balance(self, table: LivenessTable, balancer: Balancer) -> None:
        """Have managers told what is to become of their sessions."""
        now_s = began_s = self._clock.monotonic_s()
        period_s = self._period_s()
        settled = table.settled_managers(period_s, now_s)
        shares = {manager: share for manager, share in self._shares().items() if manager in settled}
        sessions = table.sessions(several=not balancer.plans_moves(now_s))
        for manager_id, orders in balancer.orders(sessions, shares, period_s, now_s).items():
            self._leader.orders.setdefault(manager_id, []).extend(orders)
        self._looked_s += self._clock.monotonic_s() - began_s

    def _period_s(self) -> float:
        view = self._store.view
        return heartbeat_period_ns(view.cluster, len(view.nodes)) / SECOND

    async def _judge(self, table: LivenessTable) -> None:
        """Write what changed, for so long; what is left is found again by the next look."""
        began_s = self._clock.monotonic_s()
        changes = table.plan(self._store.view.nodes, self._period_s(), began_s)
        self._looked_s = self._clock.monotonic_s() - began_s
        until_s = self._clock.monotonic_s() + WRITE_TIMEOUT_S
        for start in range(0, len(changes), CHANGES_PER_COMMIT):
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0 or not await self._write(changes[start : start + CHANGES_PER_COMMIT], left_s):
                return

    async def _write(self, changes: Sequence[NodeChange], timeout_s: float) -> bool:
        """Commit some changes; False when that is not known to have succeeded."""
        try:
            written = await self._store.update(
                lambda transaction: write_changes(transaction, changes), timeout_s
            )
        except TransientError as error:
            log.warning("dispatcher.node_states_not_written", nodes=len(changes), reason=str(error))
            return False
        for change in written:
            log.info(
                "dispatcher.node_state_changed",
                node_id=change.node_id,
                state=NodeState.Name(change.state),
                reason=change.message,
            )
        return True

    async def _wait(self) -> None:
        await asyncio.sleep(rest_s(self._looked_s))
        try:
            async with asyncio.timeout(LOOK_S):
                await self._leader.reported.wait()
        except TimeoutError:
            return
        self._leader.reported.clear()


def write_changes(transaction: Transaction, changes: Sequence[NodeChange]) -> list[NodeChange]:
    """Write `changes` into the nodes that still exist; return those that changed a node's state."""
    flipped: list[NodeChange] = []
    for change in changes:
        node = transaction.nodes.get(change.node_id)
        if node is None:
            continue
        if node.status.state != change.state:
            flipped.append(change)
        transaction.update(changed_node(node, change))
    return flipped


def changed_node(node: Node, change: NodeChange) -> Node:
    """Return a copy of `node` with `change` in it."""
    copy = Node()
    copy.CopyFrom(node)
    copy.status.state = change.state
    copy.status.message = change.message
    copy.status.addr = change.addr
    copy.status.ClearField("awaited")  # it was heard
    if change.description is not None:
        copy.description.CopyFrom(change.description)
    return copy
