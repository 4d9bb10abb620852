"""Where a request is answered: here when this manager leads, else by the leader, else not at all.

Without a leader, writes fail with the reason and reads are answered from what this manager knows, marked
stale. Every answer comes within a few seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
import structlog
from google.protobuf.message import Message

from swarm.clock import Clock
from swarm.errors import NoQuorum, NotLeader, OutcomeUnknown, Unavailable
from swarm.manager.controlapi.forward import STALE_KEY, Forwarder, NotSent
from swarm.manager.controlapi.ports import Dial, RaftStatus
from swarm.manager.controlapi.quorum import explain_no_quorum, has_quorum
from swarm.pacing import Pacer
from swarm.security.authorization import FORWARDED_KEY, passing_on
from swarm.steps import Steps

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]

TOTAL_S = 4.0  # of a request; people are promised an answer within 5 s
LEADERLESS_S = 2.0  # an election takes less; waiting longer for a leader does not help
READ_TRY_S = 1.5  # for one manager to answer a question
POLL_S = 0.05
# The leader answers this much before the one who asked stops waiting, so that its reason is heard.
MARGIN_S = 0.4


class Router:
    """Finds the place where a request is answered."""

    def __init__(
        self,
        clock: Clock,
        raft: RaftStatus,
        dial: Dial,
        *,
        total_s: float = TOTAL_S,
        leaderless_s: float = LEADERLESS_S,
    ) -> None:
        self._clock = clock
        self._raft = raft
        self._forwarder = Forwarder(dial)
        self._total_s = total_s
        self._leaderless_s = leaderless_s

    async def close(self) -> None:
        """Close the connection to the leader."""
        await self._forwarder.close()

    async def write(
        self,
        method: str,
        request: Message,
        context: Context,
        commit: Callable[[float], Awaitable[Answer]],
        *,
        total_s: float | None = None,
    ) -> Answer:
        """Answer a request that changes something; `commit(timeout_s)` does it on the leader.

        `total_s` is for the few that may take longer than others.

        Raises what `commit` raises, and NoQuorum with the reason when the cluster cannot decide.
        """

        async def local(timeout_s: float) -> Answer:
            await self._wait_for_quorum(timeout_s)
            return await commit(timeout_s)

        try:
            answer = await self._route(method, request, context, local, repeatable=False, total_s=total_s)
        except OutcomeUnknown as error:
            reason = "" if has_quorum(self._raft) else f"; {explain_no_quorum(self._raft)}"
            raise OutcomeUnknown(f"{error}{reason}") from error
        if answer is None:
            raise NoQuorum(explain_no_quorum(self._raft))
        return answer

    async def read(
        self,
        method: str,
        request: Message,
        context: Context,
        answer_now: Callable[[], Answer | Steps[Answer]],
    ) -> Answer:
        """Answer a request that changes nothing; `answer_now` does it from this manager's state.

        What may take longer is answered in steps, between which others have their turn.
        """

        async def local(timeout_s: float) -> Answer:
            await self._raft.barrier(min(timeout_s, self._leaderless_s))
            return await self._complete(answer_now())

        try:
            answer = await self._route(method, request, context, local, repeatable=True)
        except (NoQuorum, OutcomeUnknown, Unavailable) as error:
            log.debug("controlapi.answered_stale", reason=str(error))
            answer = None
        if answer is None:
            _mark_stale(context)
            answer = await self._complete(answer_now())
        return answer

    async def _complete(self, answer: Answer | Steps[Answer]) -> Answer:
        return answer if isinstance(answer, Message) else await Pacer(self._clock).run(answer)

    async def _route(
        self,
        method: str,
        request: Message,
        context: Context,
        local: Callable[[float], Awaitable[Answer]],
        *,
        repeatable: bool,
        total_s: float | None = None,
    ) -> Answer | None:
        """Return the answer of the leader, None when there is none to ask in time."""
        forwarded = any(key == FORWARDED_KEY for key, _ in context.invocation_metadata() or ())
        deadline_s = self._clock.monotonic_s() + self._budget(context, total_s or self._total_s)
        leader_seen_s = self._clock.monotonic_s()
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            leader = self._raft.leader
            if forwarded and not self._raft.is_leader:
                raise NotLeader(leader.addr if leader else "")
            try:
                if self._raft.is_leader:
                    return await local(left_s)
                if leader is not None and leader.raft_id != self._raft.raft_id:
                    leader_seen_s = self._clock.monotonic_s()
                    # A leader that hangs is replaced meanwhile; a question then goes to the next one.
                    timeout_s = min(left_s, READ_TRY_S) if repeatable else left_s
                    answer, stale = await self._forwarder.send(
                        leader.addr, method, request, passing_on(context), timeout_s
                    )
                    if stale:
                        _mark_stale(context)
                    return cast("Answer", answer)
            except NotLeader:
                if forwarded:
                    raise
            except NotSent as error:
                log.debug("controlapi.leader_unreachable", method=method, reason=str(error))
            except OutcomeUnknown:
                if not repeatable:
                    raise
            if self._clock.monotonic_s() - leader_seen_s > self._leaderless_s:
                return None
            await asyncio.sleep(POLL_S)
        return None

    def _budget(self, context: Context, total_s: float) -> float:
        remaining_s = context.time_remaining()
        if remaining_s is None:
            return total_s
        return max(POLL_S, min(total_s, remaining_s - MARGIN_S))

    async def _wait_for_quorum(self, timeout_s: float) -> None:
        """Refuse what could not be committed anyway, before it gets into the log of unknown fate."""
        deadline_s = self._clock.monotonic_s() + min(timeout_s, self._leaderless_s)
        while not has_quorum(self._raft):
            if self._clock.monotonic_s() >= deadline_s:
                raise NoQuorum(explain_no_quorum(self._raft))
            await asyncio.sleep(POLL_S)


def _mark_stale(context: Context) -> None:
    others = tuple(pair for pair in context.trailing_metadata() or () if pair[0] != STALE_KEY)
    context.set_trailing_metadata((*others, (STALE_KEY, "1")))
