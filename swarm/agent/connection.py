"""Keeps this node connected to some manager.

A session is *suspect* when its manager did not answer for more than a heartbeat period, or says that it
reaches no leader. Then others are tried while the suspect one goes on: it is given up only for a better
one. So a lost packet costs nothing, and a manager that is cut off costs its agents no time.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import grpc
import structlog

from swarm.agent.managers import ManagerChoice
from swarm.agent.session import Node, Session
from swarm.api.v1.dispatcher_pb2 import Hello
from swarm.api.v1.types_pb2 import NodeDescription, Peer
from swarm.clock import Clock
from swarm.errors import NodeRemoved, SwarmError

log = structlog.get_logger(__name__)

ATTEMPTS_AT_ONCE = 2
STAGGER_S = 0.75  # an attempt that takes longer gets company: its manager's machine may be gone
LOOK_S = 0.25
SUSPECT_PERIODS = (1.0, 1.4)  # by chance, so that not all agents of a slow manager leave at once
# Every attempt is to really try: by default gRPC lets channels to one address share the memory of
# failures.
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
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
        self._managers = managers
        self._channel = channel
        self._hello = hello
        self._clock = clock
        self._on_session = on_session
        self._choice = ManagerChoice(node_id, _random.uniform)
        self._period_s = 2.5  # until a manager says otherwise
        self._suspect_periods = _random.uniform(*SUSPECT_PERIODS)
        self._serving: asyncio.Task[None] | None = None
        self._found: Session | None = None
        self.session: Session | None = None

    def describe(self, description: NodeDescription) -> None:
        """Tell the manager what the node is like now."""
        if self.session is not None:
            self.session.describe(description)

    def wake(self) -> None:
        """There is something to report."""
        if self.session is not None:
            self.session.wake()

    async def run(self) -> None:
        """Stay connected; raises NodeRemoved."""
        try:
            while True:
                if self._healthy():
                    await self._watch()
                else:
                    await self._replace()
        finally:
            await self._give_up()

    def _healthy(self) -> bool:
        return self.session is not None and not self._suspect(self.session)

    def _suspect(self, session: Session) -> bool:
        silent_s = self._clock.monotonic_s() - session.heard_s
        return session.leaderless or silent_s > self._suspect_periods * session.period_s

    async def _watch(self) -> None:
        """Wait a moment, or until the session ends."""
        assert self._serving is not None
        await asyncio.wait({self._serving}, timeout=LOOK_S)
        await self._collect()

    async def _collect(self) -> None:
        """Clear away a session that ended; raises NodeRemoved."""
        if self._serving is None or not self._serving.done() or self.session is None:
            return
        session, error = self.session, self._serving.exception()
        await self._give_up()
        log.warning(
            "agent.session_lost", session_id=session.session_id, addr=session.peer.addr, reason=str(error)
        )
        if isinstance(error, NodeRemoved):
            raise error
        if error is not None and not isinstance(error, SwarmError):
            raise error
        self._choice.failed(session.peer.addr, self._clock.monotonic_s())

    async def _give_up(self) -> None:
        session, self.session = self.session, None
        serving, self._serving = self._serving, None
        if session is None:
            return
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        self._on_session(None)
        await session.close()

    async def _replace(self) -> None:
        """Find a better session, or none when the present one recovers."""
        found = await self._find()
        if found is None:
            return
        await self._give_up()
        self._choice.succeeded(found.peer.addr)
        self._suspect_periods = _random.uniform(*SUSPECT_PERIODS)
        self._period_s = found.period_s or self._period_s
        self.session = found
        self._on_session(found)
        self._serving = asyncio.create_task(found.run(self._node, _random.uniform), name="agent-session")
        log.info("agent.session_opened", session_id=found.session_id, addr=found.peer.addr)

    async def _find(self) -> Session | None:
        attempts: dict[asyncio.Task[Session], Peer] = {}
        try:
            return await self._try_managers(attempts)
        finally:
            for attempt in attempts:
                attempt.cancel()
            for result in await asyncio.gather(*attempts, return_exceptions=True):
                if isinstance(result, Session) and result is not self._found:
                    await result.close()

    async def _try_managers(self, attempts: dict[asyncio.Task[Session], Peer]) -> Session | None:
        self._found = None
        next_s = self._clock.monotonic_s() + self._pause_s()
        while not self._healthy():
            now_s = self._clock.monotonic_s()
            if now_s >= next_s and len(attempts) < ATTEMPTS_AT_ONCE:
                self._begin_attempt(attempts, now_s)
                next_s = now_s + STAGGER_S
            waiting: set[asyncio.Task[Session] | asyncio.Task[None]] = {*attempts}
            if self._serving is not None:
                waiting.add(self._serving)
            pause_s = min(LOOK_S, max(0.01, next_s - now_s))
            if waiting:
                await asyncio.wait(waiting, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(pause_s)
            await self._collect()
            for attempt in [one for one in attempts if one.done()]:
                peer = attempts.pop(attempt)
                if await self._accept(attempt, peer):
                    return self._found
                next_s = self._clock.monotonic_s() + self._pause_s()
        return None

    def _pause_s(self) -> float:
        return self._choice.pause_s(len(self._managers()), self._period_s)

    def _begin_attempt(self, attempts: dict[asyncio.Task[Session], Peer], now_s: float) -> None:
        managers = self._managers()
        busy = {peer.addr for peer in attempts.values()}
        others = busy | ({self.session.peer.addr} if self.session is not None else set())
        # A cluster with one manager has no other to turn to.
        excluded = others if any(peer.addr not in others for peer in managers) else busy
        peer = self._choice.pick(managers, excluded, now_s)
        if peer is not None:
            attempts[asyncio.create_task(self._attempt(peer), name="agent-connect")] = peer

    async def _attempt(self, peer: Peer) -> Session:
        session = Session(peer, self._channel(peer.addr, CHANNEL_OPTIONS), self._clock)
        try:
            await session.connect(self._hello())
        except BaseException:
            await session.close()
            raise
        return session

    async def _accept(self, attempt: "asyncio.Task[Session]", peer: Peer) -> bool:
        """Whether an attempt that ended gave a session better than the present one; raises NodeRemoved."""
        try:
            found = attempt.result()
        except NodeRemoved:
            raise
        except SwarmError as error:
            log.info("agent.manager_not_reached", addr=peer.addr, reason=str(error))
            self._choice.failed(peer.addr, self._clock.monotonic_s())
            return False
        if found.leaderless and self.session is not None:
            await found.close()
            return False
        self._found = found
        return True
