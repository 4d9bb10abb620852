"""Which tasks wait for a node, and which of them are worth another look now?

Higher priorities come first, then who came first. A group that found no node is looked at again only after
something changed that may help it.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Generic, TypeVar

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount
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


def spec_priority(task: Task) -> int:
    """Return the priority of a task unless somebody knows better: as its own spec says."""
    return task.spec.priority


class Queue(Generic[K]):
    """Keys by priority, the highest first; of equal ones the first that came, each once."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[K, None]] = {}
        self._priorities: dict[K, int] = {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._priorities)

    @property
    def top(self) -> int | None:
        """The highest priority; None when nothing is queued."""
        return max(self._levels, default=None)

    def __contains__(self, key: K) -> bool:
        """Whether a key is queued."""
        return key in self._priorities

    def copy(self) -> "Queue[K]":
        """Return a queue of its own with the same keys."""
        copy: Queue[K] = Queue()
        copy._levels = {priority: level.copy() for priority, level in self._levels.items()}
        copy._priorities = self._priorities.copy()
        return copy

    def priority(self, key: K) -> int:
        """Return the priority of a key that is queued."""
        return self._priorities[key]

    def first(self) -> K:
        """Return the key that is next."""
        return next(iter(self._levels[max(self._levels)]))

    def add(self, key: K, priority: int) -> None:
        """Queue a key, which keeps its place when it is queued with this priority already."""
        if self._priorities.get(key) != priority:
            self.discard(key)
            self._priorities[key] = priority
            self._levels.setdefault(priority, {})[key] = None

    def discard(self, key: K) -> None:
        """Take a key out, if it is queued."""
        priority = self._priorities.pop(key, None)
        if priority is not None:
            level = self._levels[priority]
            del level[key]
            if not level:
                del self._levels[priority]


