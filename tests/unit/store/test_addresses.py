"""Objects that are filed under several keys: the addresses that somebody has."""

from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import NetworkAddresses
from swarm.clock import timestamp
from swarm.manager.store.index import Index, Keys
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state


def a_task(task_id: str, *addresses: str, state: int = task_state.RUNNING, virtual: str = "") -> Task:
    task = Task(id=task_id, networks=[NetworkAddresses(network_id="n", addresses=addresses)])
    if virtual:
        task.virtual_addresses.add(network_id="n", addresses=[virtual])
    task.status.state = state  # type: ignore[assignment]
    return task


def holders(view: Tables | Transaction, address: str, network: str = "n") -> list[str]:
    return [task.id for task in view.tasks.indexed("address", (network, address))]


def test_a_task_is_found_by_each_of_its_addresses_until_it_has_ended() -> None:
    tables = Tables()
    tables.tasks.put(a_task("t1", "10.0.0.2", "fd00::2", virtual="10.0.0.9"))
    assert [holders(tables, one) for one in ("10.0.0.2", "fd00::2", "10.0.0.9")] == [["t1"]] * 3
    assert holders(tables, "10.0.0.2", "other") == []
    tables.tasks.put(a_task("t1", "10.0.0.2", "fd00::2", state=task_state.FAILED))
    assert [holders(tables, one) for one in ("10.0.0.2", "fd00::2", "10.0.0.9")] == [[]] * 3
    tables.tasks.put(a_task("t2", "10.0.0.2"))
    tables.tasks.delete("t2")
    assert holders(tables, "10.0.0.2") == []


def test_a_transaction_sees_what_it_gave_and_what_it_freed() -> None:
    tables = Tables()
    tables.tasks.put(a_task("t1", "10.0.0.2"))
    transaction = Transaction(tables, timestamp(1))
    transaction.create(a_task("t2", "10.0.0.3"))
    ended = copy_of(transaction.tasks.get("t1"))  # type: ignore[type-var]
    assert ended is not None
    ended.status.state = task_state.COMPLETE
    transaction.update(ended)
    assert (holders(transaction, "10.0.0.2"), holders(transaction, "10.0.0.3")) == ([], ["t2"])
    assert (holders(tables, "10.0.0.2"), holders(tables, "10.0.0.3")) == (["t1"], [])


def test_services_are_found_by_network_and_by_the_one_they_may_go_back_to() -> None:
    tables = Tables()
    service = Service(id="s")
    service.spec.task.networks.add(network_id="new")
    service.previous_spec.task.networks.add(network_id="old")
    tables.services.put(service)
    assert [len(tables.services.indexed("network", one)) for one in ("new", "old", "none")] == [1, 1, 0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sets(st.integers(0, 4))), max_size=40))
def test_an_index_of_many_keys_is_what_the_objects_say(moves: list[tuple[str, set[int]]]) -> None:
    index: Index[Task] = Index(lambda _: None)
    now: dict[str, set[int]] = {}
    for name, keys in moves:
        before = now.get(name)
        index.move(name, None if before is None else Keys(before), Keys(keys) if keys else None)
        now[name] = keys
        if not keys:
            del now[name]
        for key in range(5):
            assert sorted(index.get(key)) == sorted(one for one, held in now.items() if key in held)
