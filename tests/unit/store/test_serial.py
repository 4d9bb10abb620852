"""Whatever happens to entries on their way, the store is what some serial order of its writers makes of it.

Two managers write to one log, in any order. Entries are lost, committed in silence, late, or there twice.
Each writer notes in a shared object what it did and how many were there before it: the order.
"""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.store_pb2 import StoreEntry
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NoQuorum,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    StaleVersion,
    SwarmError,
)
from swarm.manager.store import store as store_module
from swarm.manager.store.store import (
    ATTEMPTS_MAX,
    BATCH_ACTIONS,
    BATCH_BYTES,
    BATCH_MS,
    BATCH_WRITERS,
    TRANSACTION_BYTES_MAX,
    Store,
)
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with

LEDGER = "ledger"
KEYS = ("a", "b", "c")


def a_service(service_id: str, pad: int = 0) -> Service:
    service = Service(id=service_id)
    service.spec.annotations.name = service_id
    if pad:
        service.spec.annotations.labels["pad"] = "x" * pad
    return service


@dataclass(frozen=True)
class Op:
    """One writer: `number` tells it apart, `kind` is done to `key`."""

    number: int
    kind: str
    key: str

    def __call__(self, tx) -> int:
        """Do it and return the place in the order."""
        apply_to(StoreModel(tx), self)
        ledger = copy_of(tx.services.get(LEDGER))
        place = len(ledger.spec.annotations.labels)
        assert str(self.number) not in ledger.spec.annotations.labels, (
            "ran against a state that has it already"
        )
        ledger.spec.annotations.labels[str(self.number)] = str(place)
        tx.update(ledger)
        return place


class StoreModel:
    """The counters in a transaction."""

    def __init__(self, tx) -> None:
        self.tx = tx

    def get(self, key: str) -> int | None:
        found = self.tx.services.get(key)
        return None if found is None else found.spec_version

    def put(self, key: str, value: int) -> None:
        found = self.tx.services.get(key)
        service = copy_of(found) if found is not None else a_service(key)
        service.spec_version = value
        (self.tx.update if found is not None else self.tx.create)(service)

    def remove(self, key: str) -> None:
        self.tx.remove(self.tx.services.get(key))


class DictModel(dict):
    """The counters as a dict: what the store should amount to."""

    def put(self, key: str, value: int) -> None:
        self[key] = value

    def remove(self, key: str) -> None:
        del self[key]


def apply_to(model, op: Op) -> None:
    """The meaning of an operation, for both."""
    value = model.get(op.key)
    if op.kind == "add":
        model.put(op.key, (value or 0) + op.number + 1)
    elif op.kind == "toggle":
        model.put(op.key, 1) if value is None else model.remove(op.key)
    elif op.kind == "copy":  # reads one, writes another
        model.put(KEYS[(KEYS.index(op.key) + 1) % 3], 1000 if value is None else value * 2)
    elif op.kind == "refuse" and value is not None:
        raise FailedPrecondition(f"{op.key} is there")


class Log(LocalProposer):
    """A log that also repeats old entries, wherever a schedule says so."""

    def repeat(self, choice: int) -> None:
        if self.entries:
            self.commit(self.entries[choice % len(self.entries)][1])


ops = st.builds(
    Op,
    number=st.just(0),
    kind=st.sampled_from(["add", "toggle", "copy", "refuse"]),
    key=st.sampled_from(KEYS),
)
steps = st.one_of(
    st.tuples(st.just("write"), st.lists(ops, min_size=1, max_size=6), st.integers(0, 1)),
    st.tuples(st.just("fail"), st.sampled_from(["lost", "committed", "late"]), st.integers(0, 2)),
    st.tuples(st.just("repeat"), st.integers(0, 50), st.just(0)),
    st.tuples(st.just("late"), st.just(0), st.just(0)),
)
ERRORS = (NotLeader("a:1"), NoQuorum("none"), OutcomeUnknown("lost"))


