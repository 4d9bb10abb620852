"""What a slot is: one place of a service over time, with the tasks that held it and the one that holds it.

A slot of a replicated service is a number; one of a global service is a node. Everything here is read from
the tasks alone, so that a new leader sees what the old one saw.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import takewhile

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState
from swarm.clock import nanoseconds
from swarm.manager.store.tables import Table
from swarm.model import task_state
from swarm.steps import Steps

SLOTS_PER_STEP = 250  # between two yields: a millisecond or two

# Number and node id: one of them says which slot of its service it is, the other is empty.
SlotKey = tuple[int, str]


class Condition(Enum):
    """What a node is to the tasks it has."""

    ACTIVE = "takes tasks"
    PAUSED = "keeps its tasks and takes no new ones"
    DRAINED = "gives its tasks away"
    DOWN = "cannot be reached"
    GONE = "is not part of the cluster"


_DOWN = NodeState.NODE_STATE_DOWN
_CONDITIONS = {
    NodeAvailability.NODE_AVAILABILITY_DRAIN: Condition.DRAINED,
    NodeAvailability.NODE_AVAILABILITY_PAUSE: Condition.PAUSED,
}


def condition_of(node: Node | None) -> Condition:
    """Return what `node` is to its tasks; one not heard of yet, or disconnected, keeps them."""
    if node is None:
        return Condition.GONE
    if node.status.state == _DOWN:
        return Condition.DOWN
    return _CONDITIONS.get(node.spec.availability, Condition.ACTIVE)


def is_ready(node: Node) -> bool:
    """Whether `node` is up, as far as the managers know now."""
    return node.status.state == NodeState.NODE_STATE_READY


class Slot:
    """One slot and its tasks, oldest first; never changed once made."""

    __slots__ = ("live", "node_id", "number", "tasks")

    def __init__(self, key: SlotKey, tasks: Sequence[Task]) -> None:
        self.number, self.node_id = key  # 0 for a global service; empty for a replicated one
        self.tasks = tuple(tasks)
        # Those that are meant to run, whether they do or not.
        self.live = tuple([task for task in tasks if task.desired_state <= task_state.RUNNING])

    @property
    def key(self) -> SlotKey:
        """Which slot of its service this is."""
        return self.number, self.node_id

    @property
    def newest(self) -> Task | None:
        """The task that came last."""
        return self.tasks[-1] if self.tasks else None

    def before(self, task: Task) -> tuple[Task, ...]:
        """Return the tasks that came before `task`."""
        return tuple(takewhile(lambda other: other.id != task.id, self.tasks))


def slots_of(tasks: Iterable[Task]) -> Steps[dict[SlotKey, Slot]]:
    """Return the slots that `tasks`, in order of creation, are in, lowest number or node id first."""
    found: dict[SlotKey, list[Task]] = {}
    for count, task in enumerate(tasks, 1):
        slot = task.slot
        found.setdefault((slot, "" if slot else task.node_id), []).append(task)
        if count % SLOTS_PER_STEP == 0:
            yield
    slots: dict[SlotKey, Slot] = {}
    for count, key in enumerate(sorted(found), 1):
        slots[key] = Slot(key, found[key])
        if count % SLOTS_PER_STEP == 0:
            yield
    return slots


def is_stopped(task: Task, nodes: Table[Node]) -> bool:
    """Whether nothing of `task` can be running any more, as far as anybody can tell."""
    if task.status.state < task_state.ASSIGNED or task_state.is_done(task):
        return True
    return condition_of(nodes.get(task.node_id)) in (Condition.DOWN, Condition.GONE)


def stopping(slot: Slot, nodes: Table[Node]) -> tuple[Task, ...]:
    """Return the tasks of `slot` that were told to stop, and have not."""
    return tuple(
        task
        for task in slot.tasks
        if task.desired_state > task_state.RUNNING and not is_stopped(task, nodes)
    )


def ended_at_ns(task: Task) -> int:
    """Return when a finished task ended.

    The agent's word, held between the times at which a manager created and last wrote the task: an agent's
    clock may be wrong.
    """
    said = nanoseconds(task.status.timestamp)
    return _clamped(said, task)


def running_since_ns(task: Task) -> int | None:
    """Return when `task` began to run, None when it never did."""
    for status in (*task.history, task.status):
        if status.state == task_state.RUNNING:
            return _clamped(nanoseconds(status.timestamp), task)
    return None


def ran_for_ns(task: Task) -> int | None:
    """Return how long a finished task ran, by its agent's clock alone; None when it never ran."""
    for status in task.history:
        if status.state == task_state.RUNNING:
            return max(0, nanoseconds(task.status.timestamp) - nanoseconds(status.timestamp))
    return None


def _clamped(at_ns: int, task: Task) -> int:
    created_ns, written_ns = nanoseconds(task.meta.created_at), nanoseconds(task.meta.updated_at)
    return max(created_ns, min(at_ns, written_ns))
