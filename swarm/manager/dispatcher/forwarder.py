"""Passing status reports on to the leader, many in one request.

An idle forwarder sends at once. While a request is under way, what arrives is gathered, the newest
status of a task replacing an older one: the busier the leader, the larger the requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from swarm.api.v1.dispatcher_pb2 import ReportTaskStatusesRequest, TaskStatusUpdate
from swarm.errors import SwarmError

log = structlog.get_logger(__name__)

REQUEST_UPDATES = 2000  # about 600 kB, well under gRPC's 4 MiB
RETRY_S = 0.1
RETRY_MAX_S = 1.0

Committed = Callable[[], None]


class StatusForwarder:
    """Gathers status updates of this manager's agents and says when they are committed."""

    def __init__(self, send: Callable[[ReportTaskStatusesRequest], Awaitable[None]]) -> None:
        """`send` returns when everything in the request is committed."""
        self._send = send
        self._pending: dict[str, tuple[str, TaskStatusUpdate]] = {}  # by task id
        self._waiting: list[Committed] = []
        self._wake = asyncio.Event()

    def add(self, node_id: str, updates: Sequence[TaskStatusUpdate], committed: Committed) -> None:
        """Forward `updates` of a node and call `committed` once they count (or newer ones do)."""
        for update in updates:
            self._pending[update.task_id] = (node_id, update)
        self._waiting.append(committed)
        self._wake.set()

    async def run(self) -> None:
        """Forward until cancelled."""
        pause_s = RETRY_S
        while True:
            await self._wake.wait()
            self._wake.clear()
            if await self._flush():
                pause_s = RETRY_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)

    async def _flush(self) -> bool:
        pending, self._pending = self._pending, {}
        waiting, self._waiting = self._waiting, []
        try:
            for request in requests(list(pending.values())):
                await self._send(request)
        except SwarmError as error:
            log.warning("dispatcher.statuses_not_forwarded", tasks=len(pending), reason=str(error))
            self._pending = {**pending, **self._pending}  # what came meanwhile is newer
            self._waiting = waiting + self._waiting
            self._wake.set()
            return False
        for committed in waiting:
            committed()
        return True


def requests(updates: Sequence[tuple[str, TaskStatusUpdate]]) -> Iterator[ReportTaskStatusesRequest]:
    """Return `updates` (node id, update) as requests of a bounded size."""
    for start in range(0, len(updates), REQUEST_UPDATES):
        by_node: dict[str, list[TaskStatusUpdate]] = {}
        for node_id, update in updates[start : start + REQUEST_UPDATES]:
            by_node.setdefault(node_id, []).append(update)
        request = ReportTaskStatusesRequest()
        for node_id, of_node in by_node.items():
            request.nodes.add(node_id=node_id, updates=of_node)
        yield request
