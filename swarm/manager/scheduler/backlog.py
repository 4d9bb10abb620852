"""Which tasks wait for a node, and which of them are worth another look now?

A group that found no node is looked at again only after something changed that may help it.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.demand import Group, group_of
from swarm.model import task_state

# Tasks of one group that are placed in one go, so that the first start while the others are being placed.
TASKS_PER_PLAN = 1000

K = TypeVar("K")


def tasks_at_once(group: Group) -> int:
    """Return how many tasks of a group are placed in one go unless somebody knows better."""
    return TASKS_PER_PLAN


def waits(task: Task) -> bool:
    """Whether the scheduler has to find, or to confirm, a node for `task`."""
    return task.status.state == task_state.PENDING and task_state.wants_to_run(task)


class Backlog:
    """The tasks that wait: those in search of a node by group, those that have one already by node."""

    def __init__(self) -> None:
        self._groups: dict[Group, dict[str, Task]] = {}
        self._bound: dict[str, dict[str, Task]] = {}
        self._tasks: dict[str, Task] = {}
        self._fresh_groups: dict[Group, None] = {}
        self._fresh_nodes: dict[str, None] = {}
        self._stale_groups: dict[Group, None] = {}
        self._choosy: dict[Group, None] = {}  # groups that care where other services are
        self._company = False  # those are stale
        self._room = False  # every group is stale; said once, however many tasks just ended

    def __len__(self) -> int:
        """Return the number of tasks that wait."""
        return len(self._tasks)

    @property
    def has_fresh(self) -> bool:
        """Whether some tasks were not looked at yet."""
        return bool(self._fresh_groups or self._fresh_nodes)

    @property
    def has_stale(self) -> bool:
        """Whether some tasks that found no node may find one now."""
        return bool(self._stale_groups or (self._room and self._groups) or (self._company and self._choosy))

    def put(self, task: Task) -> None:
        """Take over the state of a task; one that is new here is fresh."""
        if not waits(task):
            self.drop(task.id)
            return
        fresh = task.id not in self._tasks
        self._tasks[task.id] = task
        if task.node_id:
            self._bound.setdefault(task.node_id, {})[task.id] = task
            if fresh:
                self._fresh_nodes[task.node_id] = None
        else:
            self._groups.setdefault(group_of(task), {})[task.id] = task
            if fresh:
                self._fresh_groups[group_of(task)] = None
                if task.spec.placement.affinities:
                    self._choosy[group_of(task)] = None

    def drop(self, task_id: str) -> None:
        """Forget a task."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return
        if task.node_id:
            _discard(self._bound, task.node_id, task_id)
        else:
            _discard(self._groups, group_of(task), task_id)

    def note_room(self, node_id: str) -> None:
        """Note that `node_id` may take tasks that it did not take before."""
        self._room = True
        if node_id in self._bound:
            self._fresh_nodes[node_id] = None

    def note_company(self, node_ids: Iterable[str]) -> None:
        """Note that services came to these nodes that others wait for."""
        for node_id in node_ids:
            self._company = True
            if any(task.spec.placement.affinities for task in self._bound.get(node_id, {}).values()):
                self._fresh_nodes[node_id] = None

    def note_stale(self, group: Group) -> None:
        """Have another look at a group."""
        if group in self._groups:
            self._stale_groups[group] = None

    def take_bound(self) -> tuple[Task, ...]:
        """Return the tasks to check on the nodes they have, for one of the nodes worth a look."""
        while self._fresh_nodes:
            node_id = next(iter(self._fresh_nodes))
            del self._fresh_nodes[node_id]
            if node_id in self._bound:
                return tuple(self._bound[node_id].values())
        return ()

    def take_fresh(self, limit: Callable[[Group], int] = tasks_at_once) -> tuple[Task, ...]:
        """Return tasks of one group that were not looked at yet."""
        return self._take(self._fresh_groups, limit)

    def take_stale(self, limit: Callable[[Group], int] = tasks_at_once) -> tuple[Task, ...]:
        """Return tasks of one group that found no node and are worth another look."""
        if self._room:
            self._room = False
            self._stale_groups = dict.fromkeys(self._groups)
        if self._company:
            self._company = False
            self._choosy = {group: None for group in self._choosy if group in self._groups}
            self._stale_groups |= self._choosy
        return self._take(self._stale_groups, limit)

    def _take(self, queue: dict[Group, None], limit: Callable[[Group], int]) -> tuple[Task, ...]:
        while queue:
            group = next(iter(queue))
            tasks, tasks_max = self._groups.get(group, {}), limit(group)
            if len(tasks) <= tasks_max:
                del queue[group]
            if tasks:
                return tuple(islice(tasks.values(), tasks_max))
        return ()

    def give_up(self, group: Group) -> None:
        """Note that no node takes a task of this group until something changes."""
        self._fresh_groups.pop(group, None)
        self._stale_groups.pop(group, None)

    def waiting_in(self, group: Group) -> tuple[Task, ...]:
        """Return the tasks of a group that wait."""
        return tuple(self._groups.get(group, {}).values())


def _discard(tasks: dict[K, dict[str, Task]], key: K, task_id: str) -> None:
    del tasks[key][task_id]
    if not tasks[key]:
        del tasks[key]
