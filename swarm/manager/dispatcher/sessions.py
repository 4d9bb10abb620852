"""Which agents are connected to this manager, and what does each still have to be told?

A session keeps no queue of assignments: it remembers which tasks changed, and the messages are made of
the newest state at the moment the stream can take them. So a slow agent costs a set of ids, and never
hears stale news.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from swarm.api.v1.containers_pb2 import ContainerCall
from swarm.api.v1.dispatcher_pb2 import (
    Assignments,
    DispatcherMessage,
    Hello,
    Move,
    NodeInfo,
    SessionOrder,
    SessionState,
    StatusAck,
    Welcome,
)
from swarm.api.v1.logs_pb2 import LogSubscription
from swarm.clock import SECOND
from swarm.errors import IdentityInUse, SessionExpired, SwarmError
from swarm.manager.dispatcher.assignments import AssignmentSet
from swarm.manager.dispatcher.data import TaskValues
from swarm.manager.dispatcher.overlay_news import News
from swarm.manager.dispatcher.settled import Reached, SessionProgress
from swarm.manager.store.tables import ReadView
from swarm.model.truncate import bounded_description

# Makes what asks the drivers of secrets for one agent; given what to call with the key of each news.
MakeValues = Callable[[Callable[[str], None]], TaskValues]

REGISTRATIONS_MAX = 6
REGISTRATIONS_WINDOW_S = 8.0


class RegistrationLimit:
    """Tells agents that register too often to slow down."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}

    def allows(self, node_id: str, now_s: float) -> bool:
        """Count a registration; whether the node may register now (at most 6 in 8 s)."""
        recent = self._recent.setdefault(node_id, deque(maxlen=REGISTRATIONS_MAX))
        while recent and now_s - recent[0] >= REGISTRATIONS_WINDOW_S:
            recent.popleft()
        if len(recent) == REGISTRATIONS_MAX:
            return False
        recent.append(now_s)
        return True

    def forget_old(self, now_s: float) -> None:
        """Free what no longer limits anybody."""
        self._recent = {
            node_id: recent
            for node_id, recent in self._recent.items()
            if recent and now_s - recent[-1] < REGISTRATIONS_WINDOW_S
        }


def identity_in_use(node_id: str) -> str:
    """Return what to tell a machine that has the identity of another one."""
    return (
        f"an agent that was started later is connected as node {node_id}; if it is another machine, one is "
        "a copy of the other: run `swarmctl leave --force` on the copy and join again"
    )


