"""Addresses in the network that ports are published through."""

from swarm.api.v1.objects_pb2 import Network, Service, Task
from swarm.api.v1.types_pb2 import NodeState, PortConfig
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import store_with
from swarm.model import task_state
from tests.unit.allocator.making import a_network, a_node, a_service, a_task
from tests.unit.allocator.test_networks_loop import allocating, until


def ingress() -> Network:
    network = a_network("ingress")
    network.spec.ingress = True
    return network


def publisher() -> Service:
    service = a_service("web")
    service.spec.endpoint.ports.add(target_port=80, publish_mode=PortConfig.PUBLISH_MODE_INGRESS)
    return service


def a_ready_node(name: str, state: int = NodeState.NODE_STATE_READY):  # type: ignore[no-untyped-def]
    node = a_node(name)
    node.status.state = state  # type: ignore[assignment]
    return node


async def test_tasks_that_publish_have_an_address_there_and_others_have_none() -> None:
    web, other = publisher(), a_service("other")
    store = store_with(ingress(), web, other, a_task(web, "t1"), a_task(other, "t2"))

    def pending(task_id: str) -> Task | None:
        task = store.view.tasks.get(task_id)
        return task if task is not None and task.status.state == task_state.PENDING else None

    async with allocating(store):
        await until(lambda: bool(pending("t1") and pending("t2")))
    assert [one.network_id for one in pending("t1").networks] == ["id-ingress"]  # type: ignore[union-attr]
    assert not pending("t2").networks  # type: ignore[union-attr]
    (port,) = store.view.services.get("id-web").ingress_ports  # type: ignore[union-attr]
    assert 30000 <= port.published_port <= 32767


async def test_every_node_has_one_from_when_it_was_ready_first() -> None:
    late = a_ready_node("late", NodeState.NODE_STATE_DOWN)
    store = store_with(a_ready_node("n1"), late)

    def joined() -> set[str]:
        return {node.id for node in store.view.nodes if node.networks}

    async with allocating(store):
        await store.update(lambda tx: tx.create(ingress()))
        await until(lambda: joined() == {"n1"})

        def turn(node_id: str, state: int):  # type: ignore[no-untyped-def]
            node = copy_of(store.view.nodes.get(node_id))
            node.status.state = state  # type: ignore[assignment]
            return store.update(lambda tx: tx.update(node))

        await turn("late", NodeState.NODE_STATE_READY)
        await until(lambda: joined() == {"n1", "late"})
        kept = store.view.nodes.get("n1").networks[0].addresses[0]  # type: ignore[union-attr]
        await turn("n1", NodeState.NODE_STATE_DOWN)
        await store.update(lambda tx: tx.create(a_ready_node("third")))
        await until(lambda: len(joined()) == 3)
        assert store.view.nodes.get("n1").networks[0].addresses[0] == kept  # type: ignore[union-attr]

        await store.update(lambda tx: tx.remove(tx.networks.get("id-ingress")))
        await until(lambda: not joined())
