"""C9: an update takes down no more than it says, and a rollback ends where it says."""

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, UpdateConfig, UpdateStatus
from swarm.clock import SECOND
from swarm.manager.store.watch import Commit
from swarm.model import defaults, rollout, task_state
from swarm.model.service import is_moving
from swarm.model.task import is_dirty, still_fits
from tests.simulation.world.slots import Slots
from tests.simulation.world.story import Broken
from tests.simulation.world.world import World

_AT_REST = (UpdateStatus.STATE_COMPLETED, UpdateStatus.STATE_ROLLBACK_COMPLETED)
_PAUSE = NodeAvailability.NODE_AVAILABILITY_PAUSE
_UNDER_WAY_NS = SECOND  # an end may have been decided before what has just happened


class Updates:
    """Watches every update of every service."""

    def __init__(self, world: World, slots: Slots) -> None:
        self._world = world
        self._slots = slots
        # By service and version: slots in which it stopped what ran, and what it put there does not run yet.
        self._down: dict[tuple[str, int], dict[tuple[int, str], str]] = {}
        self._doubtful: set[tuple[str, int]] = set()  # paused and resumed, or changed on the way
        self._resumed: dict[str, int] = {}  # when a paused node was made active again, by its id
        self.judged = 0  # how often an update was seen to stop something

    def check(self, commit: Commit) -> None:
        """Raise Broken when an update goes too far."""
        for event in commit.events:
            if isinstance(event.object, Node) and isinstance(event.previous, Node):
                self._note_resumed(event.previous, event.object)
        for event in commit.events:
            if isinstance(event.object, Service) and isinstance(event.previous, Service):
                self._check_service(event.previous, event.object)
        for event in commit.events:
            if isinstance(event.object, Task) and isinstance(event.previous, Task):
                self._check_task(event.previous, event.object)

    def _check_service(self, before: Service, after: Service) -> None:
        key, state = (after.id, after.spec_version), after.update_status.state
        if state in rollout.PAUSED or before.spec.update != after.spec.update:
            self._doubtful.add(key)
        began = state == UpdateStatus.STATE_ROLLBACK_STARTED and before.update_status.state in rollout.ACTIVE
        if began and before.update_status.state != state and after.spec.task != before.previous_spec.task:
            raise Broken(f"the rollback of {after.id} goes to another spec than the one before")
        if state in _AT_REST and before.update_status.state not in _AT_REST:
            self._check_end(before, after)

    def _check_end(self, before: Service, after: Service) -> None:
        """An update that is over has left nothing of another spec running."""
        for task in self._world.view.tasks.by_service(after.id):
            node = self._world.view.nodes.get(task.node_id)
            # A paused node gets no new task of a global service.
            spared = node is None or (defaults.is_global(after.spec) and self._is_paused(node))
            same = before.spec_version == after.spec_version
            if same and not spared and task_state.is_running(task) and is_dirty(after, task, node):
                raise Broken(f"the update of {after.id} is over, and {task.id} is of another spec")

    def _note_resumed(self, before: Node, after: Node) -> None:
        if before.spec.availability == _PAUSE != after.spec.availability:
            self._resumed[after.id] = self._world.clock.now_ns()

    def _is_paused(self, node: Node) -> bool:
        resumed = self._resumed.get(node.id, -_UNDER_WAY_NS)
        return node.spec.availability == _PAUSE or self._world.clock.now_ns() < resumed + _UNDER_WAY_NS

    def _check_task(self, before: Task, after: Task) -> None:
        service = self._world.view.services.get(after.service_id)
        if service is None:
            return
        key = (service.id, service.spec_version)
        if after.status.state >= task_state.RUNNING:
            down = self._down.get(key, {})
            for slot in [slot for slot, task_id in down.items() if task_id == after.id]:
                del down[slot]
        stops = before.desired_state <= task_state.RUNNING < after.desired_state
        ran = after.status.state == before.status.state == task_state.RUNNING
        if stops and ran and self._is_doing_of_update(service, after):
            self._check_stop(service, after, key)

    def _is_doing_of_update(self, service: Service, task: Task) -> bool:
        """Whether nothing but the update is a reason to stop `task`."""
        node = self._world.view.nodes.get(task.node_id)
        return (
            service.update_status.state in (UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_ROLLBACK_STARTED)
            and task.desired_state == task_state.SHUTDOWN
            and not task.HasField("preempted_by")
            and task.id not in self._slots.lost
            and task.spec_version != service.spec_version
            and node is not None
            and node.status.state != NodeState.NODE_STATE_DOWN
            and node.spec.availability != NodeAvailability.NODE_AVAILABILITY_DRAIN
            and still_fits(task.spec, node)
            and is_dirty(service, task, node)
            and not is_moving(service)
        )

    def _check_stop(self, service: Service, task: Task, key: tuple[str, int]) -> None:
        mates = [
            one
            for one in self._world.view.tasks.by_service(service.id)
            if one.slot == task.slot and (one.slot or one.node_id == task.node_id) and one.id != task.id
        ]
        fresh = [one for one in mates if one.spec_version == service.spec_version]
        if not fresh:
            return  # the slot itself goes
        self.judged += 1
        back = service.update_status.state == UpdateStatus.STATE_ROLLBACK_STARTED
        config = defaults.rollback(service.spec) if back else defaults.update(service.spec)
        if config.order == UpdateConfig.ORDER_START_FIRST:
            if key not in self._doubtful and all(one.status.state < task_state.RUNNING for one in fresh):
                raise Broken(
                    f"{task.id} is stopped before what comes after it runs, and the order is start-first"
                )
            return
        down = self._down.setdefault(key, {})
        waited = [
            one
            for one in fresh
            if one.status.state < task_state.RUNNING and one.desired_state <= task_state.RUNNING
        ]
        if waited and not any(map(task_state.is_running, mates)):
            down[task.slot, "" if task.slot else task.node_id] = waited[-1].id
        self._forget_gone(service, down)
        if config.parallelism and len(down) > config.parallelism and key not in self._doubtful:
            raise Broken(
                f"the update of {service.id} has stopped tasks in slots {sorted(down)} at the same time, "
                f"and its parallelism is {config.parallelism}"
            )

    def _forget_gone(self, service: Service, down: dict[tuple[int, str], str]) -> None:
        """Leave out slots whose new task is gone for a reason that the update knows nothing of."""
        for slot, task_id in tuple(down.items()):
            task = self._world.view.tasks.get(task_id)
            if (
                task is None
                or task.desired_state > task_state.RUNNING
                or task.status.state >= task_state.RUNNING
            ):
                del down[slot]