class AgentSession:
    """One agent's stream to this manager, from one hello to the next.

    A standby is told nothing but that its heartbeats arrive.
    """

    def __init__(
        self,
        node_id: str,
        session_id: str,
        addr: str,
        now_s: float,
        hello: Hello,
        wake: asyncio.Event,
        *,
        values: MakeValues | None = None,
    ) -> None:
        """`addr` is the agent's address as this manager sees it, without port; `wake` is the stream's.

        `values` makes what asks the drivers of secrets.
        """
        self.node_id = node_id
        self.session_id = session_id
        self.addr = addr
        self.standby = hello.standby
        self.displaced = False  # the agent has not said so here
        self.incarnation = hello.incarnation
        self.description = bounded_description(hello.description) if hello.HasField("description") else None
        self.heard_s = now_s
        self.over: asyncio.Future[SwarmError | None] = asyncio.get_running_loop().create_future()
        self.wake = wake
        self._welcome_due = True
        self._values = values(self._answered) if values is not None and not hello.standby else None
        self._assignments = AssignmentSet(node_id, self._values)
        self._complete_due = not hello.standby
        self._changed_ids: dict[str, None] = {}  # in order of change
        self._networks_changed = self._data_changed = False
        # Without: an agent of an older version, whose word nobody has to wait for.
        self._progress = SessionProgress() if hello.acknowledges_networks else None
        self._info_due = not hello.standby
        self._info: NodeInfo | None = None
        self._acked = 0
        self._ack_due = False
        self._move_to = ""
        self._subscriptions: deque[LogSubscription] = deque()
        self._calls: dict[str, ContainerCall] = {}  # by id: said again before it was sent, it is one
        self.wake.set()

    def end(self, error: SwarmError | None) -> None:
        """End the stream, with `error` as its status; without, the next hello goes on from here."""
        self._end_asking()
        if not self.over.done():
            self.over.set_result(error)

    def displace(self) -> None:
        """Be a standby from now on: another stream of this agent became the session."""
        self.standby = self.displaced = True
        self._end_asking()

    def _end_asking(self) -> None:
        if self._values is not None:
            self._values.close()

    def _answered(self, key: str) -> None:
        """Note that the driver of a secret says something new for a task."""
        self._assignments.note_answer(key)
        self._data_changed = True
        self.wake.set()

    def task_changed(self, task_id: str) -> None:
        """Note that a task of this node changed."""
        self._changed_ids[task_id] = None
        self.wake.set()

    def networks_changed(self, paper: Mapping[str, News], index: int) -> None:
        """Note what may differ in networks since the entry `index`."""
        if self._assignments.note_networks(paper):
            self._networks_changed = True
            if self._progress is not None:
                self._progress.note(index)
            self.wake.set()

    def everything_changed(self) -> None:
        """Send the whole set again: changes were missed."""
        self._complete_due = self._info_due = True
        if self._progress is not None:
            self._progress = SessionProgress()
        self.wake.set()

    def info_changed(self) -> None:
        """Look at the node info again, and send it if it differs."""
        self._info_due = not self.standby
        self.wake.set()

    def networks_applied(self, sequence: int) -> None:
        """Hear that what the assignments up to `sequence` said of networks is in force."""
        if self._progress is not None:
            self._progress.apply(sequence)

    @property
    def networks_lag(self) -> int | None:
        """The entry up to which what concerns networks is in force there; None: all of it."""
        return self._progress.lag if self._progress is not None else None

    def acknowledge(self, sequence: int) -> None:
        """Every status report up to `sequence` is committed; 0 only answers a heartbeat."""
        self._acked = max(self._acked, sequence)
        self._ack_due = True
        self.wake.set()

    def move(self, manager_id: str) -> None:
        """Ask the agent to have its session with another manager."""
        self._move_to = manager_id
        self.wake.set()

    def subscribe_logs(self, subscription: LogSubscription) -> None:
        """Pass a log subscription (or its end) on to the agent."""
        self._subscriptions.append(subscription)
        self.wake.set()

    def call(self, call: ContainerCall) -> None:
        """Ask the agent to come to the manager that the call names."""
        self._calls[call.id] = call
        self.wake.set()

    def take(
        self, view: ReadView, info: Callable[[], NodeInfo], leaderless: bool
    ) -> list[DispatcherMessage]:
        """Return everything the agent has to be told now; the caller sends it."""
        messages: list[DispatcherMessage] = []
        if self._welcome_due:
            self._welcome_due = False
            messages.append(DispatcherMessage(welcome=self._welcome(info().heartbeat_period_ns, leaderless)))
        if self._ack_due:
            self._ack_due = False
            ack = StatusAck(sequence=self._acked, leaderless=leaderless)
            messages.append(DispatcherMessage(status_ack=ack))
        if self._info_due:
            self._info_due = False
            fresh = info()
            if fresh != self._info:
                self._info = fresh
                messages.append(DispatcherMessage(node_info=fresh))
        messages.extend(DispatcherMessage(assignments=part) for part in self._take_assignments(view))
        if self._move_to:
            messages.append(DispatcherMessage(move=Move(manager_id=self._move_to)))
            self._move_to = ""
        while self._subscriptions:
            messages.append(DispatcherMessage(log_subscription=self._subscriptions.popleft()))
        calls, self._calls = self._calls, {}
        messages.extend(DispatcherMessage(container_call=call) for call in calls.values())
        return messages

    def _welcome(self, period_ns: int, leaderless: bool) -> Welcome:
        return Welcome(
            session_id=self.session_id,
            heartbeat_period_ns=period_ns,
            leaderless=leaderless,
            standby=self.standby,
        )

    def _take_assignments(self, view: ReadView) -> list[Assignments]:
        changed, self._changed_ids = self._changed_ids, {}
        networks, self._networks_changed = self._networks_changed, False
        more, self._data_changed = networks or self._data_changed, False
        complete, self._complete_due = self._complete_due, False
        if complete:
            messages = self._assignments.complete(view)
        else:
            messages = self._assignments.changes(view, changed) if changed or more else []
        if self._progress is not None and (complete or networks):
            told = complete or any(message.networks for message in messages)
            self._progress.tell(self._assignments.sequence if told else 0)
        return messages


