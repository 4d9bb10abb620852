"""Node by node: which one would take a task now, and why do the others not?

Read from the store alone, for people who ask; the scheduler itself never waits for it.
"""

from swarm.api.v1.control_pb2 import NodeVerdict
from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.detail import against
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.store.tables import ReadView
from swarm.steps import Steps

OBJECTS_PER_STEP = 250  # between two yields: about a millisecond


def judge_nodes(view: ReadView, task: Task, now_ns: int) -> Steps[list[NodeVerdict]]:
    """Return every node that `task` could be given, by name, with what stands against it.

    A task that knows its node (of a global service) is judged for that one alone.
    """
    picture = ClusterView()
    for volume in view.volumes:
        picture.volumes.put(volume)
    nodes = [node for node in view.nodes if task.node_id in ("", node.id)]
    for node in nodes:
        picture.put_node(node)
    elsewhere_too = not task.node_id or picture.demand(task).volumes  # who has them matters on every node
    tasks = tuple(view.tasks) if elsewhere_too else view.tasks.by_node(task.node_id)
    for count, other in enumerate(tasks, 1):
        if other.id != task.id:
            picture.put_task(other, now_ns)
        if count % OBJECTS_PER_STEP == 0:
            yield
    demand = picture.demand(task)
    verdicts: list[NodeVerdict] = []
    for count, node_view in enumerate(tuple(picture), 1):
        reasons = against(picture, node_view, demand)
        hostname = node_view.node.description.hostname if node_view.node is not None else ""
        verdicts.append(NodeVerdict(node_id=node_view.id, hostname=hostname, reasons=reasons))
        if count % OBJECTS_PER_STEP == 0:
            yield
    return sorted(verdicts, key=lambda one: (one.hostname, one.node_id))
