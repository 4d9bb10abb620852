"""Passing log subscriptions to the agents of this manager, and their lines back.

Every manager has one; the manager that serves a reader asks all of them, itself included.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import structlog

from swarm.api.v1.logs_pb2 import LogMessage, LogSubscription, PublishLogsRequest, RelayLogsResponse
from swarm.api.v1.objects_pb2 import Task
from swarm.errors import NotFound
from swarm.manager.logs.concerned import concerned, concerned_tasks
from swarm.manager.logs.replay import Replay
from swarm.manager.store.store import Store
from swarm.manager.store.watch import WatchOverflow
from swarm.model.log_selectors import selected

log = structlog.get_logger(__name__)

QUEUE_EVENTS = 1024


class AgentSessions(Protocol):
    """The sessions of this manager, as the dispatcher has them."""

    def send_log_subscription(self, node_id: str, subscription: LogSubscription) -> bool:
        """Pass a subscription on; False when the node has no session here."""

    def on_open(self, callback: Callable[[str], None]) -> None:
        """Call `callback(node id)` for every session opened from now on."""


class _Relay:
    """One subscription at this manager."""

    def __init__(self, subscription: LogSubscription) -> None:
        self.subscription = subscription
        self.queue: asyncio.Queue[RelayLogsResponse] = asyncio.Queue(QUEUE_EVENTS)
        self.told: set[str] = set()  # nodes that have the subscription, in their present session
        self.done: set[str] = set()  # nodes that sent everything
        self.publishers: set[asyncio.Task[None]] = set()
        self.replay = Replay()
        self.turn = asyncio.Lock()  # a node that begins anew may still be heard over its former session


class LogBroker:
    """All log subscriptions that pass through this manager."""

    def __init__(self, store: Store, sessions: AgentSessions) -> None:
        """`sessions` reaches the agents connected here."""
        self._store = store
        self._sessions = sessions
        self._relays: dict[str, _Relay] = {}
        sessions.on_open(self._session_opened)

    async def relay(self, subscription: LogSubscription) -> AsyncIterator[RelayLogsResponse]:
        """Yield what the agents of this manager send; never ends by itself: close the iterator."""
        relay = _Relay(subscription)
        self._relays[subscription.id] = relay
        following = asyncio.create_task(self._follow(relay), name="log-relay-follow")
        try:
            while True:
                yield await relay.queue.get()
        finally:
            del self._relays[subscription.id]
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            self._close(relay)

    async def publish(self, node_id: str, requests: AsyncIterator[PublishLogsRequest]) -> None:
        """Take what an agent sends; raises NotFound when nobody reads (any more)."""
        try:
            first = await anext(requests)
        except StopAsyncIteration:
            return
        relay = self._relays.get(first.subscription_id)
        if relay is None:
            raise NotFound("nobody reads these logs any more")
        taking = asyncio.create_task(self._take(relay, node_id, first, requests), name="log-publish")
        relay.publishers.add(taking)
        taking.add_done_callback(relay.publishers.discard)
        try:
            await asyncio.wait({taking})
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        if taking.cancelled():
            raise NotFound("nobody reads these logs any more")
        taking.result()

    async def _take(
        self,
        relay: _Relay,
        node_id: str,
        first: PublishLogsRequest,
        requests: AsyncIterator[PublishLogsRequest],
    ) -> None:
        await relay.queue.put(RelayLogsResponse(node_started=node_id))
        stream, whole = object(), not _is_mark(first)  # earlier versions do not mark the end
        await self._pass_on(relay, stream, node_id, first)
        async for request in requests:
            await self._pass_on(relay, stream, node_id, request)
            whole = whole or _is_mark(request)
        if not whole:  # its session is gone; with the next one it begins anew
            return
        relay.done.add(node_id)
        await relay.queue.put(RelayLogsResponse(node_done=node_id))

    async def _pass_on(
        self, relay: _Relay, stream: object, node_id: str, request: PublishLogsRequest
    ) -> None:
        for message in request.messages:
            task = self._store.view.tasks.get(message.task_id)
            # A node speaks for its own tasks only, and only about what was asked.
            if task is None or task.node_id != node_id or not selected(relay.subscription.selector, task):
                continue
            passed = LogMessage()
            passed.CopyFrom(message)
            passed.node_id, passed.service_id = node_id, task.service_id
            async with relay.turn:
                if relay.replay.is_news(stream, passed):
                    await relay.queue.put(RelayLogsResponse(message=passed))
                    relay.replay.sent(stream, passed)

    async def _follow(self, relay: _Relay) -> None:
        """Tell every node that comes to be concerned."""
        with self._store.watch(Task) as watch:
            self._tell_all(relay)
            while True:
                try:
                    commit = await anext(watch)
                except WatchOverflow:
                    self._tell_all(relay)
                    continue
                for event in commit.events:
                    task = event.object
                    if isinstance(task, Task) and concerned(task, relay.subscription):
                        self._tell(relay, task.node_id)

    def _tell_all(self, relay: _Relay) -> None:
        for node_id in concerned_tasks(self._store.view, relay.subscription):
            self._tell(relay, node_id)

    def _tell(self, relay: _Relay, node_id: str) -> None:
        if node_id in relay.told or node_id in relay.done:
            return
        if self._sessions.send_log_subscription(node_id, relay.subscription):
            relay.told.add(node_id)

    def _session_opened(self, node_id: str) -> None:
        """A new session knows nothing of subscriptions: the agent has to begin anew."""
        for relay in self._relays.values():
            relay.told.discard(node_id)
            if node_id in concerned_tasks(self._store.view, relay.subscription):
                self._tell(relay, node_id)

    def _close(self, relay: _Relay) -> None:
        closing = LogSubscription(id=relay.subscription.id, close=True)
        for node_id in relay.told - relay.done:
            self._sessions.send_log_subscription(node_id, closing)
        for publisher in tuple(relay.publishers):
            publisher.cancel()


def _is_mark(request: PublishLogsRequest) -> bool:
    """Whether it says that a node begins, or that this was all."""
    return any(not message.task_id for message in request.messages)


@contextlib.asynccontextmanager
async def relaying(
    broker: LogBroker, subscription: LogSubscription
) -> AsyncIterator[AsyncIterator[RelayLogsResponse]]:
    """Relay within the block; closes the iterator for sure."""
    events = broker.relay(subscription)
    try:
        yield events
    finally:
        await events.aclose()  # type: ignore[attr-defined]
