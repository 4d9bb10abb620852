"""Which nodes are alive, dead, or expected back? The leader's table of who was heard when.

The promise is a replacement RUNNING within 10 s of losing a worker, also when the leader dies with it,
and no node moved because packets were lost. Hence, with the default period P of 2.5 s:

- agents speak twice a period and are declared DOWN after 3 silent periods (7.5 s): TCP gets more than 6
  s, six transmissions, to bring one heartbeat through; and an agent whose manager does not answer for a
  period opens a second session with another manager while the first goes on.
- a new leader gives every node a fresh grace of 2.2 periods: more than an agent needs to notice a dead
  manager (at most 1.4) and to reach another. What other managers tell it cannot shorten that, because
  the node may have been with the manager that died.
- managers tell *how long ago* they heard a node, so the way to the leader does not add to the grace.
- a session that ended is a hint, never proof: the node becomes DISCONNECTED after a second, which keeps
  new tasks away but moves none.
- the period stretches with the number of nodes, so that heartbeats never cost a manager more than a
  tenth of a core.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from swarm.api.v1.dispatcher_pb2 import SessionState
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import (
    NODE_STATE_DISCONNECTED,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
    NodeDescription,
    NodeState,
)
from swarm.clock import SECOND
from swarm.manager.dispatcher.balance import Held
from swarm.model import defaults

STRETCH_NS_PER_NODE = 5_000_000  # 1,000 nodes: 5 s
MINIMUM_PERIOD_NS = 100_000_000  # below it heartbeats are most of what a cluster does

GRACE_PERIODS = 3.0
SETTLE_PERIODS = 3.0  # a manager must have been there for so long before agents are sent to it
REPORT_PERIODS = (
    1.5  # managers report twice a period: from one that was silent for longer news may be missing
)
FRESH_GRACE_PERIODS = 2.2
# An agent moves to another manager within about a second: until then nobody need know.
RECONNECT_S = 1.0


def heartbeat_period_ns(cluster: Cluster | None, node_count: int) -> int:
    """Return the period (nanoseconds) in which agents must be heard: as configured, or longer."""
    configured = defaults.heartbeat_period_ns(cluster.spec if cluster is not None else ClusterSpec())
    return max(configured, node_count * STRETCH_NS_PER_NODE, MINIMUM_PERIOD_NS)


@dataclass(frozen=True, slots=True)
class NodeChange:
    """What the leader writes into a node object."""

    node_id: str
    state: "NodeState"
    message: str
    addr: str
    description: NodeDescription | None


@dataclass(slots=True)
class _Held:
    """What one manager says of its session with a node."""

    connected: bool
    heard_s: float
    addr: str
    description: NodeDescription | None
    session_id: str
    incarnation: int

    def says_the_same(self, other: "_Held") -> bool:
        """Whether `other` differs in nothing but when the node was heard."""
        return (
            self.description is other.description
            and self.connected == other.connected
            and self.session_id == other.session_id
            and self.incarnation == other.incarnation
            and self.addr == other.addr
        )


@dataclass(slots=True)
class _Record:
    known_s: float  # since when this leader knows of the node
    heard_s: float = float("-inf")
    by_manager: dict[str, _Held] = field(default_factory=dict)
    disconnected_s: float | None = None  # since when no manager has a session
    settled: Node | None = None  # the object that says all there is to say, as long as the node is heard

    def __post_init__(self) -> None:
        """Nobody has told of a session yet: a node that is not reported has lost it."""
        if self.disconnected_s is None:
            self.disconnected_s = self.known_s

    def connected(self) -> bool:
        return any(held.connected for held in self.by_manager.values())

    def silent_s(self, period_s: float, now_s: float) -> float:
        """Return how long the node was silent; a new leader begins in the middle of a period."""
        head_start_s = (GRACE_PERIODS - FRESH_GRACE_PERIODS) * period_s
        return now_s - max(self.heard_s, self.known_s - head_start_s)

    def begin_anew(self, now_s: float) -> None:
        """Count silence from now on."""
        if self.heard_s >= self.known_s:
            self.heard_s = now_s
        else:
            self.known_s = now_s

    def newest(self) -> _Held | None:
        manager_id = self.holder()
        return self.by_manager[manager_id] if manager_id is not None else None

    def holder(self) -> str | None:
        """Return the manager with the session; of several that where the node was heard last."""
        connected = [
            (held.incarnation, held.heard_s, key) for key, held in self.by_manager.items() if held.connected
        ]
        return max(connected)[2] if connected else None


class LivenessTable:
    """Who was heard when, as told by all managers. Times are seconds of the leader's monotonic clock."""

    def __init__(self, now_s: float, suspects: Iterable[str] = ()) -> None:
        """Start at the moment leadership was won.

        `suspects` are nodes that a new leader has reason to doubt, such as the one that led before: until
        they are heard they get no new tasks.
        """
        self._records = {node_id: _Record(now_s, disconnected_s=float("-inf")) for node_id in suspects}
        self._looked_s = now_s
        self._period_s = 0.0
        self._managers: dict[str, tuple[float, float]] = {}  # since when each reports, and when last

    def report(
        self, manager_id: str, complete: bool, sessions: Sequence[SessionState], now_s: float
    ) -> None:
        """Take over what a manager says of its sessions; with `complete` it has no others."""
        self._note_manager(manager_id, now_s)
        if complete:
            named = {session.node_id for session in sessions}
            for node_id, record in self._records.items():
                if node_id not in named and record.by_manager.pop(manager_id, None) is not None:
                    record.settled = None
                    _note_connection(record, now_s)
        for session in sessions:
            self._take(manager_id, session, now_s)

    def _take(self, manager_id: str, session: SessionState, now_s: float) -> None:
        heard_s = now_s - session.silent_ns / SECOND
        record = self._records.setdefault(session.node_id, _Record(now_s))
        record.heard_s = max(record.heard_s, heard_s)
        before = record.by_manager.get(manager_id)
        # What an earlier session said of the node may be outdated by what the node told another manager.
        same = before is not None and before.session_id == session.session_id
        description = before.description if before is not None and same else None
        if session.HasField("description"):
            description = session.description
        held = _Held(
            session.connected, heard_s, session.addr, description, session.session_id, session.incarnation
        )
        if before is None or not before.says_the_same(held):
            record.settled = None
        record.by_manager[manager_id] = held
        _note_connection(record, now_s)

    def _note_manager(self, manager_id: str, now_s: float) -> None:
        since_s, _ = self._managers.get(manager_id, (now_s, now_s))
        self._managers[manager_id] = (since_s, now_s)

    def settled_managers(self, period_s: float, now_s: float) -> frozenset[str]:
        """Return the managers that have been reporting for a while without a break."""
        return frozenset(
            manager_id
            for manager_id, (since_s, _) in self._managers.items()
            if now_s - since_s >= SETTLE_PERIODS * period_s
        )

    def sessions(self, *, several: bool = False) -> list[Held]:
        """Return what managers that are still there have with nodes; `several`: with those at several."""
        return [
            Held(manager_id, node_id, held.session_id, held.incarnation, held.heard_s, held.connected)
            for node_id, record in self._records.items()
            if not several or len(record.by_manager) > 1
            for manager_id, held in record.by_manager.items()
            if manager_id in self._managers
        ]

    def holder(self, node_id: str) -> str | None:
        """Return the node id of the manager that has the session with a node; None: nobody has said so."""
        record = self._records.get(node_id)
        return record.holder() if record is not None else None

    def silences(self, now_s: float) -> dict[str, float]:
        """Return for how many seconds each node that was heard has been silent."""
        return {
            node_id: now_s - record.heard_s
            for node_id, record in self._records.items()
            if record.heard_s > float("-inf")
        }

    def plan(self, nodes: Iterable[Node], period_s: float, now_s: float) -> tuple[NodeChange, ...]:
        """Return what must be written about `nodes`, which are all nodes there are.

        When this function was not called for a while (the machine was suspended, the process stopped),
        then the silence was our own: all deadlines move by the gap. A shorter period counts from now on:
        so far agents have spoken as seldom as they were told.
        """
        self._forgive(period_s, now_s)
        if period_s < self._period_s:
            for record in self._records.values():
                record.begin_anew(now_s)
        self._period_s = period_s
        for manager_id, (_, last_s) in tuple(self._managers.items()):
            if now_s - last_s > REPORT_PERIODS * period_s:
                del self._managers[manager_id]
        known: dict[str, _Record] = {}
        changes: list[NodeChange] = []
        heard_after_s = now_s - GRACE_PERIODS * period_s
        for node in nodes:
            record = self._records.get(node.id) or _Record(now_s)
            known[node.id] = record
            if record.settled is node and record.heard_s > heard_after_s:
                continue  # almost all nodes, almost always
            change = _judge(node, record, period_s, now_s)
            if change is not None:
                changes.append(change)
        self._records = known
        return tuple(changes)

    def _forgive(self, period_s: float, now_s: float) -> None:
        gap_s = now_s - self._looked_s
        self._looked_s = now_s
        if gap_s > period_s:
            for record in self._records.values():
                record.heard_s = min(now_s, record.heard_s + gap_s)
                record.known_s = min(now_s, record.known_s + gap_s)


