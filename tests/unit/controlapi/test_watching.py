"""Readers of changes, over real connections: quick ones, quiet ones, ones that do not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from swarm.api.status import ErrorInterceptor, from_rpc_error
from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.control_pb2_grpc import ControlServicer, ControlStub, add_ControlServicer_to_server
from swarm.api.v1.objects_pb2 import (
    Attachment,
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
from swarm.api.v1.users_pb2 import User
from swarm.clock import timestamp
from swarm.errors import Compacted, InvalidArgument, SwarmError, TransientError, Unavailable
from swarm.manager.controlapi import watching
from swarm.manager.controlapi.watching import _SHOWN, Wanted, Watches
from swarm.manager.store.history import Action, Commit, Event
from swarm.manager.store.store import Store
from swarm.manager.store.tables import KINDS, copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from tests.unit.controlapi.fakes import FakeRaft, a_cluster, a_node, a_service, a_task

DEADLINE_S = 60.0


class OnlyWatch(ControlServicer):
    def __init__(self, watches: Watches) -> None:
        self.watches = watches

    async def Watch(self, request, context):  # type: ignore[no-untyped-def]
        await self.watches.serve(request, context)


class Manager:
    """A store, what serves its changes, and a client."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.raft = FakeRaft()
        self.watches = Watches(store, self.raft)
        self.server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        add_ControlServicer_to_server(OnlyWatch(self.watches), self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    def watch(self, **request):  # type: ignore[no-untyped-def]
        return ControlStub(self.channel).Watch(c.WatchRequest(**request), timeout=DEADLINE_S)


@asynccontextmanager
async def serving(store: Store | None = None) -> AsyncIterator[Manager]:
    manager = Manager(store or store_with())
    await manager.server.start()
    try:
        yield manager
    finally:
        await manager.channel.close()
        await manager.server.stop(None)


async def begun(call) -> int:  # type: ignore[no-untyped-def]
    """Take the first bookmark: from then on nothing is missed."""
    first = await call.read()
    assert not first.events
    return first.version


async def rest_of(call) -> tuple[list[c.WatchResponse], SwarmError]:  # type: ignore[no-untyped-def]
    """What is still to come, and why no more."""
    answers = []
    while True:
        try:
            answers.append(await call.read())
        except grpc.aio.AioRpcError as error:
            return answers, from_rpc_error(error)


async def error_of(call) -> SwarmError:  # type: ignore[no-untyped-def]
    return (await rest_of(call))[1]


def told(answer: c.WatchResponse) -> list[str]:
    words = {0: "create", 1: "update", 2: "remove"}
    return [
        f"{event.object.WhichOneof('object')} {words[event.action]} "
        f"{getattr(event.object, event.object.WhichOneof('object')).id}"
        for event in answer.events
    ]


def create(*objects):  # type: ignore[no-untyped-def]
    return lambda tx: [tx.create(one) for one in objects] and None


def relabel(tx, label: str, service_id: str = "s1") -> None:  # type: ignore[no-untyped-def]
    service = copy_of(tx.services.get(service_id))
    service.spec.annotations.labels["x"] = label
    tx.update(service)


async def test_a_commit_is_one_message_with_its_version_and_time():
    async with serving() as manager:
        call = manager.watch()
        await begun(call)
        await manager.store.update(create(a_service("s1", "web"), a_task("t1", "s1", "n1", 0, 0)))
        answer = await call.read()
        assert told(answer) == ["service create s1", "task create t1"]
        assert answer.version == manager.store.version
        assert answer.at.seconds == ManualClock().now_ns() // 10**9
        call.cancel()


async def test_kinds_filters_and_previous_objects():
    async with serving(store_with(a_service("s1", "web"), a_service("s2", "db"))) as manager:
        call = manager.watch(
            kinds=["service", "task"], filters=c.Filters(labels=["x=1"]), include_previous=True
        )
        await begun(call)
        await manager.store.update(create(a_node("n1"), a_task("t1", "s1", "n1", 0, 0)))
        await manager.store.update(lambda tx: relabel(tx, "2"))
        await manager.store.update(lambda tx: relabel(tx, "1"))
        await manager.store.update(lambda tx: relabel(tx, "1", "s2"))
        await manager.store.update(lambda tx: relabel(tx, "0"))
        await manager.store.update(lambda tx: tx.remove(tx.services.get("s2")))
        answers = [await call.read() for _ in range(4)]
        assert [told(one) for one in answers] == [
            ["service update s1"],  # begins to fit
            ["service update s2"],
            ["service update s1"],  # fits no more
            ["service remove s2"],
        ]
        labels = [
            (
                event.previous.service.spec.annotations.labels["x"],
                event.object.service.spec.annotations.labels["x"],
            )
            for one in answers[:3:2]
            for event in one.events
        ]
        assert labels == [("2", "1"), ("1", "0")]
        call.cancel()


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"kinds": ["services"]}, 'no kind "services"'),
        ({"kinds": ["node"], "filters": c.Filters(modes=["global"])}, "nodes cannot be filtered by modes"),
        ({"resume_version": 1, "include_initial_state": True}, "exclude each other"),
        ({"resume_version": 1, "since": timestamp(1)}, "exclude each other"),
    ],
)
async def test_a_request_that_means_nothing_is_refused(request_, sentence):
    async with serving() as manager:
        error = await error_of(manager.watch(**request_))
        assert type(error) is InvalidArgument
        assert sentence in str(error)


