"""The audit trail of this manager: takes records without waiting, writes them soon, and tells who follows.

Nothing that a manager does waits for the trail. While the disk takes no records they wait in memory, a
bounded number; of more only how many they were is known, which is written down as a record of its own.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator

import structlog

from swarm.api.v1.users_pb2 import AuditRecord
from swarm.clock import SECOND, Clock, timestamp
from swarm.ids import new_id
from swarm.manager.audit.files import AuditFiles
from swarm.manager.audit.folding import Folding
from swarm.manager.audit.selection import Selection
from swarm.model.limits import AUDIT_WAITING

log = structlog.get_logger(__name__)

LOOK_NS = 2 * SECOND  # between two looks for denials that were counted
RETRY_NS = 5 * SECOND  # after the disk took nothing
FOLLOWER_RECORDS = 4096  # that wait for one who follows; more are left out, with a word
LOST = "lost"

Queue = asyncio.Queue[AuditRecord]


class AuditTrail:
    """Give `note` to whoever decides about calls."""

    def __init__(
        self, files: AuditFiles, manager_id: str, clock: Clock, *, most: int = AUDIT_WAITING.value
    ) -> None:
        """At most `most` records wait for the disk."""
        self._files = files
        self.manager_id = manager_id
        self._clock = clock
        self._most = most
        self._folding = Folding()
        self._waiting: deque[AuditRecord] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._followers: set[Queue] = set()
        self._is_failing = False
        self._writing: asyncio.Task[bool] | None = None

    def note(self, record: AuditRecord) -> None:
        """Keep a record; never raises, never waits."""
        record.manager_id = self.manager_id
        record.at.CopyFrom(timestamp(self._clock.now_ns()))
        if record.role == "local" and not record.node_id:
            record.node_id = self.manager_id
        if not self._folding.take(record):
            self._put(record)

    def _put(self, record: AuditRecord) -> None:
        if len(self._waiting) >= self._most:
            self._lost += 1
            return
        self._waiting.append(record)
        self._wake.set()
        for queue in self._followers:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(record)

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_NS / SECOND):
                    await self._wake.wait()
            self._wake.clear()
            for record in self._folding.due(self._clock.now_ns()):
                self._put(record)
            if not await self._write():
                await asyncio.sleep(RETRY_NS / SECOND)
                self._wake.set()

    async def stop(self) -> None:
        """Write what is left; `run` must have ended."""
        if self._writing is not None:
            await self._writing
        for record in self._folding.due(None):
            self._put(record)
        await self._write()

    async def _write(self) -> bool:
        """Write all that waits; False when the disk does not take it.

        Goes on when the caller is cancelled: the thread does, and what it writes must not be written again.
        """
        self._writing = asyncio.create_task(self._write_waiting())
        return await asyncio.shield(self._writing)

    async def _write_waiting(self) -> bool:
        batch = [*self._waiting, *([self._loss()] if self._lost else ())]
        if not batch:
            return True
        before, lost = len(self._waiting), self._lost
        try:
            await asyncio.to_thread(self._files.append, batch)
        except OSError as error:
            if not self._is_failing:
                log.error("audit.not_written", reason=error.strerror or str(error), waiting=before)  # noqa: TRY400
            self._is_failing = True
            return False
        for _ in range(before):
            self._waiting.popleft()
        self._lost -= lost
        if self._is_failing:
            log.info("audit.written_again", waiting=before, lost=lost)
        self._is_failing = False
        return True

    def _loss(self) -> AuditRecord:
        reason = "the disk took no records, and memory had no room for more"
        return AuditRecord(
            id=new_id(),
            at=timestamp(self._clock.now_ns()),
            outcome=LOST,
            reason=reason,
            manager_id=self.manager_id,
            times=self._lost,
        )

    async def read(self, selection: Selection) -> list[AuditRecord]:
        """Return what is asked for, oldest first; raises OSError when the disk cannot be read."""
        # Taken first: what is written in the meantime stands in both, and counts once.
        waiting = [*self._waiting, *self._folding.waiting(), *([self._loss()] if self._lost else ())]
        written = await asyncio.to_thread(self._files.read, selection.wants)
        return selection.last([*written, *filter(selection.wants, waiting)])

    @contextlib.contextmanager
    def following(self) -> Iterator[Queue]:
        """Yield a queue to which records come from now on."""
        queue: Queue = asyncio.Queue(FOLLOWER_RECORDS)
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)
