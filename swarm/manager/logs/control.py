"""Output of services for whoever asked: gathered from all managers, in order per task, honest about gaps."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import grpc
import structlog

from swarm.api.v1.control_pb2 import ServiceLogsResponse
from swarm.api.v1.logs_pb2 import LogOptions, LogSelector, LogSubscription, RelayLogsResponse
from swarm.api.v1.logs_pb2_grpc import LogsStub
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.clock import Clock
from swarm.ids import new_id
from swarm.manager.logs.broker import LogBroker, relaying
from swarm.manager.logs.concerned import concerned_tasks, is_down, missing_notice
from swarm.manager.logs.replay import Replay
from swarm.manager.store.store import Store

log = structlog.get_logger(__name__)

ANSWER_TIMEOUT_S = 5.0  # a node that neither sends lines nor its end for this long is given up
RELAY_AGAIN_S = 1.0
LOOK_S = 0.25
LOSSES_S = 1.0  # between two looks for nodes that went down while they were followed
QUEUE_EVENTS = 1024

Events = asyncio.Queue[tuple[str, RelayLogsResponse]]  # each with the manager that it came from


class LogControl:
    """What the control API asks for logs."""

    def __init__(
        self,
        node_id: str,
        store: Store,
        broker: LogBroker,
        members: Callable[[], Sequence[RaftMember]],
        dial: Callable[[str], grpc.aio.Channel],
        clock: Clock,
    ) -> None:
        """`node_id` is this manager's; `members` returns all managers, `dial` reaches one."""
        self._node_id = node_id
        self._store = store
        self._broker = broker
        self._members = members
        self._dial = dial
        self._clock = clock

    async def stream(self, selector: LogSelector, options: LogOptions) -> AsyncIterator[ServiceLogsResponse]:
        """Yield lines, ordered per task, and a notice for every node that cannot answer.

        Without `follow` it ends when every node concerned has sent everything or was given up; with it,
        it goes on, with the lines of tasks created later as well, until the iterator is closed.
        """
        subscription = LogSubscription(id=new_id(), selector=selector, options=options)
        if not options.stdout and not options.stderr:
            subscription.options.stdout = subscription.options.stderr = True
        waiting = dict(concerned_tasks(self._store.view, subscription))
        down = [one for one in waiting if is_down(self._store.view.nodes.get(one))]
        for node_id in down:
            yield self._notice(node_id, waiting.pop(node_id), "is down")
        if not waiting and not options.follow:
            return
        events: Events = asyncio.Queue(QUEUE_EVENTS)
        relays = [
            asyncio.create_task(self._relay(member, subscription, events), name="log-relay")
            for member in self._managers()
        ]
        try:
            losses = _Losses(self._store, subscription, down) if options.follow else None
            async for answer in self._answers(events, waiting, losses):
                yield answer
        finally:
            for relay in relays:
                relay.cancel()
            await asyncio.gather(*relays, return_exceptions=True)

    async def _answers(
        self,
        events: Events,
        waiting: dict[str, tuple[Task, ...]],
        losses: "_Losses | None",
    ) -> AsyncIterator[ServiceLogsResponse]:
        replay, begun, follow = Replay(), Counter[tuple[str, str]](), losses is not None
        heard_s = dict.fromkeys(waiting, self._clock.monotonic_s())
        while follow or waiting:
            heard = await _next(events)
            now_s = self._clock.monotonic_s()
            for node_id, tasks in losses.news(now_s) if losses is not None else ():
                yield self._notice(node_id, tasks, "is down")
            if heard is None:
                for node_id in [one for one in waiting if now_s - heard_s[one] >= ANSWER_TIMEOUT_S]:
                    yield self._notice(node_id, waiting.pop(node_id), "does not answer")
                continue
            manager_id, event = heard
            node_id = _node_of(event)
            heard_s[node_id] = now_s
            stream = manager_id, node_id, begun[manager_id, node_id]
            match event.WhichOneof("event"):
                case "node_started":
                    begun[manager_id, node_id] += 1
                    if follow:  # it answers, and says nothing more by itself
                        waiting.pop(event.node_started, None)
                case "node_done":
                    waiting.pop(event.node_done, None)
                case "message" if replay.is_news(stream, event.message):
                    replay.sent(stream, event.message)
                    yield ServiceLogsResponse(message=event.message)
                    paused_s = self._clock.monotonic_s() - now_s
                    if paused_s > LOOK_S:  # the reader was slow, not the nodes
                        heard_s = {node_id: at_s + paused_s for node_id, at_s in heard_s.items()}

    def _notice(self, node_id: str, tasks: tuple[Task, ...], reason: str) -> ServiceLogsResponse:
        node = self._store.view.nodes.get(node_id)
        return ServiceLogsResponse(notice=missing_notice(node_id, node, tasks, reason))

    def _managers(self) -> Sequence[RaftMember]:
        return tuple(self._members()) or (RaftMember(node_id=self._node_id),)

    async def _relay(
        self,
        member: RaftMember,
        subscription: LogSubscription,
        events: Events,
    ) -> None:
        """Bring the events of one manager into `events`; one that cannot be reached is asked again."""
        if member.node_id == self._node_id:
            async with relaying(self._broker, subscription) as own:
                async for event in own:
                    await events.put((member.node_id, event))
            return
        silent = False
        while True:
            channel = self._dial(member.addr)
            try:
                async for event in LogsStub(channel).Relay(subscription):
                    silent = False
                    await events.put((member.node_id, event))
            except grpc.RpcError as error:
                if not silent:
                    log.warning("logs.manager_not_reached", node_id=member.node_id, reason=str(error))
                silent = True
            else:
                return  # it stops
            finally:
                await channel.close()
            await asyncio.sleep(RELAY_AGAIN_S)
            # Under another id: the other may not have noticed yet that nobody hears the one before.
            subscription = LogSubscription(
                id=new_id(), selector=subscription.selector, options=subscription.options
            )


class _Losses:
    """Nodes that went down while their output was followed."""

    def __init__(self, store: Store, subscription: LogSubscription, down: Sequence[str]) -> None:
        """`down` are those that were named already."""
        self._store = store
        self._subscription = subscription
        self._down = set(down)
        self._next_s = 0.0

    def news(self, now_s: float) -> list[tuple[str, tuple[Task, ...]]]:
        """Return the nodes that went down since the last call, each with the tasks it had."""
        if now_s < self._next_s:
            return []
        self._next_s = now_s + LOSSES_S
        view = self._store.view
        self._down = {node_id for node_id in self._down if is_down(view.nodes.get(node_id))}
        tasks = concerned_tasks(view, self._subscription)
        new = [one for one in tasks if one not in self._down and is_down(view.nodes.get(one))]
        self._down.update(new)
        return [(node_id, tasks[node_id]) for node_id in new]


async def _next(events: Events) -> tuple[str, RelayLogsResponse] | None:
    """Return the next event, None when there is none for a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            return await events.get()
    return None


def _node_of(event: RelayLogsResponse) -> str:
    return event.node_done or event.node_started or event.message.node_id
