"""Where did the last task of each slot run? Kept for sticky services only, as long as the task is listed."""

from swarm.api.v1.objects_pb2 import Task
from swarm.clock import nanoseconds
from swarm.model import task_state
from swarm.model.volumes import is_sticky

Slot = tuple[str, int]  # of a service


class LastPlaces:
    """Kept up to date from tasks as they change."""

    def __init__(self) -> None:
        self._places: dict[Slot, tuple[int, str, str]] = {}  # when it was made, its node, its id
        self._slots: dict[str, Slot] = {}  # by task

    def put(self, task: Task) -> None:
        """Take over the state of a task."""
        if not task.slot or not task.node_id or not is_sticky(task.spec.container) or not _ran(task):
            return
        slot = task.service_id, task.slot
        place = nanoseconds(task.meta.created_at), task.node_id, task.id
        known = self._places.get(slot)
        if known is None or known[0] <= place[0]:
            if known is not None:
                self._slots.pop(known[2], None)
            self._places[slot] = place
            self._slots[task.id] = slot

    def drop(self, task_id: str) -> None:
        """Forget a task that is not listed any more."""
        slot = self._slots.pop(task_id, None)
        if slot is not None:
            del self._places[slot]

    def of(self, task: Task) -> tuple[str, str] | None:
        """Return the node and the id of the task that ran last in the slot of `task`."""
        place = self._places.get((task.service_id, task.slot))
        return (place[1], place[2]) if place is not None else None


def _ran(task: Task) -> bool:
    """Whether it may have written anything: what never ran has no data."""
    states = (task.status.state, *(one.state for one in task.history))
    return task_state.RUNNING in states
