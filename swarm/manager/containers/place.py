"""On which node is a plain container made when nobody names one? Reads the store; the node keeps it."""

import secrets
from collections.abc import Callable, Sequence

from swarm.api.v1.control_pb2 import NodeVerdict
from swarm.api.v1.objects_pb2 import Network, Task
from swarm.api.v1.plain_pb2 import PlainSpec
from swarm.api.v1.types_pb2 import NetworkAttachment, PortConfig
from swarm.errors import FailedPrecondition, NameConflict, NotFound
from swarm.ids import new_id
from swarm.manager.store.tables import ReadView
from swarm.model.attachments import joining_problems, predefined
from swarm.model.limits import shown
from swarm.model.networks import PREDEFINED, driver_of
from swarm.model.plain import validate_plain
from swarm.model.task_state import is_done
from swarm.steps import Steps

# Which nodes would take a task, and what stands against the others: as the scheduler sees it.
JudgeNodes = Callable[[ReadView, Task, int], Steps[list[NodeVerdict]]]

REASONS_SHOWN = 5


def check_plain(view: ReadView, spec: PlainSpec) -> None:
    """Raise InvalidArgument for a spec that cannot be, NameConflict for the name of a service."""
    validate_plain(spec)
    if view.services.by_name(spec.name) is not None:
        raise NameConflict(
            f'the name "{spec.name}" is that of a service: commands that name a container would mean '
            "its tasks"
        )
    for wanted in spec.networks:
        for problem in joining_problems(_network(view, wanted), wanted):
            raise FailedPrecondition(problem)


def _network(view: ReadView, wanted: NetworkAttachment) -> Network:
    ref = wanted.network_id or wanted.network_name
    if ref in PREDEFINED:
        return predefined(ref)
    found = view.networks.by_name(ref) or view.networks.get(ref)
    if found is None:
        raise NotFound(
            f"there is no network {shown(ref)}; create it first (swarmctl network create --attachable "
            f"{shown(ref)})"
        )
    return found


def as_if_task(view: ReadView, spec: PlainSpec) -> Task:
    """Return the task that would need what the container needs."""
    task = Task(id=new_id())
    task.spec.container.CopyFrom(spec.container)
    task.spec.container.ClearField("registry_auth")
    task.spec.resources.CopyFrom(spec.resources)
    task.spec.placement.CopyFrom(spec.placement)
    for wanted in spec.networks:
        driver = driver_of(_network(view, wanted).spec)
        task.spec.networks.add(network_name=wanted.network_name, driver=driver)
    for port in spec.ports:
        if port.published_port:
            published = task.endpoint.ports.add()
            published.CopyFrom(port)
            published.publish_mode = PortConfig.PUBLISH_MODE_HOST
    return task


def choose(
    view: ReadView, verdicts: Sequence[NodeVerdict], pick: Callable[[Sequence[str]], str] = secrets.choice
) -> str:
    """Return the id of the node with the fewest tasks of those that would take it, any of several.

    Raises FailedPrecondition with what stands against each node.
    """
    loads = {one.node_id: _load(view, one.node_id) for one in verdicts if not one.reasons}
    if not loads:
        against = [f"{one.hostname or one.node_id}: {', '.join(one.reasons)}" for one in verdicts]
        more = f"; and {len(against) - REASONS_SHOWN} more" if len(against) > REASONS_SHOWN else ""
        reasons = "; ".join(against[:REASONS_SHOWN]) or "there is none"
        raise FailedPrecondition(
            f"no node takes the container ({reasons}{more}): change what it needs, or name a node "
            "with --node"
        )
    least = min(loads.values())
    return pick(sorted(node_id for node_id, load in loads.items() if load == least))


def _load(view: ReadView, node_id: str) -> int:
    return sum(not is_done(task) for task in view.tasks.by_node(node_id))
