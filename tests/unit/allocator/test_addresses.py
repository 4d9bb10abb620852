import pytest

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import EndpointSpec, NetworkAddresses, PortConfig, UpdateStatus
from swarm.clock import timestamp
from swarm.manager.store.tables import ReadView, Tables, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from tests.unit.allocator.making import a_network, a_node, a_service, a_task, allocate, held


def a_transaction(*objects: object) -> Transaction:
    tables = Tables()
    for obj in objects:
        tables.of(type(obj)).put(obj)  # type: ignore[arg-type]
    return Transaction(tables, timestamp(1))


def ended(transaction: Transaction, task_id: str, state: int = task_state.COMPLETE) -> None:
    task = copy_of(task_of(transaction, task_id))
    task.status.state = state  # type: ignore[assignment]
    transaction.update(task)


def task_of(view: ReadView, task_id: str) -> Task:
    task = view.tasks.get(task_id)
    assert task is not None
    return task


def service_of(view: ReadView, name: str) -> Service:
    service = view.services.get(f"id-{name}")
    assert service is not None
    return service


def addresses(given: "list[NetworkAddresses] | object") -> list[str]:
    return [address for one in given for address in one.addresses]  # type: ignore[attr-defined]


def test_a_service_gets_its_address_first_then_each_task_its_own() -> None:
    web = a_service("web", "front", "back")
    tx = a_transaction(
        a_network("front"), a_network("back", "10.0.1.0/24"), web, a_task(web, "t1"), a_task(web, "t2")
    )
    assert allocate(tx).tasks == 2
    assert addresses(service_of(tx, "web").virtual_addresses) == ["10.0.0.2", "10.0.1.2"]
    assert addresses(task_of(tx, "t1").networks) == ["10.0.0.3", "10.0.1.3"]
    assert addresses(task_of(tx, "t2").networks) == ["10.0.0.4", "10.0.1.4"]
    assert addresses(task_of(tx, "t2").virtual_addresses) == ["10.0.0.2", "10.0.1.2"]
    assert [one.network_id for one in task_of(tx, "t1").networks] == ["id-front", "id-back"]


def test_two_families_are_given_together() -> None:
    web = a_service("web", "front")
    tx = a_transaction(a_network("front", "10.0.0.0/24", "fd00::/64"), web, a_task(web, "t1"))
    allocate(tx)
    assert addresses(task_of(tx, "t1").networks) == ["10.0.0.3", "fd00::3"]


def test_with_dnsrr_there_is_no_address_of_the_service() -> None:
    web = a_service("web", "front")
    web.spec.endpoint.mode = EndpointSpec.MODE_DNSRR
    tx = a_transaction(a_network("front"), web, a_task(web, "t1"))
    allocate(tx)
    assert not service_of(tx, "web").virtual_addresses
    assert addresses(task_of(tx, "t1").networks) == ["10.0.0.2"]


def test_the_network_that_each_node_has_for_itself_gets_nothing_of_the_cluster() -> None:
    web = a_service("web")
    web.spec.task.networks.add(network_id="host", network_name="host")
    tx = a_transaction(web, a_task(web, "t1"))
    assert allocate(tx).tasks == 1
    assert not task_of(tx, "t1").networks


def test_tasks_in_a_lan_have_addresses_of_the_cluster_and_nobody_else_has() -> None:
    web = a_service("web", "lan")
    lan = a_network("lan", driver="macvlan")
    lan.subnets.add(subnet="192.0.2.0/24", gateway="192.0.2.1")
    tx = a_transaction(lan, web, a_task(web, "t1"), a_task(web, "t2"))
    assert allocate(tx).tasks == 2
    found = [one for task in ("t1", "t2") for one in addresses(task_of(tx, task).networks)]
    assert found == ["192.0.2.2", "192.0.2.3"]
    assert not service_of(tx, "web").virtual_addresses


def test_a_task_without_networks_needs_none() -> None:
    tx = a_transaction(a_task(a_service("gone"), "t1"))
    assert allocate(tx).tasks == 1


