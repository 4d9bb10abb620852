"""Networks, services and tasks for tests of the allocator."""

from collections.abc import Iterable

from swarm.api.v1.objects_pb2 import Network, Node, Service, Subnet, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.manager.allocator.plan import Allocated, commit_allocation, plan_allocation
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.dependencies import Gate


def a_network(name: str, subnet: str = "10.0.0.0/24", *more: str, driver: str = "overlay") -> Network:
    network = Network(id=f"id-{name}")
    network.spec.annotations.name = name
    network.spec.driver = driver
    for block in (subnet, *more) if driver == "overlay" else ():
        gateway = block.partition("/")[0] + ("1" if ":" in block else "").replace("0.0", "0.1")
        if ":" not in block:
            gateway = block.partition("/")[0].rpartition(".")[0] + ".1"
        network.subnets.append(Subnet(subnet=block, gateway=gateway, pool="10.0.0.0/8"))
    return network


def a_spec(name: str, *networks: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    for network in networks:
        spec.task.networks.add(network_id=f"id-{network}", network_name=network)
    return spec


def a_service(name: str, *networks: str) -> Service:
    return Service(id=f"id-{name}", spec=a_spec(name, *networks), spec_version=1)


def a_task(service: Service, task_id: str, state: int = task_state.NEW, node_id: str = "") -> Task:
    task = Task(id=task_id, service_id=service.id, slot=1, node_id=node_id, spec=service.spec.task)
    task.service_annotations.CopyFrom(service.spec.annotations)
    task.desired_state = task_state.RUNNING
    task.status.state = state  # type: ignore[assignment]
    return task


def a_node(node_id: str) -> Node:
    node = Node(id=node_id)
    node.description.hostname = node_id
    return node


def allocate(transaction: Transaction, only: Iterable[str] | None = None) -> Allocated:
    """Give everything in the store what it lacks, as the loop would."""
    return commit_allocation(transaction, a_plan(transaction, only), 5)


def a_plan(view: ReadView, only: Iterable[str] | None = None):  # type: ignore[no-untyped-def]
    tasks = [task for task in view.tasks if only is None or task.id in set(only)]
    return plan_allocation(
        tasks, Gate(look_at(view), 0), [one.id for one in view.services], [one.id for one in view.nodes]
    )


def held(view: ReadView) -> list[tuple[str, str, str]]:
    """Return every address that is somebody's, as (network, address, who)."""
    found = [
        (one.network_id, address, f"service {service.id}")
        for service in view.services
        for one in service.virtual_addresses
        for address in one.addresses
    ]
    found += [
        (one.network_id, address, f"task {task.id}")
        for task in view.tasks
        if not task_state.is_done(task)
        for one in task.networks
        for address in one.addresses
    ]
    return found + [
        (one.network_id, address, f"node {node.id}")
        for node in view.nodes
        for one in node.networks
        for address in one.addresses
    ]


def of_others(view: ReadView) -> list[tuple[str, str, str]]:
    """Return the addresses of services that their tasks still keep from others."""
    return [
        (one.network_id, address, f"service {task.service_id}")
        for task in view.tasks
        if not task_state.is_done(task)
        for one in task.virtual_addresses
        for address in one.addresses
    ]