class Backlog:
    """The tasks that wait: those in search of a node by group, those that have one already by node."""

    def __init__(self, priority_of: Callable[[Task], int] = spec_priority) -> None:
        self._priority_of = priority_of
        self._groups: dict[Group, dict[str, Task]] = {}
        self._bound: dict[str, dict[str, Task]] = {}
        self._tasks: dict[str, Task] = {}
        self._waiting: Queue[Group] = Queue()  # all groups
        self._fresh_groups: Queue[Group] = Queue()
        self._fresh_nodes: Queue[str] = Queue()  # by the highest priority of those who wait there
        self._stale_groups: Queue[Group] = Queue()
        self._choosy: dict[Group, None] = {}  # groups that care where other services are
        self._company = False  # those are stale
        self._room = False  # every group is stale; said once, however many tasks just ended

    def __len__(self) -> int:
        """Return the number of tasks that wait."""
        return len(self._tasks)

    @property
    def has_fresh(self) -> bool:
        """Whether some tasks were not looked at yet."""
        return bool(len(self._fresh_groups) or len(self._fresh_nodes))

    @property
    def has_stale(self) -> bool:
        """Whether some tasks that found no node may find one now."""
        return bool(
            len(self._stale_groups) or (self._room and self._groups) or (self._company and self._choosy)
        )

    @property
    def has_urgent_stale(self) -> bool:
        """Whether tasks that may find a node now come before all that were not looked at yet."""
        fresh = _highest(self._fresh_groups.top, self._fresh_nodes.top)
        waiting = self._waiting.top
        if fresh is None or waiting is None or waiting <= fresh or not self.has_stale:
            return False
        self._refill_stale()
        stale = self._stale_groups.top
        return stale is not None and stale > fresh

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
                self._look_at_node(task.node_id)
        else:
            group = group_of(task)
            if group not in self._groups:
                self._groups[group] = {}
                self._waiting.add(group, self._priority_of(task))
            self._groups[group][task.id] = task
            if fresh:
                self._fresh_groups.add(group, self._waiting.priority(group))
                if task.spec.placement.affinities:
                    self._choosy[group] = None

    def drop(self, task_id: str) -> None:
        """Forget a task."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return
        if task.node_id:
            _discard(self._bound, task.node_id, task_id)
        else:
            group = group_of(task)
            _discard(self._groups, group, task_id)
            if group not in self._groups:
                self._waiting.discard(group)

    def note_room(self, node_id: str) -> None:
        """Note that `node_id` may take tasks that it did not take before."""
        self._room = True
        if node_id in self._bound:
            self._look_at_node(node_id)

    def note_precedence(self, service_id: str) -> None:
        """Note that the tasks of a service stand otherwise to others than before: look at all again."""
        self._room = True
        for node_id in self._bound:
            self._look_at_node(node_id)
        for group in [group for group in self._groups if group[0] == service_id]:
            priority = self._priority_of(next(iter(self._groups[group].values())))
            self._waiting.add(group, priority)
            if group in self._fresh_groups:
                self._fresh_groups.add(group, priority)

    def note_company(self, node_ids: Iterable[str]) -> None:
        """Note that services came to these nodes that others wait for."""
        for node_id in node_ids:
            self._company = True
            if any(task.spec.placement.affinities for task in self._bound.get(node_id, {}).values()):
                self._look_at_node(node_id)

    def note_volume(self) -> None:
        """Note that a cluster volume changed: tasks may have it now that could not before."""
        for group, tasks in self._groups.items():
            if _wants_volumes(next(iter(tasks.values()))):
                self.note_stale(group)
        for node_id, tasks in self._bound.items():
            if any(map(_wants_volumes, tasks.values())):
                self._look_at_node(node_id)

    def note_stale(self, group: Group) -> None:
        """Have another look at a group."""
        if group in self._groups:
            self._stale_groups.add(group, self._waiting.priority(group))

    def take_bound(self) -> tuple[Task, ...]:
        """Return the tasks to check on the nodes they have, for one of the nodes worth a look.

        None while tasks of higher priority that may go anywhere were not looked at yet.
        """
        while len(self._fresh_nodes) and not self._is_outranked():
            node_id = self._fresh_nodes.first()
            self._fresh_nodes.discard(node_id)
            if node_id in self._bound:
                return tuple(sorted(self._bound[node_id].values(), key=self._priority_of, reverse=True))
        return ()

    def _is_outranked(self) -> bool:
        nodes, groups = self._fresh_nodes.top, self._fresh_groups.top
        return nodes is not None and groups is not None and groups > nodes

    def take_fresh(self, limit: Callable[[Group], int] = tasks_at_once) -> tuple[Task, ...]:
        """Return tasks of one group that were not looked at yet."""
        return self._take(self._fresh_groups, limit)

    def take_stale(self, limit: Callable[[Group], int] = tasks_at_once) -> tuple[Task, ...]:
        """Return tasks of one group that found no node and are worth another look."""
        self._refill_stale()
        return self._take(self._stale_groups, limit)

    def _refill_stale(self) -> None:
        if self._room:
            self._room = False
            self._stale_groups = self._waiting.copy()
        if self._company:
            self._company = False
            self._choosy = {group: None for group in self._choosy if group in self._groups}
            for group in self._choosy:
                self._stale_groups.add(group, self._waiting.priority(group))

    def _take(self, queue: Queue[Group], limit: Callable[[Group], int]) -> tuple[Task, ...]:
        while len(queue):
            group = queue.first()
            tasks, tasks_max = self._groups.get(group, {}), limit(group)
            if len(tasks) <= tasks_max:
                queue.discard(group)
            if tasks:
                return tuple(islice(tasks.values(), tasks_max))
        return ()

    def _look_at_node(self, node_id: str) -> None:
        self._fresh_nodes.add(node_id, max(map(self._priority_of, self._bound[node_id].values())))

    def give_up(self, group: Group) -> None:
        """Note that no node takes a task of this group until something changes."""
        self._fresh_groups.discard(group)
        self._stale_groups.discard(group)

    def waiting_in(self, group: Group) -> tuple[Task, ...]:
        """Return the tasks of a group that wait."""
        return tuple(self._groups.get(group, {}).values())


def _wants_volumes(task: Task) -> bool:
    return any(one.type == Mount.TYPE_CLUSTER for one in task.spec.container.mounts)


def _highest(*priorities: int | None) -> int | None:
    return max((one for one in priorities if one is not None), default=None)


def _discard(tasks: dict[K, dict[str, Task]], key: K, task_id: str) -> None:
    del tasks[key][task_id]
    if not tasks[key]:
        del tasks[key]
