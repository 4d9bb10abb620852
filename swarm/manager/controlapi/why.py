"""Why does a task not run? A sentence for people, in every state, from the task and what is around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, TaskState
from swarm.clock import SECOND, nanoseconds
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import ReadView
from swarm.model import task_state
from swarm.model.dependencies import Gate
from swarm.model.exit_code import exit_reason
from swarm.model.health import UNHEALTHY, health_of
from swarm.model.preemption import preempted_text
from swarm.model.service import MOVED
from swarm.model.truncate import cut
from swarm.model.units import format_age, format_memory
from swarm.timestamps import timestamp

# Longer than any of these steps takes while a leader works.
OVERDUE_NS = 10 * SECOND
PROBE_CHARACTERS = 300  # of what a health check said


@dataclass(frozen=True, slots=True)
class Around:
    """What a task's fate depends on beside itself."""

    node: Node | None  # the task's, None also when it has none
    service: Service | None
    previous: Task | None  # the one that it replaces
    successor: Task | None  # the one that replaces it
    hold: str = ""  # what of other services it waits for


def slot_mates(view: ReadView, task: Task) -> list[Task]:
    """Return the other tasks of the slot of `task`, newest first."""
    if task.slot:
        tasks = view.tasks.by_slot(task.service_id, task.slot)
    else:
        tasks = tuple(one for one in view.tasks.by_node(task.node_id) if one.service_id == task.service_id)
    return sorted((one for one in tasks if one.id != task.id), key=_age, reverse=True)


def _age(task: Task) -> tuple[int, str]:
    return nanoseconds(task.meta.created_at), task.id


def around(view: ReadView, task: Task, gate: Gate) -> Around:
    """Return what is around a task."""
    mates = slot_mates(view, task) if _needs_mates(task) else []
    return Around(
        node=view.nodes.get(task.node_id) if task.node_id else None,
        service=view.services.get(task.service_id),
        previous=view.tasks.get(task.previous_task_id) if task.previous_task_id else None,
        successor=next((one for one in mates if one.previous_task_id == task.id), None),
        hold=_hold(task, gate),
    )


def _hold(task: Task, gate: Gate) -> str:
    if task.status.state != task_state.NEW or not task_state.wants_to_run(task):
        return ""
    hold = gate.hold(task)
    return hold.reason if hold is not None else ""


def _needs_mates(task: Task) -> bool:
    return not task_state.wants_to_run(task) and task.status.state in _STOPPED


_STOPPED = frozenset((task_state.SHUTDOWN, *(one for one in task_state.OWNERS if one <= task_state.RUNNING)))


def reason_in(view: ReadView, task: Task, now_ns: int, gate: Gate | None = None) -> str:
    """Return why `task` does not run; empty when it runs and is meant to.

    Whoever asks about many tasks gives the same `gate` each time: it looks at every service once.
    """
    return reason_of(task, around(view, task, gate or Gate(look_at(view), now_ns)), now_ns)


def reason_of(task: Task, about: Around, now_ns: int) -> str:
    """Return why `task` does not run; empty when it runs and is meant to."""
    state = task.status.state
    if task_state.is_terminal(state):
        return _ended(task, about)
    lost = _lost(task, about.node)
    if not task_state.wants_to_run(task):
        told = f"it was told to stop: {_why_stopped(task, about)}"
        if state < task_state.ASSIGNED:
            return told
        return f"{told}; {lost or f'it has not stopped yet on node {_name(task, about.node)}'}"
    if lost:
        return lost
    if state == task_state.RUNNING:
        return task.status.err if health_of(task) == UNHEALTHY else ""
    held = _held_back(task, about, now_ns)
    if held and state == task_state.READY:
        return held
    own = _WAITS[state](task, about, now_ns)
    return f"{own}; then it {held.removeprefix('it ')}" if held else own


# On the way to RUNNING.


def _held_back(task: Task, about: Around, now_ns: int) -> str:
    """Return what keeps a task from being started although it may be prepared; empty when nothing does."""
    if task.desired_state >= task_state.RUNNING:
        return ""
    start_ns = nanoseconds(task.start_not_before)
    before = about.previous
    after = ""
    if before is not None and task_state.is_done(before):
        ended = f"{task_state.state_name(before.status.state)}"
        after = f" because the task before it ended ({before.status.err or ended})"
    if start_ns > now_ns:
        left = format_age(start_ns - now_ns)
        crashes = f", {task.crashes} crashes in a row" if task.crashes > 1 else ""
        return f"it waits for its restart delay until {_clock(start_ns)} ({left} more){crashes}{after}"
    if before is not None and not task_state.is_done(before):
        where = f" on node {before.node_id}" if before.node_id else ""
        return f"it waits until the task before it ({before.id}) has stopped{where}"
    return "it waits for the leave to start: the tasks before it in its slot must stop first"


def _new(task: Task, about: Around, now_ns: int) -> str:
    return (
        about.hold
        or task.status.err
        or _waiting("it waits for what it needs of the cluster: addresses, ports", task, now_ns)
    )


def _pending(task: Task, about: Around, now_ns: int) -> str:
    why = task.status.err or _waiting("it waits for a node to be chosen", task, now_ns)
    before = about.previous
    if before is not None and before.HasField("preempted_by"):
        return f"{why}; the task before it was {preempted_text(before.preempted_by)}"
    return why


def _assigned(task: Task, about: Around, now_ns: int) -> str:
    name = _name(task, about.node)
    return _with_error(task, _waiting(f"node {name} was chosen, and has not taken it up yet", task, now_ns))


