"""What must a node have, and what changed since it was last told?

A task is in the set of its node from ASSIGNED until its object is deleted from the store, so an agent
keeps the output of a finished task as long as people can ask for it. Two exceptions: a finished task
that is meant to be removed, and an ORPHANED one (the node was given up), need nothing of the node any
more. Whatever leaves the set has to go from the node, container and output included.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from swarm.api.v1.dispatcher_pb2 import Assignments
from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.api.v1.overlay_pb2 import OverlayChanges
from swarm.manager.dispatcher.data import DataSet, NoValues, TaskValues
from swarm.manager.dispatcher.http_facts import certificate_ids
from swarm.manager.dispatcher.overlay_news import News, OverlaySet
from swarm.manager.store.tables import ReadView
from swarm.model.task_state import ASSIGNED, ORPHANED, REMOVE, is_done

Item: TypeAlias = Task | Secret | Config | OverlayChanges

# Well under gRPC's limit of 4 MiB per message.
MESSAGE_BYTES = 1 << 20


def belongs(task: Task | None, node_id: str) -> bool:
    """Whether the node must have this task."""
    if task is None or task.node_id != node_id or task.status.state < ASSIGNED:
        return False
    if task.status.state == ORPHANED:
        return False
    return not (is_done(task) and task.desired_state == REMOVE)


def wanted_tasks(view: ReadView, node_id: str) -> tuple[Task, ...]:
    """Return every task the node must have."""
    return tuple(task for task in view.tasks.by_node(node_id) if belongs(task, node_id))


def same_assignment(old: Task, new: Task) -> bool:
    """Whether an agent that was told `old` need not be told `new`: what it reports itself does not count."""
    return old is new or (
        old.desired_state == new.desired_state
        and old.withdrawn == new.withdrawn
        and old.spec == new.spec
        and old.endpoint == new.endpoint
        and old.service_annotations == new.service_annotations
    )


def for_agent(task: Task) -> Task:
    """Return a copy of a task without what an agent never reads."""
    copy = Task()
    copy.CopyFrom(task)
    copy.meta.Clear()
    copy.meta.created_at.CopyFrom(task.meta.created_at)
    copy.ClearField("history")
    return copy


class AssignmentSet:
    """What one agent was told in one session; numbers the messages."""

    def __init__(self, node_id: str, values: TaskValues | None = None) -> None:
        """`values` is where what drivers of secrets say comes from."""
        self._node_id = node_id
        self._sent: dict[str, Task] = {}
        self._data = DataSet(values or NoValues())
        self._networks = OverlaySet(node_id)
        self._sequence = 0

    @property
    def sequence(self) -> int:
        """The number of the newest message."""
        return self._sequence

    def note_networks(self, paper: Mapping[str, News]) -> bool:
        """Note what may differ in networks; whether that is of interest to this agent."""
        return self._networks.note(paper)

    def note_answer(self, key: str) -> None:
        """Note that the driver of a secret says something new for a task."""
        self._data.note_answer(key)

    def complete(self, view: ReadView) -> list[Assignments]:
        """Return the messages that carry the whole set."""
        tasks = wanted_tasks(view, self._node_id)
        self._sent = {task.id: task for task in tasks}
        self._data.reset(view, tasks)
        self._data.note_certificates(certificate_ids(view, self._node_id))
        networks = self._networks.complete(view)
        parts = list(_split([*networks, *self._data.take_new(view), *tasks])) or [()]
        messages = [self._message(view, part, (), complete=True) for part in parts]
        for message in messages[:-1]:
            message.more = True
        return messages

    def changes(self, view: ReadView, task_ids: Collection[str]) -> list[Assignments]:
        """Return the messages that carry what changed of `task_ids` and in networks, none for no change."""
        fresh: list[Task] = []
        removed: list[str] = []
        for task_id in task_ids:
            task = view.tasks.get(task_id)
            sent = self._sent.get(task_id)
            if task is None or not belongs(task, self._node_id):
                if self._sent.pop(task_id, None) is not None:
                    removed.append(task_id)
                    self._data.note(view, task_id, None)
                continue
            self._data.note(view, task_id, task)
            self._sent[task_id] = task  # also when it is the same, so that the old one can be freed
            if sent is None or not same_assignment(sent, task):
                fresh.append(task)
        networks = tuple(self._networks.changes(view))
        if networks:  # routes and proxies are among them
            self._data.note_certificates(certificate_ids(view, self._node_id))
        data, unneeded = self._data.take_new(view), self._data.take_unneeded()
        if not (fresh or removed or data or unneeded or networks):
            return []
        parts = list(_split([*networks, *data, *fresh])) or [()]
        messages = [self._message(view, part, ()) for part in parts]
        messages[0].removed_task_ids.extend(removed)
        # In the last one, after the tasks that are told to end.
        messages[-1].removed_data_ids.extend(unneeded)
        return messages

    def _message(
        self, view: ReadView, items: Iterable[Item], removed: Iterable[str], complete: bool = False
    ) -> Assignments:
        self._sequence += 1
        items = tuple(items)
        return Assignments(
            complete=complete,
            sequence=self._sequence,
            tasks=[for_agent(one) for one in items if isinstance(one, Task)],
            secrets=[one for one in items if isinstance(one, Secret)],
            configs=[one for one in items if isinstance(one, Config)],
            networks=[one for one in items if isinstance(one, OverlayChanges)],
            removed_task_ids=removed,
            index=view.index,
        )


def _split(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    part: list[Item] = []
    size = 0
    for item in items:
        item_bytes = item.ByteSize()
        if part and size + item_bytes > MESSAGE_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(item)
        size += item_bytes
    if part:
        yield tuple(part)