@settings(max_examples=150)
@given(st.lists(steps, max_size=14))
@example([("fail", "lost", 1), ("write", [Op(0, "add", "a"), Op(0, "refuse", "a")], 0)])
@example([("fail", "late", 1), ("write", [Op(0, "add", "a")], 0), ("write", [Op(0, "add", "a")], 1)])
def test_any_interleaving_equals_a_serial_order(schedule):
    asyncio.run(play(schedule))


async def play(schedule) -> None:
    stores = [Store(ManualClock(), name) for name in ("one", "two")]
    log = Log(*stores)
    for store in stores:
        store.attach(log)
    await stores[0].update(lambda tx: tx.create(a_service(LEDGER)))
    done: dict[int, int | SwarmError] = {}
    number = 0
    known: dict[int, Op] = {}
    for kind, first, second in schedule:
        if kind == "fail":
            # Nothing was appended when a manager says that it does not lead.
            log.fail_next(ERRORS[second], first if second else "lost")
        elif kind == "repeat":
            log.repeat(first)
        elif kind == "late":
            log.commit_late()
        else:
            batch = [Op(number + n, op.kind, op.key) for n, op in enumerate(first)]
            number += len(batch)
            known |= {op.number: op for op in batch}
            # Both managers believe that they lead: their entries meet in the log in any order.
            answers = await asyncio.gather(
                *(stores[(n + second) % 2 if second else 0].update(op) for n, op in enumerate(batch)),
                return_exceptions=True,
            )
            done |= dict(zip((op.number for op in batch), answers, strict=True))
    log.commit_late()
    check(stores, known, done)


def check(stores: list[Store], known: dict[int, Op], done: dict[int, int | BaseException]) -> None:
    assert list(stores[0].freeze().records()) == list(stores[1].freeze().records())
    view = stores[0].view
    ledger = {int(op): int(place) for op, place in view.services.get(LEDGER).spec.annotations.labels.items()}
    order = sorted(ledger, key=lambda op: ledger[op])
    assert [ledger[op] for op in order] == list(range(len(order))), "each ran once, and saw all before it"
    for op, answer in done.items():
        if isinstance(answer, int):
            assert ledger[op] == answer, "it was told its place"
        elif not isinstance(answer, (NoQuorum, OutcomeUnknown)):
            assert isinstance(answer, (NotLeader, StaleVersion, FailedPrecondition)), answer
            assert op not in ledger, f"it was told {answer!r}, and was done"
    model, ever = DictModel(), set()
    for op in order:
        apply_to(model, known[op])
        ever |= set(model)
    for op, answer in done.items():
        if isinstance(answer, FailedPrecondition):
            assert known[op].key in ever, "it was refused for what was never committed"
    assert {key: StoreModel(view_tx(view)).get(key) for key in KEYS} == {key: model.get(key) for key in KEYS}


def view_tx(view):
    return view  # reading is all that StoreModel.get does


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["spend a", "spend b", "lost", "committed", "late", "come"]), max_size=30),
    st.integers(0, 5),
)
def test_what_a_writer_only_read_counts_as_much_as_what_it_wrote(schedule, budget):
    """Two accounts that may not be overdrawn together: each writer reads both, and writes one."""

    async def spend_all() -> None:
        stores = [Store(ManualClock(), name) for name in ("one", "two")]
        log = LocalProposer(*stores)
        for store in stores:
            store.attach(log)
        await stores[0].update(lambda tx: [tx.create(a_service(key)) for key in "ab"] and None)

        def spend(key: str):
            def fn(tx) -> bool:
                if sum(tx.services.get(one).spec_version for one in "ab") >= budget:
                    return False
                service = copy_of(tx.services.get(key))
                service.spec_version += 1
                tx.update(service)
                return True

            return fn

        spent = unknown = 0
        waiting = []
        for step in [*schedule, "come"]:
            if step.startswith("spend"):
                waiting.append(stores[len(waiting) % 2].update(spend(step[-1])))
                continue
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            waiting = []
            spent += sum(answer is True for answer in answers)
            unknown += sum(isinstance(answer, OutcomeUnknown) for answer in answers)
            assert all(isinstance(answer, (bool, OutcomeUnknown, StaleVersion)) for answer in answers)
            if step == "come":
                log.commit_late()
            else:
                log.fail_next(OutcomeUnknown("who knows"), step)
        total = sum(stores[0].view.services.get(key).spec_version for key in "ab")
        assert total <= budget
        assert spent <= total <= spent + unknown

    asyncio.run(spend_all())


