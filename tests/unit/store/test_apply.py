"""Properties of applying entries, over random histories."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.store_pb2 import StoreAction, StoreEntry
from swarm.errors import NoQuorum, SwarmError
from swarm.manager.store.apply import PROPOSERS_LIMIT, State, apply_entry
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of, wrap
from swarm.manager.store.testing import LocalProposer, ManualClock


def random_change(rng: random.Random):
    """Return a function of a transaction that makes some random, mostly sensible changes."""
    seed = rng.random()

    def change(tx):
        dice = random.Random(seed)
        for _ in range(dice.randint(1, 4)):
            kind = dice.choice((Service, Task, Node))
            object_id = f"id{dice.randint(1, 6)}"
            obj = kind(id=object_id)
            if kind is Task:
                obj.service_id, obj.slot = f"id{dice.randint(1, 3)}", dice.randint(1, 2)
                obj.node_id = dice.choice(("", "id1", "id2"))
            else:
                obj.spec.annotations.name = f"name{dice.randint(1, 4)}"
            table = {Service: tx.services, Task: tx.tasks, Node: tx.nodes}[kind]
            current = table.get(object_id)
            if current is None:
                tx.create(obj)
            elif dice.random() < 0.3:
                tx.remove(current)
            else:
                obj.meta.CopyFrom(current.meta)
                tx.update(obj)
        if dice.random() < 0.1:
            raise ValueError("changed its mind")

    return change


async def run_history(seed: int) -> tuple[Store, list[tuple[int, bytes]]]:
    rng = random.Random(seed)
    store = Store(ManualClock(), "p")
    proposer = LocalProposer(store)
    store.attach(proposer)
    for _ in range(12):
        if rng.random() < 0.3:
            proposer.fail_next(NoQuorum("faulty"), rng.choice(("lost", "committed", "late")))
        changes = [store.update(random_change(rng)) for _ in range(rng.randint(1, 4))]
        for answer in await asyncio.gather(*changes, return_exceptions=True):
            assert answer is None or isinstance(answer, SwarmError | ValueError), answer
        if proposer.entries and rng.random() < 0.2:
            proposer.commit(rng.choice(proposer.entries)[1])  # delivered again
    proposer.commit_late()
    return store, proposer.entries


def replay(entries: list[tuple[int, bytes]], into: Store | None = None) -> Store:
    store = into or Store(ManualClock(), "q")
    for index, entry in entries:
        store.apply(index, entry)
    return store


def records(store: Store) -> list[bytes]:
    return list(store.freeze().records())


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_replaying_the_same_entries_gives_equal_tables(seed):
    store, entries = asyncio.run(run_history(seed))
    assert records(replay(entries)) == records(store)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_snapshot_taken_anywhere_and_the_rest_of_the_log_give_equal_tables(seed, where):
    store, entries = asyncio.run(run_history(seed))
    cut = int(len(entries) * where)
    frozen = replay(entries[:cut]).freeze()
    heir = Store(ManualClock(), "r")
    heir.restore(frozen.applied_index, frozen.records())
    replay(entries[cut:], heir)
    assert sorted(records(heir)) == sorted(records(store))


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_indexes_always_agree_with_a_scan(seed):
    view = asyncio.run(run_history(seed))[0].view
    for task in view.tasks:
        assert task in view.tasks.by_service(task.service_id)
        assert task in view.tasks.by_slot(task.service_id, task.slot)
        assert (task in view.tasks.by_node(task.node_id)) == bool(task.node_id)
    for node_id in ("id1", "id2"):
        assert {t.id for t in view.tasks.by_node(node_id)} == {
            t.id for t in view.tasks if t.node_id == node_id
        }
    names = [service.spec.annotations.name for service in view.services]
    assert len(names) == len(set(names))
    assert all(view.services.by_name(name) is not None for name in names)


def an_entry(sequence: int, base_index: int, *actions: StoreAction, proposer: str = "p") -> StoreEntry:
    entry = StoreEntry(proposer=proposer, sequence=sequence, base_index=base_index)
    for action in actions:
        entry.transactions.add().actions.append(action)
    return entry


def create(obj) -> StoreAction:
    return StoreAction(kind=StoreAction.KIND_CREATE, object=wrap(obj))


def test_a_refused_transaction_refuses_those_built_on_it():
    state = State()
    outcome = apply_entry(
        state, 5, an_entry(1, 0, create(Node(id="a")), create(Node(id="a")), create(Node(id="b")))
    )
    assert [bool(refusal) for refusal in outcome.refusals] == [False, True, True]
    assert [node.id for node in state.tables.nodes] == ["a"]


def test_a_transaction_is_applied_whole_or_not_at_all():
    entry = an_entry(1, 0)
    transaction = entry.transactions.add()
    missing = StoreAction(kind=StoreAction.KIND_UPDATE, object=wrap(Node(id="b")), base_version=3)
    transaction.actions.extend([create(Node(id="a")), missing])
    state = State()
    outcome = apply_entry(state, 5, entry)
    assert "b does not exist" in outcome.refusals[0]
    assert len(state.tables.nodes) == 0
    assert outcome.events == ()


def test_a_version_other_than_the_one_read_is_refused():
    state = State()
    apply_entry(state, 5, an_entry(1, 0, create(Node(id="a"))))
    action = StoreAction(kind=StoreAction.KIND_UPDATE, object=wrap(Node(id="a")), base_version=4)
    outcome = apply_entry(state, 6, an_entry(2, 5, action))
    assert "version 5, not 4" in outcome.refusals[0]


def test_two_services_may_swap_their_names_in_one_transaction():
    state = State()
    one, two = Service(id="1"), Service(id="2")
    one.spec.annotations.name, two.spec.annotations.name = "x", "y"
    apply_entry(state, 5, an_entry(1, 0, create(one), create(two)))
    entry = an_entry(2, 5)
    transaction = entry.transactions.add()
    for service, name in ((one, "y"), (two, "x")):
        renamed = copy_of(service)
        renamed.spec.annotations.name = name
        transaction.actions.add(kind=StoreAction.KIND_UPDATE, object=wrap(renamed), base_version=5)
    assert apply_entry(state, 6, entry).refusals == ("",)
    assert state.tables.services.by_name("x").id == "2"


def test_an_entry_built_on_an_older_state_is_refused_whole_even_without_a_conflict():
    state = State()
    apply_entry(state, 5, an_entry(1, 0, create(Node(id="a"))))
    outcome = apply_entry(state, 6, an_entry(2, 0, create(Node(id="b"))))
    assert "built on entry 0" in outcome.refusals[0]
    assert "b" not in state.tables.nodes


def test_the_memory_of_proposers_is_bounded_and_forgets_the_oldest():
    state = State()
    for number in range(PROPOSERS_LIMIT + 10):
        apply_entry(state, number + 1, an_entry(1, number, proposer=f"p{number}"))
    assert len(state.proposers) == PROPOSERS_LIMIT
    assert "p0" not in state.proposers
    assert state.last_entry_index == PROPOSERS_LIMIT + 10