class Sessions:
    """All streams of agents to this manager, and for a while ended sessions: somebody has to say when."""

    def __init__(self) -> None:
        self._open: dict[str, AgentSession] = {}
        self._standby: dict[str, set[AgentSession]] = {}
        self._ended: dict[str, AgentSession] = {}
        self._changed: dict[str, None] = {}
        self.changed = asyncio.Event()  # a session was opened or closed, or described its node anew
        self.networks_index = 0  # the newest entry whose news of networks all sessions have noted
        self._on_open: list[Callable[[str], None]] = []

    def __iter__(self) -> Iterator[AgentSession]:
        """Iterate over the open sessions."""
        return iter(tuple(self._open.values()))

    def __len__(self) -> int:
        """Return the number of open sessions."""
        return len(self._open)

    def get(self, node_id: str) -> AgentSession | None:
        """Return the open session of a node."""
        return self._open.get(node_id)

    def streams(self, node_id: str | None = None) -> tuple[AgentSession, ...]:
        """Return everything that is open, standbys included: of one node, or of all."""
        if node_id is not None:
            session = self._open.get(node_id)
            return (*((session,) if session else ()), *self._standby.get(node_id, ()))
        return (*self._open.values(), *(one for several in self._standby.values() for one in several))

    def on_open(self, callback: Callable[[str], None]) -> None:
        """Call `callback(node id)` for every session opened from now on."""
        self._on_open.append(callback)

    def send_log_subscription(self, node_id: str, subscription: LogSubscription) -> bool:
        """Pass a subscription on to the agent of a node; False when it has no session here."""
        session = self._open.get(node_id)
        if session is None:
            return False
        session.subscribe_logs(subscription)
        return True

    def send_container_call(self, node_id: str, call: ContainerCall) -> bool:
        """Pass a call on to the agent of a node; False when it has no session here."""
        session = self._open.get(node_id)
        if session is None:
            return False
        session.call(call)
        return True

    def open(self, session: AgentSession) -> None:
        """Add a stream; an earlier session of the agent becomes a standby, those of earlier agents end."""
        self._end_older(session.node_id, session.incarnation)
        if session.standby:
            self._standby.setdefault(session.node_id, set()).add(session)
            return
        earlier = self._open.get(session.node_id)
        if earlier is not None and earlier.incarnation == session.incarnation:
            earlier.displace()
            self._standby.setdefault(session.node_id, set()).add(earlier)
        elif earlier is not None:  # of an agent that is silent, otherwise this one had been refused
            earlier.end(SessionExpired("replaced by a newer session of the same node"))
        self._open[session.node_id] = session
        self._ended.pop(session.node_id, None)
        self.note_change(session.node_id)
        for callback in self._on_open:
            callback(session.node_id)

    def close(self, session: AgentSession) -> None:
        """Take a stream away that has ended, or goes on as another session."""
        if self._open.get(session.node_id) is session:
            del self._open[session.node_id]
            self._ended[session.node_id] = session
            self.note_change(session.node_id)
            self._end_displaced(session)
        standbys = self._standby.get(session.node_id, set())
        standbys.discard(session)
        if not standbys:
            self._standby.pop(session.node_id, None)

    def obey(self, order: SessionOrder) -> bool:
        """Do what the leader wants to become of a session; False when that session is no more."""
        streams = self.streams(order.node_id)
        stream = next((one for one in streams if one.session_id == order.session_id), None)
        if stream is None:
            return False
        if not order.move_to:
            self._end_older(order.node_id, stream.incarnation + 1)
        elif not stream.standby:
            stream.move(order.move_to)
        return True

    def has_newer(self, node_id: str, incarnation: int, limit_s: float, now_s: float) -> bool:
        """Whether an agent of the same node that was started later was heard here within `limit_s`."""
        return any(
            stream.incarnation > incarnation and now_s - stream.heard_s <= limit_s
            for stream in self.streams(node_id)
        )

    def _end_older(self, node_id: str, incarnation: int) -> None:
        for stream in self.streams(node_id):
            if stream.incarnation < incarnation:
                stream.end(IdentityInUse(identity_in_use(node_id)))

    def _end_displaced(self, session: AgentSession) -> None:
        """Have the agent begin anew when what it takes for its session was displaced by one that ended."""
        for stream in self._standby.get(session.node_id, ()):
            if stream.displaced:
                stream.end(SessionExpired("another session of the same node took over and ended"))

    def note_change(self, node_id: str) -> None:
        """Have the leader told about a node soon."""
        self._changed[node_id] = None
        self.changed.set()

    def expire(self, limit_s: float, now_s: float) -> None:
        """End streams that were silent for `limit_s`; forget ended sessions after another while."""
        for session in self.streams():
            if now_s - session.heard_s >= limit_s:
                session.end(SessionExpired(f"nothing was heard of the node for {limit_s:g} s"))
        # Until then the leader has judged by itself.
        self._ended = {
            node_id: session
            for node_id, session in self._ended.items()
            if now_s - session.heard_s < 2 * limit_s
        }

    def take_states(self, view: ReadView, complete: bool, now_s: float) -> list[SessionState]:
        """Return what the leader should know: all sessions, or those that changed since the last call."""
        changed, self._changed = self._changed, {}
        self.changed.clear()
        known: Iterable[str] = {**self._open, **self._standby, **self._ended} if complete else changed
        return [state for node_id in known if (state := self._state(view, node_id, now_s)) is not None]

    def networks_reached(self) -> Reached:
        """Return what of networks is in force on the nodes that have their session here."""
        behind = {node_id: one.networks_lag for node_id, one in self._open.items()}
        return Reached(self.networks_index, {id_: lag for id_, lag in behind.items() if lag is not None})

    def _state(self, view: ReadView, node_id: str, now_s: float) -> SessionState | None:
        ended = self._ended.get(node_id)
        streams = (*self.streams(node_id), *((ended,) if ended else ()))
        node = view.nodes.get(node_id)
        if not streams or node is None:
            return None
        session = streams[0]  # the open one, if there is one
        heard_s = max(one.heard_s for one in streams)
        state = SessionState(
            node_id=node_id,
            session_id=session.session_id,
            connected=node_id in self._open,
            addr=session.addr,
            silent_ns=max(0, int((now_s - heard_s) * SECOND)),
            incarnation=session.incarnation,
        )
        # Descriptions are long and change rarely: sent as long as the store here has another one.
        if session.description is not None and node.description != session.description:
            state.description.CopyFrom(session.description)
        return state
