"""What changed among the tasks of this node, and may this message be applied?"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from swarm.api.v1.dispatcher_pb2 import Assignments
from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.api.v1.overlay_pb2 import OverlayChanges
from swarm.errors import SessionExpired


@dataclass(frozen=True, slots=True)
class DataChanges:
    """What becomes of the secrets and configs that this node has in memory."""

    put: tuple[Secret | Config, ...] = ()
    drop: tuple[str, ...] = ()  # ids
    complete: bool = False  # whatever is not in `put` has to go


@dataclass(frozen=True, slots=True)
class NetworkChanges:
    """What becomes of what this node knows of its overlay networks."""

    changes: tuple[OverlayChanges, ...] = ()
    complete: bool = False  # whatever is not in `changes` has to go


@dataclass(frozen=True, slots=True)
class Changes:
    """What the worker has to do."""

    start: tuple[Task, ...] = ()  # not held yet
    update: tuple[Task, ...] = ()  # held, and wanted differently or again
    remove: tuple[str, ...] = ()  # held, and not wanted any more
    data: DataChanges = DataChanges()
    networks: NetworkChanges = NetworkChanges()  # before anything is started


def diff_all(held: Collection[str], wanted: Iterable[Task]) -> Changes:
    """Return how to get from the tasks held to exactly those wanted."""
    tasks = {task.id: task for task in wanted}
    return Changes(
        start=tuple(task for task in tasks.values() if task.id not in held),
        update=tuple(task for task in tasks.values() if task.id in held),
        remove=tuple(task_id for task_id in held if task_id not in tasks),
    )


def diff_some(held: Collection[str], wanted: Mapping[str, Task], removed: Collection[str]) -> Changes:
    """Return what an increment changes; a task both sent and removed stays."""
    return Changes(
        start=tuple(task for task in wanted.values() if task.id not in held),
        update=tuple(task for task in wanted.values() if task.id in held),
        remove=tuple(task_id for task_id in removed if task_id in held and task_id not in wanted),
    )


class AssignmentStream:
    """The messages of one session in order: checks the numbers and puts complete sets together."""

    def __init__(self) -> None:
        self._sequence = 0
        self._parts: list[Task] = []
        self._data: list[Secret | Config] = []
        self._networks: list[OverlayChanges] = []

    def take(self, message: Assignments, held: Collection[str]) -> Changes | None:
        """Return what to do, None when it was done before or the set goes on in the next message.

        Raises SessionExpired when a message is missing: only a new session can tell what it said.
        """
        if message.sequence <= self._sequence:
            return None
        if message.sequence != self._sequence + 1 or (self._sequence == 0 and not message.complete):
            raise SessionExpired(
                f"assignments {self._sequence + 1} to {message.sequence - 1} are missing"
                if self._sequence
                else "the session did not begin with the complete set"
            )
        self._sequence = message.sequence
        if not message.complete:
            wanted = {task.id: task for task in message.tasks}
            data = DataChanges((*message.secrets, *message.configs), tuple(message.removed_data_ids))
            return replace(
                diff_some(held, wanted, message.removed_task_ids),
                data=data,
                networks=NetworkChanges(tuple(message.networks)),
            )
        self._parts.extend(message.tasks)
        self._data += (*message.secrets, *message.configs)
        self._networks += message.networks
        if message.more:
            return None
        (tasks, self._parts), (items, self._data) = (self._parts, []), (self._data, [])
        networks, self._networks = self._networks, []
        return replace(
            diff_all(held, tasks),
            data=DataChanges(tuple(items), complete=True),
            networks=NetworkChanges(tuple(networks), complete=True),
        )
