"""What is written down of one plain container; what is to be is on disk before it is done."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from swarm.agent.plain.records import PlainRecords
from swarm.agent.system.disk_watch import is_about_space
from swarm.api.v1.plain_pb2 import PlainContainer

log = structlog.get_logger(__name__)

Edit = Callable[[PlainContainer], None]


class Note:
    """The record of a plain container, in memory and on disk."""

    def __init__(self, record: PlainContainer, records: PlainRecords) -> None:
        """`record` is on disk already."""
        self.record = record
        self._records = records
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        self._gone = False
        self._written = True

    async def change(self, edit: Edit, *, ending: bool = False) -> None:
        """Write down a changed record; raises OSError. Goes to its end also when the caller is cancelled.

        What ends something (`ending`) counts also where a full disk takes no word of it: it makes room.
        """
        await self._to_its_end(self._change(edit, ending=ending))

    async def forget(self) -> None:
        """Remove it, for good, also when the caller is cancelled; raises OSError."""
        await self._to_its_end(self._forget())

    async def _change(self, edit: Edit, *, ending: bool) -> None:
        async with self._writing:
            changed = PlainContainer()
            changed.CopyFrom(self.record)
            edit(changed)
            if (changed == self.record and self._written) or self._gone:
                return
            try:
                await asyncio.to_thread(self._records.save, changed)
                self._written = True
            except OSError as error:
                if not (ending and is_about_space(error)):
                    raise
                self._written = False
                name = changed.spec.name
                log.warning("agent.plain_container_not_written", container=name, reason=str(error))
            self.record = changed

    async def _forget(self) -> None:
        async with self._writing:
            self._gone = True  # what is still to be written down about it must not bring it back
            await asyncio.to_thread(self._records.delete, self.record.id)

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="plain-record")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.shield(task)
