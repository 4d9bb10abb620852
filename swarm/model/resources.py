"""How much a task reserves, how much a node has, and whether the one fits into the other."""

from collections.abc import Iterable
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.specs_pb2 import TaskSpec
from swarm.model.task_state import holds_resources


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of every resource; negative where a node shrank below what is reserved on it."""

    nano_cpus: int = 0  # 1 CPU = 1e9
    memory_bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.nano_cpus + other.nano_cpus, self.memory_bytes + other.memory_bytes)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.nano_cpus - other.nano_cpus, self.memory_bytes - other.memory_bytes)

    def fits(self, free: "Amount") -> bool:
        """Whether this much is free; what is not wanted need not be there."""
        return (self.nano_cpus <= 0 or self.nano_cpus <= free.nano_cpus) and (
            self.memory_bytes <= 0 or self.memory_bytes <= free.memory_bytes
        )


NOTHING = Amount()


def reserved_by(spec: TaskSpec) -> Amount:
    """Return what one task of this spec reserves."""
    reservations = spec.resources.reservations
    return Amount(reservations.nano_cpus, reservations.memory_bytes)


def capacity_of(node: Node) -> Amount:
    """Return what the node has in all."""
    resources = node.description.resources
    return Amount(resources.nano_cpus, resources.memory_bytes)


def reserved_on(tasks: Iterable[Task]) -> Amount:
    """Return what the tasks of one node reserve there; finished ones hold nothing."""
    total = NOTHING
    for task in tasks:
        if holds_resources(task):
            total += reserved_by(task.spec)
    return total


def free_on(node: Node, tasks: Iterable[Task]) -> Amount:
    """Return what is left on `node`, which has `tasks`."""
    return capacity_of(node) - reserved_on(tasks)