async def test_the_initial_state_comes_in_pieces_and_joins_the_changes_without_a_gap(monkeypatch):
    monkeypatch.setattr(watching, "PIECE_OBJECTS", 3)
    store = store_with(*(a_service(f"s{n}", f"n{n}") for n in range(7)))
    async with serving(store) as manager:
        call = manager.watch(kinds=["service"], include_initial_state=True)
        pieces = [await call.read()]
        await store.update(create(a_service("late", "late")))
        while not pieces[-1].version:
            pieces.append(await call.read())
        assert [len(one.events) for one in pieces] == [3, 3, 1, 0]
        assert [one.initial for one in pieces] == [True, True, True, False]
        assert pieces[-1].version == 1
        answer = await call.read()
        assert told(answer) == ["service create late"]
        call.cancel()


async def test_a_reader_resumes_at_another_manager_without_gap_or_duplicate():
    stores = [Store(ManualClock(), name) for name in ("one", "two")]
    log = LocalProposer(stores[0])
    stores[0].attach(log)
    async with serving(stores[0]) as one, serving(stores[1]) as two:
        call = one.watch()
        await begun(call)
        for name in "abc":
            await stores[0].update(create(a_service(name, name)))
        version = [await call.read() for _ in range(2)][-1].version
        call.cancel()
        # The other one is behind: it waits for what the reader has seen, and then tells only what follows.
        resumed = two.watch(resume_version=version)
        opening = asyncio.create_task(resumed.read())
        stores[1].apply(*log.entries[0])
        await asyncio.sleep(0.1)
        assert not opening.done()
        stores[1].apply(*log.entries[1])
        assert (await opening).version == version
        stores[1].apply(*log.entries[2])
        assert told(await resumed.read()) == ["service create c"]
        resumed.cancel()


async def test_a_version_that_never_comes_is_said_so(monkeypatch):
    monkeypatch.setattr(watching, "WAIT_VERSION_S", 0.2)
    async with serving() as manager:
        error = await error_of(manager.watch(resume_version=1000))
        assert type(error) is Unavailable
        assert "is at version 0 and does not get to 1000" in str(error)


async def test_a_version_that_is_no_longer_kept_is_refused_with_the_oldest_one():
    async with serving() as manager:
        manager.store.restore(7, [])
        call = manager.watch(resume_version=3)
        error = await error_of(call)
        assert type(error) is Compacted
        assert "the oldest version to go on from is 7" in str(error)
        assert "List the objects again" in str(error)
        assert await call.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_a_reader_begins_at_a_time_and_hears_at_once_when_that_was_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_S", 1000.0)
    clock = ManualClock()
    store = Store(clock, "one")
    store.attach(LocalProposer(store))
    times_ns = []
    for name in "abc":
        clock.advance(10)
        times_ns.append(clock.now_ns())
        await store.update(create(a_service(name, name)))
    async with serving(store) as manager:
        call = manager.watch(since=timestamp(times_ns[1]), kinds=["service"])
        first = await call.read()
        assert (first.version, first.HasField("kept_since")) == (1, False)
        answers = [await call.read() for _ in range(3)]
        assert [told(one) for one in answers] == [["service create b"], ["service create c"], []]
        assert answers[-1].version == 3
        call.cancel()


