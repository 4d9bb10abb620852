"""What a task may become, and who says so.

Observed state (`task.status.state`) only moves to a larger number and stops at a terminal state.
Desired state (`task.desired_state`) never goes back. Each state is written by its owners only, as
listed in ARCHITECTURE.md.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from swarm.api.v1 import objects_pb2 as objects
from swarm.api.v1 import types_pb2 as types
from swarm.errors import InvariantBroken


class Owner(Enum):
    """A part of the system that writes states of tasks."""

    ORCHESTRATOR = "orchestrator"
    ALLOCATOR = "allocator"
    SCHEDULER = "scheduler"
    AGENT = "agent"
    CONSTRAINT_ENFORCER = "constraint enforcer"
    CONTROL_API = "control API"


class InvalidTransition(InvariantBroken):
    """A task was about to enter a state that cannot follow, or that the writer does not own."""


NEW = types.TASK_STATE_NEW
PENDING = types.TASK_STATE_PENDING
ASSIGNED = types.TASK_STATE_ASSIGNED
ACCEPTED = types.TASK_STATE_ACCEPTED
PREPARING = types.TASK_STATE_PREPARING
READY = types.TASK_STATE_READY
STARTING = types.TASK_STATE_STARTING
RUNNING = types.TASK_STATE_RUNNING
COMPLETE = types.TASK_STATE_COMPLETE
SHUTDOWN = types.TASK_STATE_SHUTDOWN
FAILED = types.TASK_STATE_FAILED
REJECTED = types.TASK_STATE_REJECTED
REMOVE = types.TASK_STATE_REMOVE
ORPHANED = types.TASK_STATE_ORPHANED

# Who may write each observed state. The first is the owner in normal life; a second one speaks for a
# node that cannot speak for itself (gone, or no longer matching).
OWNERS: Mapping["types.TaskState", tuple[Owner, ...]] = MappingProxyType(
    {
        NEW: (Owner.ORCHESTRATOR,),
        PENDING: (Owner.ALLOCATOR,),
        ASSIGNED: (Owner.SCHEDULER,),
        ACCEPTED: (Owner.AGENT,),
        PREPARING: (Owner.AGENT,),
        READY: (Owner.AGENT,),
        STARTING: (Owner.AGENT,),
        RUNNING: (Owner.AGENT,),
        COMPLETE: (Owner.AGENT,),
        SHUTDOWN: (Owner.AGENT,),
        FAILED: (Owner.AGENT,),
        REJECTED: (Owner.AGENT, Owner.CONSTRAINT_ENFORCER),
        ORPHANED: (Owner.CONTROL_API, Owner.ORCHESTRATOR),
    }
)

TERMINAL: frozenset["types.TaskState"] = frozenset({COMPLETE, SHUTDOWN, FAILED, REJECTED, ORPHANED})

# READY: prepare and wait; RUNNING: run; SHUTDOWN: stop; REMOVE: stop, then forget.
DESIRED: frozenset["types.TaskState"] = frozenset({READY, RUNNING, SHUTDOWN, REMOVE})


def state_name(state: "types.TaskState") -> str:
    """Return a state as people read it, e.g. `running`."""
    return types.TaskState.Name(state).removeprefix("TASK_STATE_").lower()


def is_terminal(state: "types.TaskState") -> bool:
    """Whether a task in this observed state will never change again."""
    return state in TERMINAL


def is_done(task: objects.Task) -> bool:
    """Whether the task reached a terminal state."""
    return task.status.state in TERMINAL


def wants_to_run(task: objects.Task) -> bool:
    """Whether the task is meant to run, now or after its delay."""
    return task.desired_state <= RUNNING


def is_runnable(task: objects.Task) -> bool:
    """Whether the task is meant to run and still can: it fills its slot."""
    return wants_to_run(task) and task.status.state <= RUNNING


def is_running(task: objects.Task) -> bool:
    """Whether the task runs and is meant to."""
    return task.status.state == RUNNING and task.desired_state == RUNNING


def holds_resources(task: objects.Task) -> bool:
    """Whether the task takes (or will take) resources of its node."""
    return bool(task.node_id) and not is_done(task)


def may_follow(old: "types.TaskState", new: "types.TaskState") -> bool:
    """Whether observed state `new` may replace `old`; the same state again is a repeated report."""
    if new == old:
        return True
    return new > old and old not in TERMINAL and new in OWNERS


def may_desire(old: "types.TaskState", new: "types.TaskState") -> bool:
    """Whether desired state `new` may replace `old`."""
    return new in DESIRED and new >= old


def check_transition(task: objects.Task, new: "types.TaskState", owner: Owner) -> None:
    """Raise InvalidTransition unless `owner` may move `task` to observed state `new`."""
    old = task.status.state
    if new != old and owner not in OWNERS.get(new, ()):
        allowed = " or ".join(one.value for one in OWNERS.get(new, ())) or "nobody"
        raise InvalidTransition(
            f"{story(task)}; the {owner.value} tried to write {state_name(new)}, which only {allowed} may"
        )
    if not may_follow(old, new):
        raise InvalidTransition(f"{story(task)}; {state_name(new)} cannot follow {state_name(old)}")


def check_desired(task: objects.Task, new: "types.TaskState") -> None:
    """Raise InvalidTransition unless desired state `new` may replace the one of `task`."""
    if not may_desire(task.desired_state, new):
        raise InvalidTransition(
            f"{story(task)}; desired state {state_name(new)} cannot follow {state_name(task.desired_state)}"
        )


def story(task: objects.Task) -> str:
    """Return one line of where a task stands, for errors."""
    passed = " → ".join(state_name(status.state) for status in (*task.history, task.status))
    where = f" on node {task.node_id}" if task.node_id else ""
    return f"task {task.id or '(no id)'}{where} went {passed} (desired {state_name(task.desired_state)})"
