"""Which new tasks have everything that must be given to them before they can be placed?

Tasks whose service depends on others are let go when swarm/model/dependencies.py says so. Addresses are
given when the plan is carried out, for only then it is known which are free. Host-mode ports need nothing:
whether one is free depends on the node.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Network, Task
from swarm.api.v1.types_pb2 import NetworkAttachment, TaskStatus
from swarm.clock import timestamp
from swarm.errors import FailedPrecondition
from swarm.manager.allocator.addresses import Giver
from swarm.manager.allocator.nodes import join_node
from swarm.manager.allocator.services import settle_service
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.dependencies import Gate, Hold
from swarm.model.history import record_status
from swarm.model.ingress_ports import uses_ingress
from swarm.model.networks import PREDEFINED
from swarm.model.truncate import cut

PENDING_MESSAGE = "pending task scheduling"
ERR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class AllocationPlan:
    """What to give something to, in the order in which it came."""

    task_ids: tuple[str, ...] = ()  # go from NEW to PENDING
    held: dict[str, Hold] = field(default_factory=dict)  # by task id: those that must wait, and why
    service_ids: tuple[str, ...] = ()
    node_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to carry out."""
        return bool(self.task_ids or self.service_ids or self.node_ids)


@dataclass(frozen=True, slots=True)
class Allocated:
    """What became of a plan."""

    tasks: int = 0  # PENDING now
    lacking: dict[str, Hold] = field(default_factory=dict)  # by task id: nothing is left for them
    service_ids: tuple[str, ...] = ()  # likewise
    node_ids: tuple[str, ...] = ()


def needs_allocation(task: Task) -> bool:
    """Whether `task` waits for the allocator."""
    return task.status.state == task_state.NEW and task_state.wants_to_run(task)


def plan_allocation(
    tasks: Iterable[Task], gate: Gate, service_ids: Iterable[str] = (), node_ids: Iterable[str] = ()
) -> AllocationPlan:
    """Return what to give to `tasks`, which may be in any state, and to whom else."""
    ready: list[str] = []
    held: dict[str, Hold] = {}
    for task in filter(needs_allocation, tasks):
        hold = gate.hold(task)
        if hold is None:
            ready.append(task.id)
        else:
            held[task.id] = hold
    return AllocationPlan(tuple(ready), held, tuple(service_ids), tuple(node_ids))


def commit_allocation(
    transaction: Transaction,
    plan: AllocationPlan,
    now_ns: int,
    resting: Callable[[str, str], bool] = lambda network_id, address: False,
) -> Allocated:
    """Carry out a plan, except for what changed since; addresses that are `resting` are not given."""
    giver = Giver(transaction, resting)
    services = tuple(one for one in plan.service_ids if _settle(transaction, giver, one))
    done, lacking = 0, {}
    for task_id in plan.task_ids:
        task = transaction.tasks.get(task_id)
        if task is None or not needs_allocation(task):
            continue
        problem = _allocate(transaction, giver, task, now_ns)
        if problem:
            lacking[task_id] = Hold(problem)
        else:
            done += 1
    nodes = tuple(one for one in plan.node_ids if _join(transaction, giver, one))
    giver.finish()
    return Allocated(done, lacking, services, nodes)


def _settle(transaction: Transaction, giver: Giver, service_id: str) -> str:
    """Return why a service cannot have what it lacks; empty when all is well."""
    service = transaction.services.get(service_id)
    if service is None:
        return ""
    try:
        settle_service(transaction, giver, service)
    except FailedPrecondition as problem:
        return str(problem)
    return ""


def _join(transaction: Transaction, giver: Giver, node_id: str) -> str:
    node = transaction.nodes.get(node_id)
    return join_node(transaction, giver, node) if node is not None else ""


def _allocate(transaction: Transaction, giver: Giver, task: Task, now_ns: int) -> str:
    """Make a task PENDING with what it needs; return why that cannot be, as its status then says."""
    given = copy_of(task)
    try:
        service = transaction.services.get(task.service_id)
        if service is not None and (service.spec.task.networks or service.spec.endpoint.ports):
            service = settle_service(transaction, giver, service)
        wanted = _wanted(transaction, task.spec.networks)
        if service is not None and uses_ingress(service.spec.endpoint):
            wanted += [(network, ()) for network in transaction.networks.indexed("ingress", True)]
        given.networks.extend(giver.give(wanted))
    except FailedPrecondition as problem:
        return _say(transaction, given, str(problem))
    ids = {one.network_id for one in given.networks}
    if service is not None and ids:
        given.virtual_addresses.extend(one for one in service.virtual_addresses if one.network_id in ids)
    status = TaskStatus(timestamp=timestamp(now_ns), state=task_state.PENDING, message=PENDING_MESSAGE)
    record_status(given, status)
    transaction.update(given)
    return ""


def _wanted(
    view: ReadView, attachments: Iterable[NetworkAttachment]
) -> list[tuple[Network, tuple[str, ...]]]:
    """Return the networks in which the cluster gives addresses, each with those that are asked for."""
    found = []
    for one in attachments:
        if one.network_id not in PREDEFINED and one.network_id not in view.networks:
            raise FailedPrecondition(
                f"network {one.network_name or one.network_id} does not exist any more: make it again, and "
                "give it to the service anew (swarmctl service update --network-rm NAME --network-add NAME)"
            )
        network = view.networks.get(one.network_id)
        if network is not None:
            asked = tuple(text for text in (one.ipv4_address, one.ipv6_address) if text)
            found.append((network, asked))
    return found


def _say(transaction: Transaction, task: Task, problem: str) -> str:
    """Write into a NEW task, which the caller owns, why it waits."""
    err = cut(problem, ERR_CHARACTERS)
    if task.status.err != err:
        task.status.err = err
        transaction.update(task)
    return problem
