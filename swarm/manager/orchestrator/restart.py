"""What happens in a slot whose task ended, lost its node, or waits to be started?

Decided from the tasks of the slot alone: a new leader goes on where the old one stopped.
"""

from collections.abc import Sequence
from enum import Enum

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import RestartPolicy, TaskState
from swarm.clock import SECOND, nanoseconds
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, Step
from swarm.manager.orchestrator.slots import Condition, Slot, condition_of, ended_at_ns, ran_for_ns, stopping
from swarm.manager.store.tables import Table
from swarm.model import defaults, task_state

# Written by the constraint enforcer; such an end is not the task's fault and counts as no attempt.
NO_LONGER_FITS = "assigned node no longer meets constraints"

# A task that does not stop holds up its successor no longer than this, and no less than its grace period.
STOP_TIMEOUT_NS = 60 * SECOND
STOP_MARGIN_NS = 10 * SECOND

# A task that ran for so long was well: what comes after it is no crash loop.
HEALTHY_NS = 60 * SECOND
# So many crashes in a row may be bad luck, and cost the delay that the user asked for; then it doubles.
PLAIN_CRASHES = 2
# What doubles when the user asked for none.
BACKOFF_MIN_NS = SECOND // 10
_DOUBLINGS_MAX = 32


class Cause(Enum):
    """Why a task that is meant to run does not."""

    ENDED = "it ended"
    MOVED = "its node is drained"
    LOST = "its node is down or gone"
    PREEMPTED = "a task of higher priority needs its room"


def cause_of(task: Task, nodes: Table[Node]) -> Cause | None:
    """Return why `task` does not run, or should not run where it is; None when all is well."""
    done = task_state.is_done(task)
    if not done and (not task.node_id or task.status.state < task_state.ASSIGNED):
        return None
    condition = condition_of(nodes.get(task.node_id)) if task.node_id else Condition.ACTIVE
    if condition in (Condition.DOWN, Condition.GONE):
        return Cause.LOST
    if condition is Condition.DRAINED:
        return Cause.MOVED
    return Cause.ENDED if done else None


def ended_by_itself(task: Task) -> bool:
    """Whether the end of `task` was its own doing."""
    return (
        task.status.state in (task_state.COMPLETE, task_state.FAILED, task_state.REJECTED)
        and task.status.err != NO_LONGER_FITS
        and not task.HasField("preempted_by")
    )


def should_restart(task: Task, earlier: Sequence[Task], policy: defaults.Restart) -> bool:
    """Whether the policy wants another task after `task`, which came after `earlier` ones in its slot.

    The same answer at any time: the window ends with the end of the task, not with the moment of asking.
    """
    if policy.condition == RestartPolicy.CONDITION_NONE:
        return False
    if policy.condition == RestartPolicy.CONDITION_ON_FAILURE and task.status.state == task_state.COMPLETE:
        return False
    if not policy.max_attempts or not ended_by_itself(task):
        return True
    since_ns = ended_at_ns(task) - policy.window_ns if policy.window_ns else 0
    attempts = sum(
        1
        for other in earlier
        if other.spec_version == task.spec_version
        and ended_by_itself(other)
        and ended_at_ns(other) >= since_ns
    )
    return attempts < policy.max_attempts


def crashes_in_a_row(failed: Task) -> int:
    """Return how many tasks of a slot crashed one after another, `failed` the last; 0 when it did not."""
    if failed.status.state not in (task_state.FAILED, task_state.REJECTED) or not ended_by_itself(failed):
        return 0
    return 1 if (ran_for_ns(failed) or 0) >= HEALTHY_NS else failed.crashes + 1


def restart_delay_ns(policy: defaults.Restart, crashes: int) -> int:
    """Return how long the task after so many crashes in a row waits."""
    if crashes <= PLAIN_CRASHES:
        return policy.delay_ns
    doublings = min(crashes - PLAIN_CRASHES, _DOUBLINGS_MAX)
    grown_ns = max(policy.delay_ns, BACKOFF_MIN_NS) << doublings
    return max(policy.delay_ns, min(grown_ns, policy.max_delay_ns))


def is_finished(slot: Slot, policy: defaults.Restart) -> bool:
    """Whether the slot has done its work for good: nothing is meant to run in it, and nothing will be."""
    newest = slot.newest
    if newest is None or slot.live or newest.desired_state != task_state.SHUTDOWN:
        return False
    return not should_restart(newest, slot.tasks[:-1], policy)


def plan_replacement(
    plan: PlanBuilder,
    slot: Slot,
    failed: Task,
    cause: Cause,
    nodes: Table[Node],
    policy: defaults.Restart,
    now_ns: int,
    *,
    as_previous: bool,
) -> None:
    """Stop `failed` and, if the policy wants it, put another task into its slot."""
    stop = ((failed.id, task_state.SHUTDOWN),)
    if not should_restart(failed, slot.before(failed), policy):
        plan.steps.append(Step(desire=stop))
        return
    # The delay is against crash loops; a task that lost its node did nothing wrong.
    crashes = crashes_in_a_row(failed)
    delay_ns = restart_delay_ns(policy, crashes) if cause is Cause.ENDED else 0
    blocked = cause is Cause.MOVED and not task_state.is_done(failed)
    plan.steps.append(
        Step(
            desire=stop,
            create=NewTask(
                slot=slot.number,
                node_id=slot.node_id,
                desired_state=_first_desire(slot, nodes, blocked=blocked or delay_ns > 0),
                previous=failed,
                start_not_before_ns=now_ns + delay_ns if delay_ns else 0,
                as_previous=as_previous,
                job_iteration=failed.job_iteration,
                run_for_ns=nanoseconds(failed.run_for),
                crashes=crashes,
            ),
            live=frozenset(task.id for task in slot.live),
        )
    )


def _first_desire(slot: Slot, nodes: Table[Node], *, blocked: bool) -> "TaskState":
    if blocked or stopping(slot, nodes):
        return task_state.READY
    return task_state.RUNNING


def held_back_until_ns(task: Task) -> int:
    """Return until when the restart delay holds `task` back; 0 for one that may run."""
    if task.desired_state >= task_state.RUNNING:
        return 0
    return nanoseconds(task.start_not_before)


def plan_start(plan: PlanBuilder, slot: Slot, task: Task, nodes: Table[Node], now_ns: int) -> None:
    """Start `task`, which was held back, when its delay has passed and the tasks before it have stopped."""
    start_ns = held_back_until_ns(task)
    if start_ns > now_ns:
        plan.wake(start_ns)
        return
    blockers = stopping(slot, nodes)
    if blockers:
        give_up_ns = nanoseconds(task.meta.created_at) + max(map(stop_timeout_ns, blockers))
        if give_up_ns > now_ns:
            plan.wake(give_up_ns)
            return
    plan.steps.append(Step(desire=((task.id, task_state.RUNNING),)))


def stop_timeout_ns(task: Task) -> int:
    """Return how long others wait for `task` to stop."""
    grace_ns = defaults.stop_grace_period_ns(task.spec.container)
    drain_ns = defaults.endpoint_drain_ns(task.endpoint) + defaults.WITHDRAWAL_NS if task.networks else 0
    return max(STOP_TIMEOUT_NS, drain_ns + grace_ns + STOP_MARGIN_NS)
