"""What the orchestrator looks at to decide about one service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Node, Preemption, Service, Task
from swarm.manager.orchestrator.slots import Condition, Slot, condition_of
from swarm.manager.store.tables import Table
from swarm.model import defaults, job, task, task_state
from swarm.model.service import is_moving

_KEEPING = (Condition.ACTIVE, Condition.PAUSED)


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service, its tasks in order of creation, the nodes, and the time."""

    service: Service
    tasks: Sequence[Task]
    nodes: Table[Node]
    history_limit: int
    now_ns: int
    victims: Mapping[str, Preemption] = field(default_factory=dict)  # tasks that have to go, and for whom
    restart: defaults.Restart = field(init=False)
    moving: frozenset[str] = field(init=False)  # ids of tasks that a rebalance replaces
    _conditions: dict[str, Condition] = field(init=False, default_factory=dict)
    _outdated: dict[int | tuple[int, str], bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "restart", job.restart_of(self.service.spec))
        moves = self.service.rebalance.moves if is_moving(self.service) else ()
        object.__setattr__(self, "moving", frozenset(move.task_id for move in moves))

    def condition(self, node_id: str) -> Condition:
        """Return what a node is to the tasks it has."""
        condition = self._conditions.get(node_id)
        if condition is None:
            condition = self._conditions[node_id] = condition_of(self.nodes.get(node_id))
        return condition

    def is_settled(self, slot: Slot) -> bool:
        """Whether there is nothing to decide about `slot`: its only task runs, or is on its way to."""
        if len(slot.tasks) != 1:
            return False
        one = slot.tasks[0]
        return (
            one.desired_state == task_state.RUNNING
            and one.spec_version == self.service.spec_version
            and one.status.state <= task_state.RUNNING
            and (not one.node_id or self.condition(one.node_id) in _KEEPING)
            and one.id not in self.victims
        )

    def is_dirty(self, one: Task) -> bool:
        """Whether `one` is not what the service asks for now.

        Tasks of one version are alike, so the specs are compared once a version, and once a node for a
        version that differs in its placement only.
        """
        if one.id in self.moving:
            return True
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