def _note_connection(record: _Record, now_s: float) -> None:
    if record.connected():
        record.disconnected_s = None
    elif record.disconnected_s is None:
        record.disconnected_s = now_s


def _judge(node: Node, record: _Record, period_s: float, now_s: float) -> NodeChange | None:
    grace_s = GRACE_PERIODS * period_s
    if record.silent_s(period_s, now_s) >= grace_s:
        if node.status.awaited:
            return None
        return _change(node, NODE_STATE_DOWN, _silence(record, grace_s, now_s), None)
    held = record.newest()
    if held is not None:
        change = _change(node, NODE_STATE_READY, "", held)
        # With several sessions the one that was heard last decides, which changes all the time.
        record.settled = node if change is None and len(record.by_manager) == 1 else None
        return change
    gone_s = record.disconnected_s
    if gone_s is not None and now_s - gone_s >= RECONNECT_S and node.status.state == NODE_STATE_READY:
        return _change(node, NODE_STATE_DISCONNECTED, "its session ended; it is expected back", None)
    return None


def _silence(record: _Record, grace_s: float, now_s: float) -> str:
    if record.heard_s >= record.known_s:
        return f"no heartbeat for {grace_s:g} s"
    return f"no heartbeat since this leader was elected {now_s - record.known_s:.1f} s ago"


def _change(node: Node, state: "NodeState", message: str, held: _Held | None) -> NodeChange | None:
    addr = held.addr if held and held.addr else node.status.addr
    description = held.description if held else None
    if description is not None and node.HasField("description") and node.description == description:
        description = None
    if node.status.state == state and node.status.addr == addr and description is None:
        return None
    return NodeChange(node.id, state, message, addr, description)