@pytest.mark.parametrize(
    ("state", "free"),
    [
        (task_state.PENDING, False),
        (task_state.RUNNING, False),
        (task_state.COMPLETE, True),
        (task_state.SHUTDOWN, True),
        (task_state.FAILED, True),
        (task_state.REJECTED, True),
        (task_state.ORPHANED, True),
    ],
)
def test_an_address_is_free_when_its_task_has_really_ended(state: int, free: bool) -> None:
    web = a_service("web", "front")
    web.spec.endpoint.mode = EndpointSpec.MODE_DNSRR
    tx = a_transaction(a_network("front", "10.0.0.0/29"), web, *(a_task(web, f"t{n}") for n in range(6)))
    became = allocate(tx)
    assert (became.tasks, len(became.lacking)) == (5, 1)
    ended(tx, "t2", state)
    stopping = copy_of(task_of(tx, "t3"))  # meant to stop, and not known to have
    stopping.desired_state = task_state.SHUTDOWN
    tx.update(stopping)
    assert allocate(tx).tasks == int(free)
    if free:
        assert task_of(tx, "t5").networks == task_of(tx, "t2").networks


def test_what_ended_last_is_given_last() -> None:
    web = a_service("web", "front")
    tx = a_transaction(a_network("front"), web, a_task(web, "t1"))
    allocate(tx)
    seen = set()
    for number in range(2, 200):
        ended(tx, f"t{number - 1}")
        tx.create(a_task(web, f"t{number}"))
        allocate(tx)
        (address,) = addresses(task_of(tx, f"t{number}").networks)
        assert address not in seen
        seen.add(address)


def test_exhaustion_is_said_in_the_task_with_the_pool_and_the_way_out_and_ends_by_itself() -> None:
    web = a_service("web", "front")
    tx = a_transaction(a_network("front", "10.0.0.0/29"), web, *(a_task(web, f"t{n}") for n in range(5)))
    became = allocate(tx)
    assert list(became.lacking) == ["t4"]
    waiting = task_of(tx, "t4")
    assert waiting.status.state == task_state.NEW
    for words in ("network front has no free address", "10.0.0.0/29", "pool 10.0.0.0/8", "network create"):
        assert words in waiting.status.err
    version = len(tx.writes)
    allocate(tx)
    assert len(tx.writes) == version
    ended(tx, "t0")
    assert allocate(tx).tasks == 1
    assert not task_of(tx, "t4").status.err


def test_nothing_is_given_of_one_network_when_the_other_is_full() -> None:
    web, other = a_service("web", "front", "back"), a_service("other", "back")
    tx = a_transaction(
        a_network("front"),
        a_network("back", "10.0.1.0/29"),
        other,
        *(a_task(other, f"o{n}") for n in range(4)),
    )
    allocate(tx)
    tx.create(web)
    tx.create(a_task(web, "t1"))
    before = tx.networks.get("id-front")
    became = allocate(tx)
    assert became.service_ids == ("id-web",)
    assert list(became.lacking) == ["t1"]
    assert tx.networks.get("id-front") == before
    assert not service_of(tx, "web").virtual_addresses


def test_a_static_address_waits_for_the_one_before_and_names_who_has_it() -> None:
    web = a_service("web", "front")
    web.spec.task.networks[0].ipv4_address = "10.0.0.9"
    tx = a_transaction(a_network("front"), web, a_task(web, "t1"), a_task(web, "t2"))
    assert allocate(tx).tasks == 1
    assert addresses(task_of(tx, "t1").networks) == ["10.0.0.9"]
    assert "10.0.0.9 of network front is still that of task web.1.t1" in task_of(tx, "t2").status.err
    ended(tx, "t1", task_state.SHUTDOWN)
    assert allocate(tx).tasks == 1
    assert addresses(task_of(tx, "t2").networks) == ["10.0.0.9"]


def test_tasks_whose_network_is_gone_wait_and_say_so() -> None:
    web = a_service("web", "front")
    tx = a_transaction(web, a_task(web, "t1"))
    assert list(allocate(tx).lacking) == ["t1"]
    assert "network front does not exist any more" in task_of(tx, "t1").status.err


def test_an_address_of_a_removed_service_stays_its_own_until_its_tasks_have_ended() -> None:
    web = a_service("web", "front")
    tx = a_transaction(a_network("front", "10.0.0.0/29"), web, a_task(web, "t1"))
    allocate(tx)
    (virtual,) = addresses(service_of(tx, "web").virtual_addresses)
    tx.remove(service_of(tx, "web"))
    other = a_service("other", "front")
    tx.create(other)
    for number in range(4):
        tx.create(a_task(other, f"o{number}"))
    allocate(tx)
    assert virtual not in [address for _, address, _ in held(tx)]
    ended(tx, "t1", task_state.SHUTDOWN)
    allocate(tx)
    assert virtual in [address for _, address, _ in held(tx)]


