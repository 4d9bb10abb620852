"""Control.Watch: what is committed, as it is committed, to readers of any speed."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import grpc
import structlog

from swarm.api.stream_context import StreamContext
from swarm.api.v1.control_pb2 import WatchEvent, WatchRequest, WatchResponse
from swarm.api.v1.objects_pb2 import (
    Cluster,
    Config,
    Image,
    Network,
    Node,
    Secret,
    Service,
    Stack,
    Task,
    Volume,
)
from swarm.api.v1.store_pb2 import StoreObject
from swarm.clock import nanoseconds, timestamp
from swarm.errors import InvalidArgument, SwarmError, TransientError, Unavailable
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.controlapi.redact import (
    shown_cluster,
    shown_config,
    shown_secret,
    shown_service,
    shown_stack,
    shown_task,
)
from swarm.manager.store.history import Action, Commit, Event
from swarm.manager.store.scope import sees
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Kind, Object, kind_name, table_of, wrap
from swarm.manager.store.watch import Watch, WatchOverflow
from swarm.model.selectors import (
    Selection,
    cluster_selected,
    data_selected,
    image_selected,
    network_selected,
    node_selected,
    read_filters,
    service_selected,
    stack_selected,
    task_selected,
)
from swarm.security.identity import scope_now

log = structlog.get_logger(__name__)

WATCHERS_MAX = 128  # at one manager; each may hold a queue and one message
# Waiting for one reader, who is then cut off: less than the history, so that it may go on where it was.
QUEUE_EVENTS = 4096
QUEUE_BYTES = 4 * 1024 * 1024
BOOKMARK_S = 5.0  # a quiet stream tells so often how far it is
WAIT_VERSION_S = 10.0  # for this manager to reach the version that another one has sent
PIECE_OBJECTS = 500  # of the initial state, in one message

_SHOWN: Mapping[Kind, tuple[Callable[[Any], Object], Callable[[Selection, Any], bool]]] = {
    Cluster: (shown_cluster, cluster_selected),
    Node: (lambda node: cast("Node", node), node_selected),
    Service: (shown_service, service_selected),
    Task: (shown_task, task_selected),
    Image: (lambda image: cast("Image", image), image_selected),
    Secret: (shown_secret, data_selected),
    Config: (shown_config, data_selected),
    Volume: (lambda volume: cast("Volume", volume), data_selected),
    Network: (lambda network: cast("Network", network), network_selected),
    Stack: (shown_stack, stack_selected),
}
_KINDS = {kind_name(kind): kind for kind in _SHOWN}
_ACTIONS = {
    Action.CREATE: WatchEvent.ACTION_CREATE,
    Action.UPDATE: WatchEvent.ACTION_UPDATE,
    Action.REMOVE: WatchEvent.ACTION_REMOVE,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asked for."""

    kinds: tuple[Kind, ...]
    filters: Selection
    resume: int | None
    initial: bool
    previous: bool
    since_ns: int | None = None
    sees: Callable[[Object], bool] = lambda _: True

    @classmethod
    def of(cls, request: WatchRequest, sees: Callable[[Object], bool] = lambda _: True) -> "Wanted":
        """Return it; raises InvalidArgument for unknown kinds, and for filters that a kind does not have."""
        for name in request.kinds:
            if name not in _KINDS:
                raise InvalidArgument(f'there is no kind "{name}" to watch (known: {", ".join(_KINDS)})')
        kinds = tuple(_KINDS[name] for name in dict.fromkeys(request.kinds)) or tuple(_SHOWN)
        filters = read_filters(request.filters)
        for kind in kinds:
            _SHOWN[kind][1](filters, kind())
        resume = request.resume_version if request.HasField("resume_version") else None
        since_ns = nanoseconds(request.since) if request.HasField("since") else None
        if (resume is not None) + (since_ns is not None) + request.include_initial_state > 1:
            raise InvalidArgument("resume_version, since and include_initial_state exclude each other")
        return cls(
            *(kinds, filters, resume, request.include_initial_state, request.include_previous),
            *(since_ns, sees),
        )

    def selects(self, obj: Object) -> bool:
        """Whether an object is there for the reader, and the filters fit it."""
        return self.sees(obj) and _SHOWN[type(obj)][1](self.filters, obj)

    def events(self, commit: Commit) -> list[WatchEvent]:
        """Return what a commit did to objects that fit, before or after it."""
        return [
            self._event(event)
            for event in commit.events
            if self.selects(event.object) or (event.previous is not None and self.selects(event.previous))
        ]

    def _event(self, event: Event) -> WatchEvent:
        if event.previous is not None and not self.sees(event.object):  # it left the reader's scope
            return WatchEvent(action=WatchEvent.ACTION_REMOVE, object=shown(event.previous))
        if event.action is Action.UPDATE and event.previous is not None and not self.sees(event.previous):
            return WatchEvent(action=WatchEvent.ACTION_CREATE, object=shown(event.object))
        told = WatchEvent(action=_ACTIONS[event.action], object=shown(event.object))
        if self.previous and event.action is Action.UPDATE and event.previous is not None:
            told.previous.CopyFrom(shown(event.previous))
        return told


