"""The audit trails of all managers for whoever asks one of them."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence

import grpc
import structlog

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.users_pb2 import AuditRecord, ReadAuditRequest, ReadAuditResponse
from swarm.api.v1.users_pb2_grpc import AuditStub
from swarm.manager.audit.selection import RECORDS_MAX, Selection
from swarm.manager.audit.trail import AuditTrail
from swarm.security.audit import BEGUN

log = structlog.get_logger(__name__)

ANSWER_TIMEOUT_S = 8.0  # for what a manager has kept; then it is named as missing
CALLS_REMEMBERED = 4096  # of which a record was told, by who follows
EVENTS = 1024
_ALL_TOLD = ReadAuditResponse()  # from a manager: what it had kept is told, now come new ones


async def own(trail: AuditTrail, request: ReadAuditRequest) -> AsyncIterator[ReadAuditResponse]:
    """Yield what this manager has; an OSError becomes a notice."""
    selection = Selection.of(request)
    with trail.following() as queue:  # first, so that nothing is missed between
        try:
            kept = await trail.read(selection)
        except OSError as error:
            kept = []
            yield ReadAuditResponse(notice=f"its disk cannot be read: {error.strerror}")
        for record in kept:
            yield ReadAuditResponse(record=record)
        yield _ALL_TOLD
        while request.follow:
            record = await queue.get()
            if selection.wants(record):
                yield ReadAuditResponse(record=record)


class AuditReading:
    """Asks every manager, and puts what they say in order."""

    def __init__(
        self,
        node_id: str,
        trail: AuditTrail,
        members: Callable[[], Sequence[RaftMember]],
        dial: Callable[[str], grpc.aio.Channel],
        name: Callable[[str], str],
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """`node_id` is this manager's; `name` returns what people call a node."""
        self._node_id = node_id
        self._trail = trail
        self._members = members
        self._dial = dial
        self._name = name
        self._timeout_s = timeout_s

    async def stream(self, request: ReadAuditRequest) -> AsyncIterator[ReadAuditResponse]:
        """Yield what all managers have in order of time, and with `follow` what comes, as it comes.

        A notice stands for a manager that cannot answer.
        """
        members = tuple(self._members()) or (RaftMember(node_id=self._node_id),)
        sources = [_Source(self, member, request) for member in members]
        try:
            await asyncio.gather(*(source.wait_kept() for source in sources))
            kept = [record for source in sources for record in source.kept]
            told = Selection.of(request).last(kept)
            if len(told) == RECORDS_MAX != request.tail:
                yield ReadAuditResponse(notice=f"only the last {RECORDS_MAX} records: name a time (--since)")
            for source in sources:
                for notice in source.notices:
                    yield ReadAuditResponse(notice=notice)
            for record in told:
                yield ReadAuditResponse(record=record)
            if request.follow:
                async for answer in _news(sources, kept):
                    yield answer
        finally:
            for source in sources:
                await source.close()

    async def answers(
        self, member: RaftMember, request: ReadAuditRequest
    ) -> AsyncIterator[ReadAuditResponse]:
        """Yield what one manager says; raises grpc.RpcError."""
        if member.node_id == self._node_id:
            async with contextlib.aclosing(own(self._trail, request)) as mine:  # type: ignore[type-var]
                async for answer in mine:
                    yield answer
            return
        channel = self._dial(member.addr)
        try:
            async for answer in AuditStub(channel).Relay(request):
                yield answer
        finally:
            await channel.close()

    def missing(self, member: RaftMember, reason: str) -> str:
        """Return what is said of a manager that did not answer."""
        return f"{self._name(member.node_id)} ({member.addr}): {reason}: its records are missing here"

    @property
    def timeout_s(self) -> float:
        """How long one manager is waited for."""
        return self._timeout_s


class _Source:
    """One manager's side of an answer."""

    def __init__(self, reading: AuditReading, member: RaftMember, request: ReadAuditRequest) -> None:
        self.kept: list[AuditRecord] = []
        self.notices: list[str] = []
        self.news: asyncio.Queue[ReadAuditResponse] = asyncio.Queue(EVENTS)
        self._reading = reading
        self._member = member
        self._told = asyncio.Event()
        self._collected = False  # what comes now is news
        self._task = asyncio.create_task(self._read(request), name="audit-read")

    async def wait_kept(self) -> None:
        """Return when the manager told all that it had kept, or is given up."""
        try:
            async with asyncio.timeout(self._reading.timeout_s):
                await self._told.wait()
        except TimeoutError:
            await self.close()
            self.kept.clear()  # a part of it would look like all of it
            self._missing(f"it did not answer within {self._reading.timeout_s:g} s")
        self._collected = True

    async def close(self) -> None:
        """Ask no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, request: ReadAuditRequest) -> None:
        try:
            async with contextlib.aclosing(
                self._reading.answers(self._member, request)  # type: ignore[type-var]
            ) as answers:
                async for answer in answers:
                    await self._take(answer)
        except grpc.RpcError as error:
            details = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
            if not self._told.is_set():
                self.kept.clear()
            self._missing(f"it cannot be asked ({details})")
        finally:
            self._told.set()

    async def _take(self, answer: ReadAuditResponse) -> None:
        if self._told.is_set():
            await self.news.put(answer)
        elif answer.HasField("record"):
            self.kept.append(answer.record)
        elif answer.HasField("notice"):
            self._missing(answer.notice)
        else:
            self._told.set()

    def _missing(self, reason: str) -> None:
        text = self._reading.missing(self._member, reason)
        log.warning("audit.manager_not_read", node_id=self._member.node_id, reason=reason)
        if self._collected:
            with contextlib.suppress(asyncio.QueueFull):
                self.news.put_nowait(ReadAuditResponse(notice=text))
        else:
            self.notices.append(text)


async def _news(sources: Sequence[_Source], kept: Sequence[AuditRecord]) -> AsyncIterator[ReadAuditResponse]:
    """Yield what comes from any of the sources, of each call the first record, and its end if it went on."""
    told: OrderedDict[str, str] = OrderedDict((one.id, one.outcome) for one in kept)
    waiting = {asyncio.ensure_future(source.news.get()): source for source in sources}
    try:
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                source = waiting.pop(one)
                waiting[asyncio.ensure_future(source.news.get())] = source
                answer = one.result()
                if answer.HasField("notice") or _is_new(told, answer.record):
                    yield answer
    finally:
        for left in waiting:
            left.cancel()


def _is_new(told: "OrderedDict[str, str]", record: AuditRecord) -> bool:
    known = told.get(record.id)
    if known is not None and (known != BEGUN or record.outcome == BEGUN):
        return False
    told[record.id] = record.outcome
    if len(told) > CALLS_REMEMBERED:
        told.popitem(last=False)
    return True
