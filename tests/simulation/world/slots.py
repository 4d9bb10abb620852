"""C6: one task in a slot, except where two are meant to be. And tasks only live as tasks may."""

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, UpdateConfig
from swarm.clock import SECOND
from swarm.manager.orchestrator.restart import stop_timeout_ns
from swarm.manager.store.watch import Action, Commit, Event
from swarm.model import defaults, task_state
from swarm.runtime.base import ContainerState
from tests.simulation.world.node import SimNode
from tests.simulation.world.story import Broken
from tests.simulation.world.world import World

DRAIN = NodeAvailability.NODE_AVAILABILITY_DRAIN
START_FIRST = UpdateConfig.ORDER_START_FIRST


class Slots:
    """Watches every slot of every service."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lost: set[str] = (
            set()
        )  # tasks whose node was down or gone at some time: nobody knows what they do
        self._drained: set[str] = set()  # tasks whose node was drained at some time
        self._told_s: dict[str, float] = {}  # when each task was told to stop

    def check(self, commit: Commit) -> None:
        """Raise Broken when a commit puts two tasks where one should be."""
        slots: dict[tuple[str, int, str, int], Task] = {}
        for event in commit.events:
            if isinstance(event.object, Task):
                self._check_step(event, event.object)
                if event.action is not Action.REMOVE:
                    task = event.object
                    slots[
                        task.service_id, task.slot, "" if task.slot else task.node_id, task.job_iteration
                    ] = task
            elif isinstance(event.object, Node):
                self._take_in_node(event.action, event.object)
        for task in slots.values():
            self._check_slot(task)

    def _take_in_node(self, action: Action, node: Node) -> None:
        ids = [task.id for task in self._world.view.tasks.by_node(node.id)]
        if action is Action.REMOVE or node.status.state == NodeState.NODE_STATE_DOWN:
            self.lost.update(ids)
        if node.spec.availability == DRAIN:
            self._drained.update(ids)

    def _check_step(self, event: Event, after: Task) -> None:
        before = event.previous
        if event.action is Action.REMOVE:
            return
        if not isinstance(before, Task):
            if after.service_id not in self._world.view.services:
                raise Broken(f"task {after.id} is made for service {after.service_id}, which is gone")
            return
        if after.status.state < before.status.state or after.desired_state < before.desired_state:
            raise Broken(f"task {after.id} went back")
        if task_state.is_done(before) and after.status.state != before.status.state:
            raise Broken(f"task {after.id} came back to life")
        if before.node_id and after.node_id != before.node_id:
            raise Broken(f"task {after.id} moved")
        if before.desired_state <= task_state.RUNNING < after.desired_state:
            self._told_s[after.id] = self._world.loop.time()
        if not before.node_id and after.node_id:
            node = self._world.view.nodes.get(after.node_id)
            if node is not None and node.status.state == NodeState.NODE_STATE_DOWN:
                self.lost.add(after.id)

    def mates(self, task: Task) -> list[Task]:
        """Return the tasks of the slot of `task`, itself included."""
        tasks = self._world.view.tasks
        found = tasks.by_slot(task.service_id, task.slot) if task.slot else tasks.by_node(task.node_id)
        return [
            one
            for one in found
            if one.service_id == task.service_id
            and one.slot == task.slot
            and one.job_iteration == task.job_iteration
        ]

    def _check_slot(self, task: Task) -> None:
        service = self._world.view.services.get(task.service_id)
        if service is None:
            return
        mates = self.mates(task)
        room = 1 + self._may_double(service, mates)
        wanted = [
            one for one in mates if one.desired_state == task_state.RUNNING and not task_state.is_done(one)
        ]
        if len(wanted) > room:
            raise Broken(f"tasks {_ids(wanted)} all want to run in one slot of {service.id}")
        seen = [
            one
            for one in mates
            if one.status.state == task_state.RUNNING
            and one.id not in self.lost
            and not self._is_overdue(one)
        ]
        if len(seen) > room == 1:
            raise Broken(f"tasks {_ids(seen)} are seen running in one slot of {service.id}")

    def check_start(self, node: SimNode, task: Task) -> None:
        """Raise Broken when a second container of a slot starts, and managers could have known."""
        task = self._world.view.tasks.get(task.id) or task
        service = self._world.view.services.get(task.service_id)
        if service is None or task.id in self.lost or task.desired_state > task_state.RUNNING:
            return
        mates = {one.id: one for one in self.mates(task)}
        beside = []
        for other in self._world.nodes.values():
            for mate_id, container in other.runtime.containers.items():
                if container.state is ContainerState.RUNNING and mate_id != task.id and mate_id in mates:
                    known = mate_id not in self.lost and not task_state.is_done(mates[mate_id])
                    beside += [mates[mate_id]] if known and not self._is_overdue(mates[mate_id]) else []
        if beside and not self._may_double(service, [task, *beside]):
            raise Broken(f"task {task.id} starts while {_ids(beside)} still run in its slot of {service.id}")

    def _is_overdue(self, task: Task) -> bool:
        """Whether nobody waits any more for `task` to stop."""
        told_s = self._told_s.get(task.id)
        return told_s is not None and self._world.loop.time() - told_s >= stop_timeout_ns(task) / SECOND - 1

    def _may_double(self, service: Service, mates: list[Task]) -> int:
        """Return how many more than one task may be in the slot."""
        specs = [service.spec, service.previous_spec]
        start_first = any(START_FIRST in (one.update.order, one.rollback.order) for one in specs)
        # A drain overlaps unless the user said in so many words that nothing may.
        said = service.spec.update.HasField("order") and not start_first
        movable = not said and not defaults.is_global(service.spec)
        return start_first + (movable and any(one.id in self._drained for one in mates))


def _ids(tasks: list[Task]) -> str:
    return ", ".join(one.id for one in tasks)
