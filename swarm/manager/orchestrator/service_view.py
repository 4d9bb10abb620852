"""What the orchestrator looks at to decide about one service."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.manager.store.tables import Table
from swarm.model import defaults, task

R = TypeVar("R")
Steps = Generator[None, None, R]  # a decision in steps: it yields every millisecond or so

SLOTS_PER_STEP = 250


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service, its tasks in order of creation, the nodes, and the time."""

    service: Service
    tasks: Sequence[Task]
    nodes: Table[Node]
    history_limit: int
    now_ns: int
    restart: defaults.Restart = field(init=False)
    _outdated: dict[int | tuple[int, str], bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "restart", defaults.restart(self.service.spec.task))

    def is_dirty(self, one: Task) -> bool:
        """Whether `one` is not what the service asks for now.

        Tasks of one version are alike, so the specs are compared once a version, and once a node for a
        version that differs in its placement only.
        """
        version = one.spec_version
        if version == self.service.spec_version:
            return False
        known = self._outdated
        if version not in known:
            known[version] = task.is_dirty(self.service, one, None)
        if not known[version]:
            return False
        on_node = (version, one.node_id)
        if on_node not in known:
            known[on_node] = task.is_dirty(self.service, one, self.nodes.get(one.node_id))
        return known[on_node]


def complete(steps: Steps[R]) -> R:
    """Run all steps and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: R = stop.value
            return result