def _accepted(task: Task, about: Around, now_ns: int) -> str:
    return _with_error(task, f"node {_name(task, about.node)} has it, and is about to prepare it")


def _preparing(task: Task, about: Around, now_ns: int) -> str:
    said = task.status.message
    doing = said if said and said != "preparing" else f"getting image {task.spec.container.image}"
    return _with_error(task, f"node {_name(task, about.node)} prepares it: {doing}")


def _ready(task: Task, about: Around, now_ns: int) -> str:
    return _with_error(
        task, f"everything is prepared on node {_name(task, about.node)}: it is about to start"
    )


def _starting(task: Task, about: Around, now_ns: int) -> str:
    container = task.status.container
    if container.HasField("health"):
        where = f"its container runs on node {_name(task, about.node)}"
        said = " ".join(container.health.log[-1].output.split()) if container.health.log else ""
        probe = f': a probe said "{cut(said, PROBE_CHARACTERS)}"' if said else ""
        return _with_error(task, f"not healthy yet{probe}; {where}")
    return _with_error(task, f"node {_name(task, about.node)} is starting its container")


def _with_error(task: Task, doing: str) -> str:
    return f"{doing} ({task.status.message}: {task.status.err})" if task.status.err else doing


def _waiting(what: str, task: Task, now_ns: int) -> str:
    waited_ns = now_ns - nanoseconds(task.status.timestamp)
    if waited_ns < OVERDUE_NS:
        return what
    return f"{what}, since {format_age(waited_ns)}: are the managers busy or without a leader?"


_WAITS: Mapping["TaskState", Callable[[Task, Around, int], str]] = {
    task_state.NEW: _new,
    task_state.PENDING: _pending,
    task_state.ASSIGNED: _assigned,
    task_state.ACCEPTED: _accepted,
    task_state.PREPARING: _preparing,
    task_state.READY: _ready,
    task_state.STARTING: _starting,
}


def _lost(task: Task, node: Node | None) -> str:
    """Return why nothing is known of a task that a node has; empty when its node is there."""
    if not task.node_id or task.status.state < task_state.ASSIGNED:
        return ""
    if node is None:
        return f"its node {task.node_id} is not part of the cluster any more"
    name = _name(task, node)
    if node.status.state == NodeState.NODE_STATE_DOWN:
        since = _clock(nanoseconds(node.meta.updated_at))
        why = f" ({node.status.message})" if node.status.message else ""
        return f"node {name} is down{why}, at least since {since}: nobody knows how the task is"
    if task.status.state == task_state.RUNNING or node.status.state == NodeState.NODE_STATE_READY:
        return ""
    return f"node {name} was not heard of lately, it is expected back"


# At the end.


def _ended(task: Task, about: Around) -> str:
    state, status = task.status.state, task.status
    if state == task_state.COMPLETE:
        return "its container finished by itself with exit code 0"
    if state == task_state.SHUTDOWN:
        return f"it was stopped: {_why_stopped(task, about)}"
    if state == task_state.ORPHANED:
        return (
            status.err
            or status.message
            or f"node {task.node_id} is gone, and nobody knows how the task ended"
        )
    if state == task_state.FAILED:
        return _failure(task)
    return status.err or f"node {_name(task, about.node)} could not prepare it"


def _failure(task: Task) -> str:
    """Return the error, with what its exit code means where it does not say so itself."""
    status = task.status
    if not status.HasField("container") or not (status.container.exit_code or status.container.oom_killed):
        return status.err or "it failed, and its node does not know why"
    limit = task.spec.resources.limits.memory_bytes
    meaning = exit_reason(
        status.container.exit_code,
        oom_killed=status.container.oom_killed,
        memory_limit=format_memory(limit) if limit else "",
    )
    if not status.err:
        return f"its container ended with {meaning}"
    return status.err if meaning in status.err else f"{status.err} ({meaning})"


def _why_stopped(task: Task, about: Around) -> str:
    """Return why a task was told to stop, as far as what is left of its time tells."""
    if about.service is None:
        return "its service was removed"
    if task.desired_state == task_state.REMOVE:
        return "its service was scaled down"
    if task.HasField("preempted_by"):
        return f"it was {preempted_text(task.preempted_by)}"
    if about.successor is not None and about.successor.spec_version != task.spec_version:
        return f"an update replaced it by version {about.successor.spec_version} of the service"
    if any(status.message == MOVED for status in (*task.history, task.status)):
        return "it moved, so that its service is spread evenly"
    if lost := _off_node(task, about.node):
        return lost
    if about.service.spec_version != task.spec_version:
        return (
            f"the service is at version {about.service.spec_version} now, and this was {task.spec_version}"
        )
    return (
        f"task {about.successor.id} took over" if about.successor is not None else "nobody needs it any more"
    )


def _off_node(task: Task, node: Node | None) -> str:
    """Return what is the matter with the node of a task that was stopped; empty when it is well."""
    if node is None:
        return f"its node {task.node_id} left the cluster" if task.node_id else ""
    if node.spec.availability == NodeAvailability.NODE_AVAILABILITY_DRAIN:
        return f"node {_name(task, node)} was drained"
    if node.status.state == NodeState.NODE_STATE_DOWN:
        return f"node {_name(task, node)} was down, another task took over"
    return ""


def _name(task: Task, node: Node | None) -> str:
    return (node.description.hostname if node is not None else "") or task.node_id


def _clock(at_ns: int) -> str:
    moment = datetime.fromtimestamp(timestamp(at_ns).seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
