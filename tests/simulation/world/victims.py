"""C8: a task only has to go for one that is more important, and is told to."""

from swarm.api.v1.objects_pb2 import Task
from swarm.manager.store.watch import Action, Commit
from swarm.model import task_state
from tests.simulation.world.story import Broken
from tests.simulation.world.world import World


class Victims:
    """Watches every task that has to make room, at the moment when it is told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.found: dict[str, Task] = {}

    def check(self, commit: Commit) -> None:
        """Raise Broken when somebody has to go without reason."""
        for event in commit.events:
            task = event.object
            if event.action is Action.REMOVE or not isinstance(task, Task) or task.id in self.found:
                continue
            if task.HasField("preempted_by"):
                self.found[task.id] = task
                self._check(task)

    def _check(self, victim: Task) -> None:
        service = self._world.view.services.get(victim.service_id)
        if victim.desired_state <= task_state.RUNNING or service is None:
            raise Broken(f"nobody told task {victim.id}, which has to make room, to stop")
        if service.spec.task.priority >= victim.preempted_by.priority:
            raise Broken(f"task {victim.id} has to go for one that is not more important")
