"""Sending what containers print to the manager that asked for it.

One stream per subscription, so the lines of a task stay in order. A reader per container fills a short
queue, the stream empties it: a slow reader at the other end slows down reading here, and nothing piles
up.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import grpc
import structlog

from swarm.agent.log_attributes import AttributesOf
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.logs_pb2 import (
    LOG_STREAM_STDERR,
    LOG_STREAM_STDOUT,
    LogMessage,
    LogOptions,
    LogSubscription,
    PublishLogsRequest,
)
from swarm.api.v1.logs_pb2_grpc import LogsStub
from swarm.api.v1.objects_pb2 import Task
from swarm.clock import nanoseconds, timestamp
from swarm.model.log_selectors import selected
from swarm.model.task_state import STARTING
from swarm.runtime.base import LogLine, LogQuery, RuntimeDriver

log = structlog.get_logger(__name__)

QUEUE_LINES = 256
BATCH_BYTES = 64 * 1024
RATE_BYTES_S = 10_000_000  # per subscription: logs must not crowd out the node's other traffic


def log_query(options: LogOptions) -> LogQuery:
    """Return the driver's question for a reader's options."""
    return LogQuery(
        follow=options.follow,
        tail=options.tail if options.HasField("tail") else None,
        since_ns=nanoseconds(options.since),
        until_ns=nanoseconds(options.until),
        stdout=options.stdout,
        stderr=options.stderr,
    )


def log_message(
    line: LogLine, task: Task, node_id: str, attributes: Mapping[str, str] | None = None
) -> LogMessage:
    """Return one line as it travels."""
    return LogMessage(
        task_id=task.id,
        service_id=task.service_id,
        node_id=node_id,
        timestamp=timestamp(line.timestamp_ns),
        stream=LOG_STREAM_STDERR if line.stream == "stderr" else LOG_STREAM_STDOUT,
        data=line.data,
        partial=line.partial,
        attributes=attributes,
    )


class LogPublisher:
    """All log subscriptions of this node; they belong to a session and end with it."""

    def __init__(
        self,
        node_id: str,
        driver: RuntimeDriver,
        records: Callable[[], Mapping[str, TaskRecord]],
        attributes: AttributesOf,
    ) -> None:
        """`records` returns the tasks of this node, `attributes` what is told of each with its lines."""
        self._node_id = node_id
        self._driver = driver
        self._records = records
        self._attributes = attributes
        self._channel: grpc.aio.Channel | None = None
        self._publications: dict[str, _Publication] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def session_changed(self, channel: grpc.aio.Channel | None) -> None:
        """Publish over `channel` from now on; what was published over another ends."""
        self._channel = channel
        for task in self._tasks.values():
            task.cancel()

    def subscribe(self, subscription: LogSubscription) -> None:
        """Begin a subscription, or end it."""
        if subscription.close:
            task = self._tasks.get(subscription.id)
            if task is not None:
                task.cancel()
            return
        earlier = self._tasks.get(subscription.id)
        if self._channel is None or (earlier is not None and not earlier.cancelling()):
            return
        publication = _Publication(
            subscription, self._channel, self._node_id, self._driver, self._records, self._attributes
        )
        self._publications[subscription.id] = publication
        self._tasks[subscription.id] = task = asyncio.create_task(
            publication.run(), name="agent-log-publication"
        )
        task.add_done_callback(lambda done: self._ended(subscription.id, done))

    def tasks_changed(self) -> None:
        """Look for new containers that subscriptions follow."""
        for publication in self._publications.values():
            publication.changed.set()

    async def close(self) -> None:
        """End every subscription."""
        self.session_changed(None)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _ended(self, subscription_id: str, done: "asyncio.Task[None]") -> None:
        if self._tasks.get(subscription_id) is done:  # else one with a newer session took over
            del self._tasks[subscription_id]
            del self._publications[subscription_id]
        if not done.cancelled() and done.exception() is not None:
            log.warning(
                "agent.logs_not_published", subscription_id=subscription_id, reason=str(done.exception())
            )


class _Publication:
    """One subscription on its way."""

    def __init__(
        self,
        subscription: LogSubscription,
        channel: grpc.aio.Channel,
        node_id: str,
        driver: RuntimeDriver,
        records: Callable[[], Mapping[str, TaskRecord]],
        attributes: AttributesOf,
    ) -> None:
        self.changed = asyncio.Event()
        self._subscription = subscription
        self._channel = channel
        self._node_id = node_id
        self._driver = driver
        self._records = records
        self._attributes = attributes
        self._queue: asyncio.Queue[LogMessage | None] = asyncio.Queue(QUEUE_LINES)
        self._read: set[str] = set()  # tasks whose output is read, or was

    async def run(self) -> None:
        """Publish until everything is sent; with follow, until cancelled."""
        call: Any = LogsStub(self._channel).Publish()
        try:
            # A mark says that this node is at work, and another one that this was all: to the manager a
            # stream that breaks looks as one that ends.
            mark = PublishLogsRequest(subscription_id=self._subscription.id, messages=[LogMessage()])
            await call.write(mark)
            await _until_error(self._read_all(), self._send(call))
            await call.write(mark)
            await call.done_writing()
            await call
        except asyncio.InvalidStateError:  # the manager ended the stream: nobody reads any more
            return
        finally:
            call.cancel()

    async def _read_all(self) -> None:
        await self._start_readers()
        await self._queue.put(None)  # the end

    async def _start_readers(self) -> None:
        """Read every container concerned; returns when all were read, with `follow` never."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.changed.clear()
                for task in self._unread():
                    self._read.add(task.id)
                    group.create_task(self._read_one(task))
                if not self._subscription.options.follow:
                    return
                await self.changed.wait()

    def _unread(self) -> list[Task]:
        return [
            record.task
            for task_id, record in self._records().items()
            if task_id not in self._read
            and record.status.state >= STARTING
            and selected(self._subscription.selector, record.task)
        ]

    async def _read_one(self, task: Task) -> None:
        if await self._driver.inspect(task.id) is None:  # rejected: there never was a container
            return
        options = self._subscription.options
        attributes = self._attributes(task) if options.details else None
        async for line in self._driver.logs(task.id, log_query(options)):
            await self._queue.put(log_message(line, task, self._node_id, attributes))

    async def _send(self, call: Any) -> None:
        while (first := await self._queue.get()) is not None:
            request = PublishLogsRequest(subscription_id=self._subscription.id, messages=[first])
            size, at_end = len(first.data), False
            while size < BATCH_BYTES and not self._queue.empty():
                message = self._queue.get_nowait()
                if message is None:
                    at_end = True
                    break
                request.messages.append(message)
                size += len(message.data)
            await call.write(request)
            if at_end:
                return
            await asyncio.sleep(size / RATE_BYTES_S)


async def _until_error(*works: Coroutine[Any, Any, None]) -> None:
    """Run all to their end; the first error ends the others and is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