@settings(max_examples=80)
@given(st.lists(ops, min_size=1, max_size=12), st.data())
def test_entries_that_come_twice_or_in_another_order_change_nothing(operations, data):
    """A log only ever grows, but what a proposer sent may arrive again, and late."""

    async def build() -> list[tuple[int, bytes]]:
        store = Store(ManualClock(), "one")
        log = LocalProposer(store)
        store.attach(log)
        await store.update(lambda tx: tx.create(a_service(LEDGER)))
        for number, op in enumerate(operations):
            await asyncio.gather(store.update(Op(number, op.kind, op.key)), return_exceptions=True)
        return log.entries

    entries = [entry for _, entry in asyncio.run(build())]
    straight, shaken = Store(ManualClock(), "a"), Store(ManualClock(), "b")
    index, applied = 0, 0
    while applied < len(entries):
        index += 1
        which = data.draw(st.integers(0, len(entries) - 1)) if data.draw(st.booleans()) else applied
        before = [record.object.service for record in snapshot(shaken)]
        if which > applied and before and before[0].meta.version.index == which:
            return  # the version it was built on, by chance: in a real log that number has one entry only
        shaken.apply(index, entries[which])
        if which == applied:
            straight.apply(index, entries[which])
            applied += 1
        else:  # old: repeated; new: built on entries that are not there yet
            assert [record.object.service for record in snapshot(shaken)] == before
            if which > applied:
                return  # its sequence number is used up now: the rest would be refused as well
    assert [one.spec_version for one in services(shaken)] == [one.spec_version for one in services(straight)]


def snapshot(store: Store):
    from swarm.api.v1.store_pb2 import SnapshotRecord

    records = [SnapshotRecord.FromString(record) for record in store.freeze().records()]
    return [record for record in records if record.WhichOneof("record") == "object"]


def services(store: Store) -> list[Service]:
    return sorted(store.view.services, key=lambda one: one.id)


# The bounds of a batch, one by one.


async def batches(*functions, clock: ManualClock | None = None) -> list[int]:
    """How many transactions each entry holds when these functions wait together."""
    clock = clock or ManualClock()
    store = store_with(clock=clock)
    log = LocalProposer(store)
    store.attach(log)
    await asyncio.gather(*(store.update(fn) for fn in functions))
    return [len(StoreEntry.FromString(entry).transactions) for _, entry in log.entries]


def creates(name: str, count: int = 1, pad: int = 0):
    return lambda tx: [tx.create(a_service(f"{name}.{n}", pad)) for n in range(count)] and None


async def test_a_batch_is_bounded_by_its_actions():
    half = BATCH_ACTIONS // 2
    assert await batches(*(creates(f"w{n}", half) for n in range(5))) == [2, 2, 1]


