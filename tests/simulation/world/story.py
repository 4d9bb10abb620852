"""What happened, in order: told when an invariant breaks, and compared when a seed is run again."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, UpdateStatus
from swarm.clock import nanoseconds
from swarm.manager.store.tables import Object, kind_name
from swarm.manager.store.watch import Action
from swarm.model.history import story as lived
from swarm.model.task_state import state_name

if TYPE_CHECKING:
    from tests.simulation.world.world import World

LINES_MAX = 150  # of one story: enough for the life of a slot


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Line:
    """One change of an object, or something that was done to the world."""

    at_s: float
    action: Action | None
    object: Object | None
    note: str = ""

    def concerns(self, ids: frozenset[str]) -> bool:
        """Whether the line is part of the story of these objects; what befell the world is part of all."""
        one = self.object
        return one is None or one.id in ids or (isinstance(one, Task) and one.service_id in ids)

    def __str__(self) -> str:
        if self.object is None:
            return f"{self.at_s:9.3f}  * {self.note}"
        what = f"{kind_name(type(self.object))} {self.object.id}"
        action = (
            "" if self.action is Action.UPDATE else f"{self.action.name.lower()}d " if self.action else ""
        )
        return f"{self.at_s:9.3f}  {what}: {action}{_look(self.object)}"


def _look(one: Object) -> str:
    if isinstance(one, Task):
        run = f" run {one.job_iteration}" if one.job_iteration else ""
        after = f" after {one.previous_task_id}" if one.previous_task_id else ""
        why = f" ({one.status.err or one.status.message})"
        return (
            f"{one.service_id}.{one.slot}{run} v{one.spec_version} on {one.node_id or '-'}{after}: "
            f"{state_name(one.status.state)}, wanted {state_name(one.desired_state)}{why}"
        )
    if isinstance(one, Node):
        return (
            f"{NodeState.Name(one.status.state)} {NodeAvailability.Name(one.spec.availability)} "
            f"{sorted(one.spec.annotations.labels.items())}"
        )
    if isinstance(one, Service):
        mode, status = one.spec.WhichOneof("mode"), one.update_status
        size = one.spec.replicated.replicas if mode == "replicated" else ""
        job = one.job_status
        run = f", run {job.iteration} for {nanoseconds(job.last_run) // 10**9}" if job.iteration else ""
        return (
            f"{mode} {size} v{one.spec_version} {one.spec.task.container.image}, "
            f"{UpdateStatus.State.Name(status.state)} ({status.message}){run}"
        )
    return ""


def tell(world: "World", tasks: Iterable[Task]) -> str:
    """Return the lives of tasks."""
    at_s = world.loop.time()
    lines = [f"seed {world.seed}, second {at_s:.3f} (SWARM_SEED={world.seed} replays it)"]
    for task in tasks:
        lines += [str(Line(at_s, None, task)), *(f"  {line}" for line in lived(task))]
    return "\n".join(lines)


class Story:
    """All lines of one world."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def about(self, ids: Iterable[str]) -> str:
        """Return the last lines that concern objects, or the tasks of services, given by id."""
        wanted = frozenset(ids)
        told = [str(line) for line in self.lines if line.concerns(wanted)]
        return "\n".join(told[-LINES_MAX:])

    def __iter__(self) -> Iterator[str]:
        """Iterate over everything as people read it."""
        return map(str, self.lines)

    def fingerprint(self) -> str:
        """Return a hash of everything that happened."""
        return hashlib.sha256("\n".join(self).encode()).hexdigest()