def shown(obj: Object) -> StoreObject:
    """Return what people may see of an object."""
    return wrap(_SHOWN[type(obj)][0](obj))


class Watches:
    """All readers of this manager."""

    def __init__(self, store: Store, raft: RaftStatus) -> None:
        self._store = store
        self._raft = raft
        self._count = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End every stream, now and from now on: this manager stops."""
        self._stopping.set()

    async def serve(self, request: WatchRequest, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Send what was asked for until the reader leaves, falls behind, or this manager stops.

        Raises Compacted, InvalidArgument and Unavailable, which say how to go on.
        """
        scope, view = scope_now(), self._store.view
        wanted = Wanted.of(request, (lambda obj: sees(scope, view, obj)) if scope else lambda _: True)
        if self._count >= WATCHERS_MAX:
            raise Unavailable(f"{WATCHERS_MAX} readers watch this manager already: ask another one")
        self._count += 1
        stream = StreamContext(context)
        try:
            await self._reach(wanted.resume or 0)
            ended = await self._stream(wanted, stream)
        finally:
            self._count -= 1
        # Everything but the message on its way is let go of: a reader that does not read costs no more.
        await stream.settled()
        raise ended

    async def _reach(self, version: int) -> None:
        try:
            async with asyncio.timeout(WAIT_VERSION_S):
                await self._store.wait_applied(version)
        except TimeoutError:
            raise Unavailable(
                f"this manager is at version {self._store.version} and does not get to {version}: ask "
                "another one, or list again if the cluster was restored from an older state"
            ) from None

    async def _stream(self, wanted: Wanted, stream: StreamContext) -> SwarmError:
        """Send until something ends it; return what."""
        after, kept_since_ns = wanted.resume, None
        if wanted.since_ns is not None:
            after, kept_since_ns = self._store.since(wanted.since_ns)
        with self._store.watch(
            *wanted.kinds, limit=QUEUE_EVENTS, limit_bytes=QUEUE_BYTES, after=after
        ) as watch:
            first = self._bookmark(self._store.version if after is None else after)
            if kept_since_ns is not None:
                first.kept_since.CopyFrom(timestamp(kept_since_ns))
            objects = self._objects(wanted) if wanted.initial else ()
            ends = [
                asyncio.create_task(self._follow(wanted, watch, stream, first, objects)),
                asyncio.create_task(watch.wait_overflow()),
                asyncio.create_task(self._stopping.wait()),
            ]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in ends:
                    one.cancel()
                outcome, *_ = await asyncio.gather(*ends, return_exceptions=True)
            if self._stopping.is_set():
                return Unavailable("this manager stops: go on at another one, from the version you have")
            if isinstance(outcome, Exception) and not isinstance(outcome, WatchOverflow):
                raise outcome
            log.info("controlapi.reader_cut_off", reason=watch.overflow_reason)
            return TransientError(
                f"the stream was cut off: {watch.overflow_reason}. Go on from the version you have, or list "
                "again"
            )

    def _objects(self, wanted: Wanted) -> tuple[Object, ...]:
        view = self._store.view
        return tuple(obj for kind in wanted.kinds for obj in table_of(view, kind) if wanted.selects(obj))

    async def _follow(
        self,
        wanted: Wanted,
        watch: Watch,
        stream: StreamContext,
        first: WatchResponse,
        objects: Iterable[Object],
    ) -> None:
        for piece in _pieces(objects):
            await stream.write(WatchResponse(events=piece, initial=True))
        await stream.write(first)
        version, behind = first.version, first.version < self._store.version
        loop = asyncio.get_running_loop()
        due_s = loop.time() + BOOKMARK_S
        while True:
            commit = await _next(watch, loop.time() if behind else due_s)
            if commit is None and behind:  # a reader that was behind hears at once that it is not any more
                behind = False
            events = wanted.events(commit) if commit is not None else []
            if commit is not None and (events or loop.time() >= due_s):
                version = commit.index
                at = timestamp(commit.at_ns)
                answer = WatchResponse(events=events, version=version, at=at, stale=self._stale)
            elif commit is None:
                version = watch.caught_up or version
                answer = self._bookmark(version)
            else:
                continue
            await stream.write(answer)
            due_s = loop.time() + BOOKMARK_S

    def _bookmark(self, version: int) -> WatchResponse:
        return WatchResponse(version=version, stale=self._stale)

    @property
    def _stale(self) -> bool:
        return self._raft.leader is None


async def _next(watch: Watch, until_s: float) -> Commit | None:
    """Return the next commit, None when there is none in time."""
    try:
        async with asyncio.timeout_at(until_s):
            return await anext(watch)
    except TimeoutError:
        return None


def _pieces(objects: Iterable[Object]) -> Iterator[list[WatchEvent]]:
    remaining = iter(objects)
    while piece := list(islice(remaining, PIECE_OBJECTS)):
        yield [WatchEvent(action=WatchEvent.ACTION_CREATE, object=shown(obj)) for obj in piece]
