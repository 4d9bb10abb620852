"""In which overlays does a node need an address for its router?

In those of its tasks, and in the ingress network as soon as it was ready once: what is published there is
published on every node.
"""

from collections.abc import Iterable, Sequence

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeState, TaskStatus
from swarm.errors import FailedPrecondition
from swarm.manager.allocator.addresses import Giver, overlay
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.network_support import encrypts
from swarm.model.networks import is_encrypted


def is_joined(view: ReadView, node: Node) -> bool:
    """Whether a node has an address in each network that its tasks are in, and in no other."""
    return [one.network_id for one in node.networks] == list(_wanted(view, node))


def join_node(transaction: Transaction, giver: Giver, node: Node) -> str:
    """Give a node the addresses that it lacks, take those that it needs no more.

    Returns why one could not be given, empty if all were. The tasks that wait for it say so as well.
    """
    has = {one.network_id: one for one in node.networks}
    wanted = _wanted(transaction, node)
    joined, problems = copy_of(node), {}
    del joined.networks[:]
    for network_id in wanted:
        network = overlay(transaction, network_id)
        if network_id in has:
            joined.networks.append(has[network_id])
        elif network is None:
            joined.networks.add(network_id=network_id)  # it is to know the names there
        else:
            try:
                joined.networks.extend(giver.give([(network, ())]))
            except FailedPrecondition as problem:
                problems[network_id] = f"its node cannot join: {problem}"
    if list(joined.networks) != list(node.networks):
        transaction.update(joined)
    for task in transaction.tasks.by_node(node.id) if problems else ():
        _tell(
            transaction,
            task,
            [problems[one.network_id] for one in task.networks if one.network_id in problems],
        )
    return "; ".join(problems.values())


def _wanted(view: ReadView, node: Node) -> Sequence[str]:
    """Return the networks of the node's tasks that have not ended: those it has first, then as they came."""
    found = _networks(view.tasks.by_node(node.id))
    for attachment in view.attachments.indexed("node", node.id):
        found.update((one.network_id, None) for one in attachment.networks)
    held = {one.network_id for one in node.networks}
    for network in view.networks.indexed("ingress", True):
        ready = node.status.state == NodeState.NODE_STATE_READY
        # Published ports stay closed there: what cannot be encrypted must not go out in clear.
        if (ready and (encrypts(node) or not is_encrypted(network.spec))) or network.id in held:
            found[network.id] = None
    has = [one.network_id for one in node.networks if one.network_id in found]
    rest = [one for one in found if one not in has and one in view.networks]
    return (*has, *rest)


def _networks(tasks: Iterable[Task]) -> dict[str, None]:
    return {one.network_id: None for task in tasks if needs_its_node(task) for one in task.networks}


def needs_its_node(task: Task) -> bool:
    """Return whether the node of a task has to be in its networks."""
    return task.status.state >= task_state.ASSIGNED and not task_state.is_done(task)


def _tell(transaction: Transaction, task: Task, problems: Sequence[str]) -> None:
    """Say in the status of a task that its agent has not taken up what it waits for."""
    err = "; ".join(problems)
    if not err or task.status.state != task_state.ASSIGNED or task.status.err == err:
        return
    told = copy_of(task)
    told.status.CopyFrom(TaskStatus(timestamp=task.status.timestamp, state=task.status.state, err=err))
    told.status.message = task.status.message
    transaction.update(told)