async def test_a_reader_of_longer_ago_hears_since_when_changes_are_kept() -> None:
    async with serving() as manager:
        manager.store.restore(7, [])
        await manager.store.update(create(a_service("a", "a")))
        call = manager.watch(since=timestamp(5))
        first = await call.read()
        assert first.version == 7
        assert first.kept_since == timestamp(ManualClock().now_ns())
        assert told(await call.read()) == ["service create a"]
        call.cancel()


async def test_a_quiet_reader_hears_how_far_it_is(monkeypatch):
    monkeypatch.setattr(watching, "BOOKMARK_S", 0.05)
    async with serving(store_with(a_service("s1", "web"))) as manager:
        call = manager.watch(kinds=["node"])
        first = await begun(call)
        await manager.store.update(lambda tx: relabel(tx, "1"))
        while (answer := await call.read()).version != manager.store.version:
            assert not answer.events
        assert manager.store.version > first
        assert not answer.stale
        manager.raft.leader_id = None
        while not (await call.read()).stale:
            pass
        call.cancel()


async def test_a_busy_stream_of_nothing_that_fits_still_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr(watching, "BOOKMARK_S", 0.05)
    async with serving(store_with(a_service("s1", "web"))) as manager:
        call = manager.watch(kinds=["service"], filters=c.Filters(names=["other"]))
        first = await begun(call)

        async def write() -> None:
            while True:
                await manager.store.update(lambda tx: relabel(tx, "1"))
                await asyncio.sleep(0.001)

        writing = asyncio.create_task(write())
        while (answer := await call.read()).version <= first + 5:
            assert not answer.events
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        call.cancel()


async def flood(store: Store, count: int) -> None:
    """Change a large object so often."""

    def grow(tx) -> None:  # type: ignore[no-untyped-def]
        service = copy_of(tx.services.get("s1"))
        service.spec.annotations.labels["pad"] = "x" * 20_000
        service.spec_version += 1
        tx.update(service)

    for _ in range(count):
        await store.update(grow)


async def _until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_reader_that_does_not_read_is_cut_off_and_nobody_else_notices(monkeypatch):
    monkeypatch.setattr(watching, "QUEUE_EVENTS", 20)
    async with serving(store_with(a_service("s1", "web"))) as manager:
        quick, slow = manager.watch(), manager.watch()
        for call in (quick, slow):
            await begun(call)
        seen = 0
        hub = manager.store._hub
        assert len(hub._watches) == 2
        while len(hub._watches) == 2:
            await flood(manager.store, 5)
            for _ in range(5):
                await quick.read()
            seen += 5
            assert all(watch._waiting_events <= 20 for watch in hub._watches)
            assert seen < 5000, "a reader that does not read was never cut off"
        # Nothing of it is kept but the message on its way, and it goes on without the manager minding.
        for _ in range(10):
            await flood(manager.store, 5)
            for _ in range(5):
                await quick.read()
        got, error = await rest_of(slow)
        assert "more than 20 changes waited to be read" in str(error)
        assert type(error) is TransientError
        # It then goes on where it stopped.
        resumed = manager.watch(resume_version=got[-1].version)
        await begun(resumed)
        versions = [answer.events[0].object.service.spec_version for answer in got]
        while versions[-1] < seen + 51:
            answer = await resumed.read()
            versions += [event.object.service.spec_version for event in answer.events]
        assert versions == list(range(2, seen + 52))
        quick.cancel()
        resumed.cancel()


async def test_a_manager_that_stops_says_so_also_to_those_who_do_not_read(monkeypatch):
    async with serving(store_with(a_service("s1", "web"))) as manager:
        reading, silent = manager.watch(), manager.watch()
        for call in (reading, silent):
            await begun(call)
        await flood(manager.store, 100)
        manager.watches.stop()
        for call in (reading, silent):
            error = await error_of(call)
            assert type(error) is Unavailable
            assert "this manager stops" in str(error)
        await _until(lambda: not manager.store._hub._watches)
        assert "this manager stops" in str(await error_of(manager.watch()))


async def test_the_number_of_readers_is_bounded_and_those_who_left_make_room(monkeypatch):
    monkeypatch.setattr(watching, "WATCHERS_MAX", 2)
    async with serving() as manager:
        first, second = manager.watch(), manager.watch()
        for call in (first, second):
            await begun(call)
        error = await error_of(manager.watch())
        assert type(error) is Unavailable
        assert "2 readers watch this manager already" in str(error)
        first.cancel()
        await _until(lambda: manager.watches._count == 1)
        third = manager.watch()
        await begun(third)
        for call in (second, third):
            call.cancel()
        await _until(lambda: manager.watches._count == 0)
        assert not manager.store._hub._watches


