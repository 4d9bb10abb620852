"""Keeps this node connected to some manager, and heard by a second one; `links` decides.

The session is opened elsewhere before it is given up. So a lost packet costs nothing, a manager that is
cut off costs its agents no time, and moving to another manager interrupts nothing.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence

import grpc
import structlog

from swarm.agent.links import Link, Role, plan, suspect_after_s
from swarm.agent.managers import ManagerChoice
from swarm.agent.session import Node, Session
from swarm.api.v1.dispatcher_pb2 import Hello, UsageReport
from swarm.api.v1.types_pb2 import NodeDescription, Peer
from swarm.clock import Clock
from swarm.errors import IdentityInUse, NodeRemoved, SwarmError

log = structlog.get_logger(__name__)

LOOK_S = 0.25
PERIOD_S = 2.5  # until a manager says otherwise
# Attempts under way, and the time between them, by how many healthy streams are missing: an attempt that
# takes longer gets company, because its manager's machine may be gone or its packets lost.
ATTEMPTS_AT_ONCE = (0, 2, 4)
STAGGER_S = (0.0, 1.5, 0.5)
# After a leader's death managers notice at different times that there is none: that is no reason to move.
LEADERLESS_PERIODS = 0.6
SUSPECT_PERIODS = (1.0, 1.4)  # by chance, so that not all agents of a slow manager leave at once
STREAMS = 2  # the session and a standby
IDENTITY_PAUSE_S = 10.0  # before this machine tries again to be a node that another one is
# It goes on as a standby for so many periods: enough for the leader to end it if there is another one.
PROBE_PERIODS = 2.0
MOVE_S = 10.0  # so long a manager's wish to have the session elsewhere is tried
CHANNEL_OPTIONS = (
    # Every attempt is to really try: by default gRPC lets channels to one address share the memory of
    # failures.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long a handshake may take; others go on beside it
)

_random = random.SystemRandom()


class Connection:
    """Has at most one session at a time. `run` until cancelled, or until the node was removed."""

    def __init__(
        self,
        node: Node,
        node_id: str,
        managers: Callable[[], Sequence[Peer]],
        channel: Callable[[str, Sequence[tuple[str, int | str]]], grpc.aio.Channel],
        hello: Callable[[], Hello],
        clock: Clock,
        on_session: Callable[[Session | None], None],
    ) -> None:
        """`on_session` hears of every change of the session; `channel(addr, options)` dials."""
        self._node = node
        self._node_id = node_id
        self._managers = managers
        self._channel = channel
        self._hello = hello
        self._clock = clock
        self._on_session = on_session
        self._choice = ManagerChoice(node_id, _random.uniform)
        self._suspect_periods = _random.uniform(*SUSPECT_PERIODS)
        self._links: dict[asyncio.Task[None], Session] = {}
        self._next_attempt_s = clock.monotonic_s()
        self._missing = STREAMS
        self._news = asyncio.Event()
        self.session: Session | None = None
        self.incarnation = clock.now_ns()  # of two machines with one identity the greater one counts
        self.refusal = ""  # why this machine may not be this node
        self._refused_s = 0.0

    def describe(self, description: NodeDescription) -> None:
        """Tell the manager what the node is like now."""
        if self.session is not None:
            self.session.describe(description)

    def report_usage(self, usage: UsageReport) -> None:
        """Tell the manager what tasks use; without one nobody is told."""
        if self.session is not None:
            self.session.report_usage(usage)

    def weigh_managers(self, weights: Mapping[str, int]) -> None:
        """Hear how many agents each manager (by node id) should have, relative to the others."""
        self._choice.weigh(weights)

    def wake(self) -> None:
        """There is something to report."""
        if self.session is not None:
            self.session.wake()

    def networks_applied(self, taken: int) -> None:
        """Say that networks are as they were wanted up to this."""
        if self.session is not None:
            self.session.networks_applied(taken)

    async def run(self) -> None:
        """Stay connected; raises NodeRemoved."""
        try:
            while True:
                self._news.clear()
                self._collect()
                self._act()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()
        finally:
            self._lose_session()
            for task in self._links:
                task.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    def _collect(self) -> None:
        """Clear away streams that ended; raises NodeRemoved."""
        for task in [task for task in self._links if task.done()]:
            link = self._links.pop(task)
            error = None if task.cancelled() else task.exception()
            if link is self.session:
                self._lose_session()
            if error is None:
                continue
            if isinstance(error, NodeRemoved) or not isinstance(error, SwarmError):
                raise error
            self._note_failure(link, error)

    def _note_failure(self, link: Session, error: SwarmError) -> None:
        now_s = self._clock.monotonic_s()
        self._choice.failed(link.peer.addr, now_s)
        self._next_attempt_s = now_s + self._choice.pause_s(len(self._managers()), self._period_s())
        if isinstance(error, IdentityInUse):
            self._yield_to_newer(error, now_s)
        elif link.role is Role.OPENING:
            log.info("agent.manager_not_reached", addr=link.peer.addr, reason=str(error))
        else:
            log.warning(
                "agent.stream_lost",
                session_id=link.session_id,
                addr=link.peer.addr,
                role=link.role.value,
                reason=str(error),
            )

    def _yield_to_newer(self, error: IdentityInUse, now_s: float) -> None:
        """Leave the other machine alone; should it go, this one is the node again."""
        log.error("agent.identity_in_use", node_id=self._node_id, reason=str(error))
        self.refusal, self._refused_s = str(error), now_s
        self._next_attempt_s = now_s + _random.uniform(0.7, 1.0) * IDENTITY_PAUSE_S
        for task in self._links:
            task.cancel()

    def _in_doubt(self, now_s: float) -> bool:
        """Whether another machine may still be this node: no manager has had a standby for long enough."""
        return bool(self.refusal) and not any(
            link.role is Role.STANDBY
            and link.began_s > self._refused_s
            and now_s - link.began_s > PROBE_PERIODS * link.period_s
            for link in self._links.values()
        )

    def _lose_session(self) -> None:
        if self.session is not None:
            self.session = None
            self._on_session(None)

    def _act(self) -> None:
        now_s = self._clock.monotonic_s()
        links = dict(enumerate(self._links.values()))
        views = [self._view(number, link, now_s) for number, link in links.items()]
        decided = plan(views, self._wanted(), self._move_to(now_s))
        if decided.promote is not None and not self._in_doubt(now_s):
            links[decided.promote].ask(standby=False)
        tasks = list(self._links)
        for number in decided.drop:
            tasks[number].cancel()
        if decided.open_at and now_s >= self._next_attempt_s:
            self._open([peer for peer in self._managers() if peer.node_id == decided.open_at], 1, now_s)
        self._attempt(decided.missing, now_s)

    def _move_to(self, now_s: float) -> str:
        """Return the manager that should have the session; a wish that does not come true lapses."""
        if self.session is None or now_s - self.session.move_asked_s > MOVE_S:
            return ""
        return self.session.move_to

    def _view(self, number: int, link: Session, now_s: float) -> Link:
        if self.session is not None:  # a standby hears nothing of a new period
            link.period_s = self.session.period_s
        return Link(
            number=number,
            manager_id=link.peer.node_id,
            role=link.role,
            silent_s=now_s - link.heard_s,
            suspect_s=suspect_after_s(link.role is Role.STANDBY, link.period_s, self._suspect_periods),
            leaderless=link.leaderless_s is not None
            and now_s - link.leaderless_s > LEADERLESS_PERIODS * link.period_s,
            asked_s=None if link.asked_s is None else now_s - link.asked_s,
        )

    def _period_s(self) -> float:
        return max((link.period_s for link in self._links.values()), default=0.0) or PERIOD_S

    def _wanted(self) -> int:
        """Return how many streams to have: the manager on this very machine is as alive as this agent."""
        managers = self._managers()
        alone = len(managers) == 1 and managers[0].node_id == self._node_id
        return 1 if alone else STREAMS

    def _attempt(self, missing: int, now_s: float) -> None:
        """Open another stream when it is time to."""
        if missing > self._missing == 0 and self.session is not None:
            # A manager may have died that had streams of every node.
            self._next_attempt_s = now_s + _random.uniform(0.0, self._period_s() / 2)
        self._missing = missing
        opening = [link for link in self._links.values() if link.role is Role.OPENING]
        if now_s < self._next_attempt_s or len(opening) >= ATTEMPTS_AT_ONCE[missing]:
            return
        self._open(self._pick(opening, now_s), missing, now_s)

    def _open(self, peers: Sequence[Peer], missing: int, now_s: float) -> None:
        """Open a stream with the first of `peers`."""
        for peer in peers[:1]:
            self._next_attempt_s = now_s + STAGGER_S[missing]
            channel = self._channel(peer.addr, CHANNEL_OPTIONS)
            link = Session(peer, channel, self._clock, self._greeting, self._welcomed)
            link.ask(standby=self.session is not None or bool(self.refusal))
            task = asyncio.create_task(link.run(self._node, _random.uniform), name="agent-stream")
            task.add_done_callback(lambda _: self._news.set())
            self._links[task] = link

    def _pick(self, opening: Sequence[Session], now_s: float) -> Sequence[Peer]:
        """Return the manager to try, if any: one without a stream; else one that is silent; else any."""
        managers = self._managers()
        tried = {link.peer.addr for link in opening}
        linked = {link.peer.addr for link in self._links.values()}
        answering = {
            link.peer.addr
            for number, link in enumerate(self._links.values())
            if (view := self._view(number, link, now_s)).silent_s <= view.suspect_s
        }
        for excluded in (linked, tried | answering, tried):
            peer = self._choice.pick(managers, excluded, now_s)
            if peer is not None:
                return [peer]
        return ()

    def _greeting(self, standby: bool) -> Hello:
        hello = Hello() if standby else self._hello()
        hello.standby = standby
        hello.incarnation = self.incarnation
        hello.acknowledges_networks = True
        return hello

    def _welcomed(self, link: Session) -> None:
        """Take a stream for what its manager takes it for."""
        self._news.set()
        if link.leaderless_s is None:
            self._choice.succeeded(link.peer.addr)
        if link.role is not Role.SESSION or link is self.session:
            return
        if self.session is not None:
            self.session.ask(standby=True)
        self.session, self.refusal = link, ""
        self._suspect_periods = _random.uniform(*SUSPECT_PERIODS)
        log.info("agent.session_opened", session_id=link.session_id, addr=link.peer.addr)
        self._on_session(link)
