"""Proposals and reads that were made on this manager: their futures, deadlines and bytes under way."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from swarm.errors import InvalidArgument, NoQuorum, NotLeader, OutcomeUnknown
from swarm.manager.raft.core import Core
from swarm.manager.raft.entries import ENTRY_BYTES_MAX
from swarm.manager.raft.host import Proposal, ReadRequest
from swarm.manager.raft.longest import Longest

SWEEP_S = 0.05  # so much later than it should a request may be given up


class Requests:
    """Everything that waits for consensus, on the event loop."""

    def __init__(self, core: Core, put: Callable[..., None], inflight_bytes_max: int) -> None:
        """`put(function, *arguments)` brings requests to the raft thread."""
        self._core = core
        self._put = put
        self._inflight_bytes_max = inflight_bytes_max
        self._inflight_bytes = 0
        self._blocked: deque[asyncio.Future[None]] = deque()
        self._waiting: dict[Proposal | ReadRequest, float] = {}  # until when, on the event loop's clock
        self._sweep_due = False
        self._sweep_s = 0.0  # when it is due
        self.delay = Longest()  # of the event loop: how late it is with what has a time

    async def propose(self, command: bytes, timeout_s: float) -> int:
        """Append a command; return its index once it is committed and applied here.

        Raises NotLeader (nothing appended), NoQuorum (not committed in time), OutcomeUnknown (leadership
        was lost), InvalidArgument (too large).
        """
        if len(command) > ENTRY_BYTES_MAX:
            raise InvalidArgument(
                f"the change is too large: {len(command)} bytes, and one entry may have {ENTRY_BYTES_MAX}"
            )
        deadline = asyncio.get_running_loop().time() + timeout_s
        await self._reserve(len(command), deadline, timeout_s)
        proposal = Proposal(command, asyncio.get_running_loop().create_future())
        try:
            return await self._wait(proposal, self._core.commands.propose, deadline)
        except TimeoutError:
            raise NoQuorum(
                f"no majority of managers confirmed the change within {timeout_s:g} s; it may still take "
                "effect"
            ) from None
        finally:
            self._release(len(command))

    async def read(self, timeout_s: float) -> int:
        """Return an index once everything committed by now is applied here: what is read then is current.

        The index is one that the state machine has applied. Raises NotLeader or NoQuorum.
        """
        loop = asyncio.get_running_loop()
        read = ReadRequest(loop.create_future())
        try:
            return await self._wait(read, self._core.commands.read, loop.time() + timeout_s)
        except TimeoutError:
            raise NoQuorum(f"no majority of managers answered within {timeout_s:g} s") from None

    async def _wait(
        self, request: Proposal | ReadRequest, take: Callable[[Any], None], deadline: float
    ) -> int:
        """Have the raft thread `take` a request and return its answer; raises TimeoutError."""
        self._waiting[request] = deadline
        self._sweep_later()
        try:
            self._put(take, request)
            index: int = await request.ticket
            return index
        finally:
            request.abandoned = True
            del self._waiting[request]

    # A timer of its own for each request would cost more than all the rest that is done for it here.

    def _sweep_later(self) -> None:
        if self._waiting and not self._sweep_due:
            self._sweep_due = True
            self._sweep_s = asyncio.get_running_loop().time() + SWEEP_S
            asyncio.get_running_loop().call_at(self._sweep_s, self._sweep)

    def _sweep(self) -> None:
        self._sweep_due = False
        now = asyncio.get_running_loop().time()
        self.delay.note(now - self._sweep_s, now)
        for request, deadline in self._waiting.items():
            if now >= deadline:
                _fail(request.ticket, TimeoutError())
        self._sweep_later()

    def fail_all(self) -> None:
        """Consensus has ended here: tell everybody who waits."""
        for request in self._waiting:
            if isinstance(request, Proposal):
                _fail(request.ticket, OutcomeUnknown("the manager stopped before the change was confirmed"))
            else:
                _fail(request.ticket, NotLeader())

    async def _reserve(self, size: int, deadline: float, timeout_s: float) -> None:
        """Wait until so many bytes fit; whoever came first goes first."""
        if self._blocked or (
            self._inflight_bytes and self._inflight_bytes + size > self._inflight_bytes_max
        ):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._blocked.append(turn)
            try:
                async with asyncio.timeout_at(deadline):
                    await turn
            except BaseException as error:
                self._give_up(turn)
                if not isinstance(error, TimeoutError):
                    raise
                raise NoQuorum(
                    f"earlier changes took all of {timeout_s:g} s without a majority of managers; nothing "
                    "was changed"
                ) from None
        self._inflight_bytes += size
        self._let_next_in()

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn in self._blocked:
            self._blocked.remove(turn)
        else:  # it was our turn at this very moment: somebody else's now
            self._let_next_in()

    def _release(self, size: int) -> None:
        self._inflight_bytes -= size
        self._let_next_in()

    def _let_next_in(self) -> None:
        if self._blocked and self._inflight_bytes < self._inflight_bytes_max:
            turn = self._blocked.popleft()
            if turn.done():  # cancelled, and about to give up
                self._let_next_in()
            else:
                turn.set_result(None)


def _fail(ticket: "asyncio.Future[Any]", error: Exception) -> None:
    if not ticket.done():
        ticket.set_exception(error)
        ticket.exception()  # its owner may have been cancelled at this very moment
