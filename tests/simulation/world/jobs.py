"""C10: what a job does, it does as often as it says; and a time of a cron job once."""

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import CronJob
from swarm.clock import nanoseconds
from swarm.manager.store.watch import Action, Commit
from swarm.model import job, task_state
from tests.simulation.world.slots import Slots
from tests.simulation.world.story import Broken
from tests.simulation.world.world import World


class Jobs:
    """Watches every run of every job."""

    def __init__(self, world: World, slots: Slots) -> None:
        self._world = world
        self._slots = slots
        self.run_of_time: dict[tuple[str, int], int] = {}  # service, time → run

    def check(self, commit: Commit) -> None:
        """Raise Broken when a job does something twice, or too much of it at once."""
        services: dict[str, None] = {}
        for event in commit.events:
            one = event.object
            if isinstance(one, Service) and isinstance(event.previous, Service):
                self._check_service(event.previous, one)
            elif isinstance(one, Task) and one.job_iteration and event.action is not Action.REMOVE:
                services[one.service_id] = None
                if event.action is Action.CREATE:
                    self._check_new(one)
        for service_id in services:
            self._check_concurrency(service_id)

    def _check_service(self, before: Service, after: Service) -> None:
        old, new = before.job_status, after.job_status
        if new.iteration not in (old.iteration, old.iteration + 1):
            raise Broken(f"job {after.id} went from run {old.iteration} to {new.iteration}")
        if not after.spec.HasField("cron") or new.iteration == old.iteration:
            return
        if nanoseconds(new.last_run) <= nanoseconds(old.last_run):
            raise Broken(f"job {after.id} begins another run for a time that it ran for: {old} {new}")

    def _check_new(self, task: Task) -> None:
        mates = [one for one in self._slots.mates(task) if one.id != task.id]
        done = [one for one in mates if job.is_completed(one) and one.id not in self._slots.lost]
        if done:
            raise Broken(f"task {task.id} is made for what {done[0].id} has done")
        if task.HasField("run_for"):
            key = task.service_id, nanoseconds(task.run_for)
            if self.run_of_time.setdefault(key, task.job_iteration) != task.job_iteration:
                raise Broken(f"task {task.id} is of a second run for one time of {task.service_id}")

    def _check_concurrency(self, service_id: str) -> None:
        service = self._world.view.services.get(service_id)
        one = job.job_of(service.spec) if service is not None else None
        if one is None:
            return
        live: dict[int, list[Task]] = {}
        for task in self._world.view.tasks.by_service(service_id):
            if task.desired_state <= task_state.RUNNING and not task_state.is_done(task):
                live.setdefault(task.job_iteration, []).append(task)
        for tasks in live.values():
            if not one.is_global and len(tasks) > one.max_concurrent:
                raise Broken(f"more than {one.max_concurrent} tasks of one run of {service_id} live")
        overlaps = one.cron is not None and one.cron.concurrency_policy == CronJob.CONCURRENCY_POLICY_ALLOW
        if len(live) > 1 and not overlaps:
            raise Broken(f"several runs of {service_id} go on: {sorted(live)}")