async def test_a_snapshot_in_place_of_the_log_cuts_readers_off_with_the_reason():
    store = store_with(a_service("s1", "web"))
    async with serving(store) as manager:
        call = manager.watch()
        await begun(call)
        frozen = store.freeze()
        store.restore(frozen.applied_index, frozen.records())
        assert "replaced by a snapshot" in str(await error_of(call))


async def test_readers_see_no_secret():
    cluster = a_cluster()
    service = a_service("s1", "web")
    service.spec.task.container.registry_auth.password = "very-secret"
    task = Task(id="t1", spec=service.spec.task)
    async with serving(store_with(cluster, service, task)) as manager:
        call = manager.watch(include_initial_state=True, include_previous=True)
        first = await call.read()
        assert sorted(told(first)) == ["cluster create c1", "service create s1", "task create t1"]
        await call.read()

        def touch(tx) -> None:  # type: ignore[no-untyped-def]
            for obj in (tx.cluster, tx.services.get("s1"), tx.tasks.get("t1")):
                tx.update(copy_of(obj))

        await manager.store.update(touch)
        await manager.store.update(lambda tx: tx.remove(tx.services.get("s1")))
        answers = [first, await call.read(), await call.read()]
        assert all(event.HasField("previous") for event in answers[1].events)
        assert "secret" not in str(answers)
        assert "key" not in str(answers)
        call.cancel()


def test_every_kind_of_object_has_its_redaction_and_its_filter():
    # Places of containers in networks are told of by their nodes, as events of those containers; users are
    # for administrators, who have the audit trail.
    watched = set(KINDS) - {Attachment, User}
    known = {Cluster, Node, Service, Task, Image, Secret, Config, Network, Volume, Stack}
    assert set(_SHOWN) == watched == known
    for kind, (show, selected) in _SHOWN.items():
        assert selected(c.Filters(), kind(id="x"))
        assert not selected(c.Filters(ids=["y"]), kind(id="x"))
        assert isinstance(show(kind(id="x")), kind)


async def test_no_reader_sees_the_data_of_secrets_and_configs_first_or_later() -> None:
    secret, config = Secret(id="s1"), Config(id="c1")
    secret.spec.secret_data = config.spec.data = b"recognisable"
    async with serving(store_with(secret)) as manager:
        call = manager.watch(include_initial_state=True, include_previous=True)
        first = await call.read()
        assert [event.object.secret.id for event in first.events] == ["s1"]
        await begun(call)

        def label(transaction) -> None:  # type: ignore[no-untyped-def]
            changed = copy_of(transaction.secrets.get("s1"))
            changed.spec.annotations.labels["a"] = "b"
            transaction.update(changed)
            transaction.create(config)

        await manager.store.update(label)
        second = await call.read()
        await manager.store.update(lambda tx: tx.remove(tx.secrets.get("s1")))
        third = await call.read()
        assert [len(one.events) for one in (first, second, third)] == [1, 2, 1]
        assert second.events[0].HasField("previous")
        for answer in (first, second, third):
            assert b"recognisable" not in answer.SerializeToString()


def test_what_enters_a_scope_comes_and_what_leaves_it_goes():
    mine, theirs = Service(id="s"), Service(id="s")
    mine.spec.annotations.labels["team"] = "red"
    wanted = Wanted.of(c.WatchRequest(include_previous=True), lambda obj: obj is mine)

    def told(action, now, before):
        commit = Commit(1, (Event(action, now, before),))
        return [
            (one.action, one.object.service == mine, one.HasField("previous"))
            for one in wanted.events(commit)
        ]

    assert told(Action.CREATE, theirs, None) == []
    assert told(Action.UPDATE, theirs, Service(id="s")) == []
    assert told(Action.REMOVE, theirs, None) == []
    assert told(Action.CREATE, mine, None) == [(c.WatchEvent.ACTION_CREATE, True, False)]
    assert told(Action.UPDATE, mine, theirs) == [(c.WatchEvent.ACTION_CREATE, True, False)]
    assert told(Action.UPDATE, theirs, mine) == [(c.WatchEvent.ACTION_REMOVE, True, False)]
