"""Emptying a node: what still runs there, and what does not run anywhere else yet."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.specs_pb2 import NodeSpec
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.cli.connect import Connection
from swarm.cli.live import Bar, Scene
from swarm.errors import FailedPrecondition, TransientError, Unavailable
from swarm.model import task_state
from swarm.model.defaults import drain_timeout_ns
from swarm.model.task import hold_reason
from swarm.timestamps import SECOND, nanoseconds

POLL_S = 0.25
STOPPING_S = 90.0  # beyond the drain's own timeout: for the longest usual grace period
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a drain is."""

    here: Sequence[Task]  # not ended on the node yet
    nowhere: Mapping[str, str]  # name of a task that should run elsewhere and does not → why

    @property
    def is_done(self) -> bool:
        """Whether the node is empty and everything runs elsewhere."""
        return not self.here and not self.nowhere


def places_on(node_id: str, tasks: Iterable[Task]) -> frozenset[Place]:
    """Return the service and slot of every task that another node can take over from this one."""
    return frozenset((task.service_id, task.slot) for task in _living(node_id, tasks) if task.slot)


def standing(node_id: str, places: frozenset[Place], tasks: Sequence[Task], now_ns: int) -> Standing:
    """Return how far the drain of a node is that gave up `places`; `tasks` are all tasks of the cluster."""
    nowhere: dict[str, str] = {}
    for place in places:
        wanted = [
            task
            for task in tasks
            if (task.service_id, task.slot) == place and task.desired_state <= task_state.RUNNING
        ]
        # None is wanted any more: scaled down, completed, removed, or the restart policy allows no other.
        if wanted and not any(task.status.state == task_state.RUNNING for task in wanted):
            newest = max(wanted, key=lambda task: nanoseconds(task.meta.created_at))
            state = task_state.state_name(newest.status.state)
            why = newest.status.err or hold_reason(newest, now_ns) or newest.status.message or state
            nowhere[f"{newest.service_annotations.name}.{newest.slot}"] = why
    return Standing(_living(node_id, tasks), nowhere)


def _living(node_id: str, tasks: Iterable[Task]) -> list[Task]:
    return [
        task
        for task in tasks
        if task.node_id == node_id
        and task.status.state >= task_state.ASSIGNED
        and not task_state.is_done(task)
    ]


def ask_to_drain(spec: NodeSpec, timeout_ns: int | None) -> None:
    """Make `spec` that of a node to drain, waiting for replacements for `timeout_ns` (None: the default)."""
    spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
    spec.ClearField("drain_timeout_ns")
    if timeout_ns is not None:
        spec.drain_timeout_ns = timeout_ns


def wait_drained(
    conn: Connection,
    node: Node,
    places: frozenset[Place],
    called: str,
    now_ns: int,
    show: Callable[[Scene], None] = lambda _scene: None,
) -> str:
    """Return a sentence when the node is empty and everything it had runs elsewhere; `show` how far it is.

    Raises FailedPrecondition when it is empty and something runs nowhere, and Unavailable when tasks do not
    stop: both name the tasks. The drain goes on in any case.
    """
    began, first = time.monotonic(), 0
    timeout_s = drain_timeout_ns(node.spec) / SECOND
    while True:
        passed_s = time.monotonic() - began
        try:
            now = standing(node.id, places, all_tasks(conn), now_ns + int(passed_s * SECOND))
        except TransientError:
            now = None
        if now is not None:
            first = max(first, len(now.here))
            show(scene_of(called, now, first))
        if now is not None and now.is_done:
            return f"Node {called} is drained: what it ran runs elsewhere, or is not wanted any more."
        if passed_s > timeout_s and now is not None and not now.here:
            lost = "; ".join(f"{name}: {why}" for name, why in sorted(now.nowhere.items()))
            raise FailedPrecondition(f"node {called} is empty, but these do not run anywhere else: {lost}")
        if passed_s > timeout_s + STOPPING_S:
            left = ", ".join(task.id for task in now.here) if now is not None else "unknown"
            raise Unavailable(f"node {called} is not empty after {passed_s:.0f} s; still there: {left}")
        time.sleep(POLL_S)


def scene_of(called: str, now: Standing, first: int) -> Scene:
    """Return what people see of a drain of a node that began with `first` tasks."""
    why = "; ".join(f"{name}: {reason}" for name, reason in sorted(now.nowhere.items()))
    share = 1 - len(now.here) / first if first else 1.0
    tasks = sorted(now.here, key=lambda task: (task.service_annotations.name, task.slot))
    bars = [
        Bar(f"{task.service_annotations.name}.{task.slot or task.node_id[:12]}", "is still here", 0.0)
        for task in tasks
    ]
    bars += [Bar(name, "runs nowhere yet", 0.5, reason) for name, reason in sorted(now.nowhere.items())]
    return Scene(f"{called}: {len(now.here)} of {first} tasks left", share, bars, why)


def all_tasks(conn: Connection) -> Sequence[Task]:
    """Return every task of the cluster."""
    return list(conn.control.ListTasks(c.ListTasksRequest()).tasks)
