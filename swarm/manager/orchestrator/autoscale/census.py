"""How are the slots of a service: does it run, is its use known, does it crash?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task
from swarm.clock import SECOND
from swarm.manager.orchestrator.restart import HEALTHY_NS
from swarm.manager.orchestrator.slots import SLOTS_PER_STEP, Slot, running_since_ns, slots_of
from swarm.model import task_state
from swarm.model.usage import Usage
from swarm.steps import Steps

# An agent needs two samples for one use, a manager passes it on, and the leader may be new.
FIRST_USE_NS = 20 * SECOND
CRASHES = 2  # in a row: one may be bad luck


@dataclass(frozen=True, slots=True)
class Census:
    """The slots of a service at one moment."""

    uses: Sequence[Usage] = ()  # of the slots whose use is known
    missing: int = 0  # slots that run, and nobody knows how much they use
    unready: int = 0  # slots that do not run yet, or began to a moment ago
    crashing: int = 0  # of all of these, those whose tasks crash one after another


def take_census(
    tasks: Sequence[Task], usage_of: Callable[[str], Usage | None], now_ns: int
) -> Steps[Census]:
    """Return how the slots of `tasks`, in order of creation, are; `usage_of` knows a task by its id."""
    uses: list[Usage] = []
    missing = unready = crashing = 0
    slots = yield from slots_of(tasks)
    for count, slot in enumerate(slots.values(), 1):
        if count % SLOTS_PER_STEP == 0:
            yield
        crashing += _crashes(slot, now_ns)
        running = [task for task in slot.live if task_state.is_running(task)]
        known = [use for task in running if (use := usage_of(task.id)) is not None]
        if known:  # of two in one slot the new one may just have begun
            uses.append(max(known, key=lambda use: (use.nano_cpus, use.memory_bytes)))
        elif any(now_ns - (running_since_ns(task) or 0) >= FIRST_USE_NS for task in running):
            missing += 1
        elif slot.live:
            unready += 1
    return Census(tuple(uses), missing, unready, crashing)


def _crashes(slot: Slot, now_ns: int) -> bool:
    """Whether the tasks of a slot crash one after another, or the last one did and none will follow."""
    newest = slot.newest
    if newest is None or newest.desired_state == task_state.REMOVE:
        return False
    if not slot.live:
        return newest.status.state in (task_state.FAILED, task_state.REJECTED)
    since_ns = running_since_ns(newest) if task_state.is_running(newest) else None
    well = since_ns is not None and now_ns - since_ns >= HEALTHY_NS
    return newest.crashes >= CRASHES and not well
