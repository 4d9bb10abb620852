"""Does the next task of a slot go back to where the last one ran, because its data is there?

It does while that node takes it. While the task before it is only just stopping there and holds what it
needs, it waits. Otherwise it goes where there is room, and says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.detail import against
from swarm.manager.scheduler.filters import first_failure, passes_static
from swarm.manager.scheduler.node_view import ClusterView, NodeView
from swarm.model.generic_resources import Claim
from swarm.model.volumes import is_sticky
from swarm.steps import Steps

LOOKS_PER_STEP = 250  # tasks between two yields: about a millisecond


@dataclass(slots=True)
class Returns:
    """What becomes of the tasks of one group as far as their data decides it."""

    back: list[tuple[Task, NodeView, tuple[Claim, ...]]] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)
    others: list[Task] = field(default_factory=list)  # go wherever there is room
    reason: str = ""  # why the waiting ones wait
    notes: dict[str, str] = field(default_factory=dict)  # by task: why it does not go back


def find_returns(view: ClusterView, demand: Demand, tasks: Sequence[Task]) -> Steps[Returns]:
    """Sort tasks of one group by what becomes of them; nothing is counted in `view` but those going back."""
    found = Returns()
    if not is_sticky(tasks[0].spec.container):
        found.others = list(tasks)
        return found
    for looks, task in enumerate(tasks, 1):
        _sort(view, demand, task, found)
        if looks % LOOKS_PER_STEP == 0:
            yield
    return found


def _sort(view: ClusterView, demand: Demand, task: Task, found: Returns) -> None:
    node_id, before = view.last_place(task)
    node = view.get(node_id)
    if not node_id:
        found.others.append(task)
    elif node is None or node.node is None:
        found.others.append(task)
        found.notes[task.id] = f"not on node {node_id}, where its data was: the node is gone"
    elif first_failure(node, demand) is None:
        found.back.append((task, node, view.bind(task, node)))
    elif passes_static(node, demand) and view.is_stopping(before):
        found.waiting.append(task)
        found.reason = f"waits for task {before} to stop on {_name(node)}, where its data is"
    else:
        why = "; ".join(against(view, node, demand))
        found.others.append(task)
        found.notes[task.id] = f"not on {_name(node)}, where its data is: {why}"


def _name(node: NodeView) -> str:
    hostname = node.node.description.hostname if node.node is not None else ""
    return f"node {hostname or node.id}"