async def test_a_batch_is_bounded_by_its_bytes():
    assert await batches(*(creates(f"w{n}", pad=BATCH_BYTES // 2) for n in range(5))) == [2, 2, 1]


async def test_a_batch_is_bounded_by_its_writers():
    """Also by those that change nothing, once somebody before them did."""
    readers = [lambda tx: len(tx.services)] * (BATCH_WRITERS + 1)
    assert await batches(creates("w"), *readers) == [BATCH_WRITERS]


async def test_a_batch_is_bounded_by_the_time_that_its_functions_take():
    clock = ManualClock()

    def slow(name: str):
        def fn(tx) -> None:
            creates(name)(tx)
            clock.advance(BATCH_MS / 1e3 / 2)

        return fn

    assert await batches(*(slow(f"w{n}") for n in range(5)), clock=clock) == [2, 2, 1]


async def test_a_function_that_alone_takes_longer_is_still_committed():
    clock = ManualClock()

    def slow(tx) -> None:
        creates("w")(tx)
        clock.advance(BATCH_MS)

    assert await batches(slow, creates("v"), clock=clock) == [1, 1]


async def test_nobody_waits_for_company():
    """A lone writer is proposed in the same turn of the loop in which its batch is made."""
    store = store_with()
    log = LocalProposer(store)
    store.attach(log)
    log.pause()
    first = asyncio.create_task(store.update(creates("a")))
    for _ in range(3):
        await asyncio.sleep(0)
    assert store._sequence == 1
    others = [asyncio.create_task(store.update(creates(f"b{n}"))) for n in range(10)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert store._sequence == 1  # they wait for the entry in flight, and then go together
    log.resume()
    await asyncio.gather(first, *others)
    assert [len(StoreEntry.FromString(entry).transactions) for _, entry in log.entries] == [1, 10]


@pytest.mark.parametrize("over", [False, True])
async def test_a_change_at_the_limit_passes_and_one_byte_more_is_one_clear_error(over):
    store = store_with()
    log = LocalProposer(store)
    store.attach(log)
    sized = creates("big", pad=TRANSACTION_BYTES_MAX - 200)
    await store.update(sized)
    size = StoreEntry.FromString(log.entries[0][1]).transactions[0].ByteSize()
    pad = TRANSACTION_BYTES_MAX - 200 + TRANSACTION_BYTES_MAX - size
    small = store.update(creates("small"))
    answers = await asyncio.gather(
        small,
        store.update(creates("max", pad=pad + over)),
        store.update(creates("last")),
        return_exceptions=True,
    )
    assert answers[0] is answers[2] is None
    assert {"small.0", "last.0"} <= {service.id for service in store.view.services}
    if over:
        assert type(answers[1]) is InvalidArgument
        said = f"{TRANSACTION_BYTES_MAX + 1} bytes; the limit is {TRANSACTION_BYTES_MAX} (TRANSACTION_BYTES)"
        assert said in str(answers[1])
        assert "max.0" not in store.view.services
    else:
        assert answers[1] is None
        assert "max.0" in store.view.services


def test_no_batch_is_larger_than_what_raft_takes():
    from swarm.manager.raft.entries import ENTRY_BYTES_MAX

    # One transaction of the largest size may join a batch that is just below its own limit.
    assert BATCH_BYTES + TRANSACTION_BYTES_MAX < ENTRY_BYTES_MAX
    assert store_module.BATCH_BYTES <= TRANSACTION_BYTES_MAX


# Versions.


async def test_a_version_that_is_stale_when_the_entry_is_applied_changes_nothing():
    """The check at apply holds by itself, whatever a proposer believed."""
    store = store_with(a_service("a"), a_service("b"))
    before = list(store.freeze().records())[:2]
    entry = StoreEntry(proposer="liar", sequence=1, base_index=store.version)
    transaction = entry.transactions.add()
    for name, version in (("a", 1), ("b", 99)):
        action = transaction.actions.add(kind=1, base_version=version)
        action.object.service.CopyFrom(a_service(name))
        action.object.service.spec_version = 7
    with store.watch() as watch:
        store.apply(5, entry.SerializeToString())
        assert watch.drain() == []
    assert list(store.freeze().records())[:2] == before
    assert store.view.index == 5


@pytest.mark.parametrize("change", ["update", "remove"])
async def test_a_writer_that_read_an_older_version_is_told_so(change):
    store = store_with(a_service("a"))
    log = LocalProposer(store)
    store.attach(log)
    old = copy_of(store.view.services.get("a"))
    await store.update(Op_touch)
    with pytest.raises(StaleVersion, match="update out of sequence: service a changed since it was read"):
        await store.update(lambda tx: getattr(tx, change)(old) and None)
    assert len(log.entries) == 1


def Op_touch(tx) -> None:
    tx.update(copy_of(tx.services.get("a")))


async def test_what_does_not_exist_cannot_be_changed_nor_made_twice():
    store = store_with(a_service("a"))
    with pytest.raises(NotFound):
        await store.update(lambda tx: tx.update(a_service("b")) and None)
    with pytest.raises(NameConflict):
        await store.update(creates_again)
    assert ATTEMPTS_MAX > 1


def creates_again(tx) -> None:
    tx.create(a_service("a"))