def test_a_service_that_leaves_a_network_keeps_its_address_there_until_the_update_is_over() -> None:
    web = a_service("web", "front", "back")
    tx = a_transaction(a_network("front"), a_network("back", "10.0.1.0/24"), web)
    allocate(tx)
    changed = copy_of(service_of(tx, "web"))
    changed.previous_spec.CopyFrom(changed.spec)
    del changed.spec.task.networks[1]
    changed.update_status.state = UpdateStatus.STATE_UPDATING
    tx.update(changed)
    allocate(tx)
    assert addresses(service_of(tx, "web").virtual_addresses) == ["10.0.0.2", "10.0.1.2"]
    changed = copy_of(service_of(tx, "web"))
    changed.update_status.state = UpdateStatus.STATE_COMPLETED
    tx.update(changed)
    allocate(tx)
    assert addresses(service_of(tx, "web").virtual_addresses) == ["10.0.0.2"]


def test_a_node_has_an_address_while_a_task_of_it_is_in_the_network() -> None:
    web = a_service("web", "front")
    node = a_node("n1")
    tx = a_transaction(a_network("front"), web, node, a_task(web, "t1"))
    allocate(tx)
    assert not tx.nodes.get("n1").networks  # type: ignore[union-attr]
    task = copy_of(task_of(tx, "t1"))
    task.node_id, task.status.state = "n1", task_state.ASSIGNED
    tx.update(task)
    allocate(tx)
    assert addresses(tx.nodes.get("n1").networks) == ["10.0.0.4"]  # type: ignore[union-attr]
    ended(tx, "t1")
    allocate(tx)
    assert not tx.nodes.get("n1").networks  # type: ignore[union-attr]


def test_a_task_on_a_node_that_cannot_join_the_network_says_so() -> None:
    web = a_service("web", "front")
    web.spec.endpoint.mode = EndpointSpec.MODE_DNSRR
    tx = a_transaction(a_network("front", "10.0.0.0/29"), web, a_node("n1"))
    for number in range(5):
        tx.create(a_task(web, f"t{number}", node_id="n1"))
    allocate(tx)
    for number in range(5):
        task = copy_of(task_of(tx, f"t{number}"))
        task.status.state = task_state.ASSIGNED
        tx.update(task)
    assert allocate(tx).node_ids == ("n1",)
    assert "its node cannot join: network front has no free address" in task_of(tx, "t3").status.err
    ended(tx, "t0")
    assert allocate(tx).node_ids == ()


def a_port(target: int, published: int = 0) -> PortConfig:
    return PortConfig(target_port=target, published_port=published)


def ports(view: ReadView, name: str) -> list[int]:
    return [port.published_port for port in service_of(view, name).ingress_ports]


def test_ports_are_chosen_between_30000_and_32767_kept_and_never_given_twice() -> None:
    one, two = a_service("one"), a_service("two")
    one.spec.endpoint.ports.extend([a_port(80), a_port(443), a_port(80, 8080)])
    two.spec.endpoint.ports.extend([a_port(80), a_port(443)])
    tx = a_transaction(one, two)
    allocate(tx)
    first = ports(tx, "one")
    assert first[2] == 8080
    chosen = [*first[:2], *ports(tx, "two")]
    assert len(set(chosen)) == 4
    assert all(30000 <= port <= 32767 for port in chosen)
    changed = copy_of(service_of(tx, "one"))
    del changed.spec.endpoint.ports[1]
    tx.update(changed)
    allocate(tx)
    assert ports(tx, "one") == [first[0], 8080]


def test_a_port_of_another_service_is_refused_and_the_task_says_whose_it_is() -> None:
    one, two = a_service("one"), a_service("two")
    one.spec.endpoint.ports.append(a_port(80, 8080))
    two.spec.endpoint.ports.append(a_port(80, 8080))
    tx = a_transaction(one, two, a_task(two, "t1"))
    became = allocate(tx)
    assert became.service_ids == ("id-two",)
    assert "port 8080/tcp is published by service one" in task_of(tx, "t1").status.err
    tx.remove(service_of(tx, "one"))
    assert allocate(tx).tasks == 1
    assert ports(tx, "two") == [8080]


def test_ports_of_nodes_are_not_the_allocators() -> None:
    one = a_service("one")
    one.spec.endpoint.ports.add(target_port=80, publish_mode=PortConfig.PUBLISH_MODE_HOST)
    tx = a_transaction(one)
    allocate(tx)
    assert not service_of(tx, "one").ingress_ports
