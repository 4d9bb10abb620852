"""Jobs, cron jobs and drains, run by the real decision code in virtual time while leaders change and die.

Each seed is one story; SWARM_SEEDS=N runs N more, SWARM_SEED=S only that one.
"""

import asyncio
import os

import pytest

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import CronJob, ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import nanoseconds, timestamp
from swarm.manager.orchestrator.restart import is_finished
from swarm.manager.orchestrator.slots import slots_of
from swarm.model import job, task_state
from swarm.model.service import new_service
from swarm.steps import complete
from tests.simulation.orchestration_world import Faults, World
from tests.simulation.test_orchestration import Broken, tell
from tests.simulation.virtual_time import VirtualLoop, run_virtually

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(3 + int(os.environ.get("SWARM_SEEDS", "0")))
)
STORM_S, CALM_S = 300.0, 900.0
MINUTE_NS = 60 * 10**9
DRAIN = NodeAvailability.NODE_AVAILABILITY_DRAIN
ACTIVE = NodeAvailability.NODE_AVAILABILITY_ACTIVE


def a_spec(name: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = "v1"
    spec.task.restart.delay_ns = 10**9
    return spec


def the_jobs(world: World) -> list[Service]:
    """A job of each kind, and a cron job of each policy, every minute."""
    fill, everywhere, limited = a_spec("fill"), a_spec("everywhere"), a_spec("limited")
    fill.replicated_job.total_completions = world.random.randrange(1, 12)
    fill.replicated_job.max_concurrent = world.random.randrange(1, 5)
    everywhere.global_job.SetInParent()
    limited.replicated_job.total_completions = 5
    limited.task.restart.max_attempts = 2
    specs = [fill, everywhere, limited]
    for policy in CronJob.ConcurrencyPolicy.values():
        spec = a_spec(f"cron{policy}")
        spec.cron.schedule = "* * * * *"
        spec.cron.concurrency_policy = policy
        spec.cron.total_completions = 2
        spec.cron.max_concurrent = world.random.randrange(1, 3)
        specs.append(spec)
    return [new_service(spec.annotations.name, spec) for spec in specs]


class Watcher:
    """What must hold at every commit, as a manager that only follows sees it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run_of_time: dict[tuple[str, int], int] = {}
        self.commits = 0

    async def run(self) -> None:
        with self.world.stores[0].watch() as watch:
            async for commit in watch:
                self.commits += 1
                for event in commit.events:
                    if isinstance(event.object, Service) and isinstance(event.previous, Service):
                        self.check_service(event.previous, event.object)
                    elif isinstance(event.object, Task):
                        self.check_task(event.object)
                        self.check_concurrency(event.object.service_id)

    def check_service(self, before: Service, after: Service) -> None:
        old, new = before.job_status, after.job_status
        if new.iteration not in (old.iteration, old.iteration + 1):
            raise Broken(f"seed {self.world.seed}: {after.id} went from run {old} to {new}")
        forward = nanoseconds(new.last_run) >= nanoseconds(old.last_run)
        same = nanoseconds(new.last_run) == nanoseconds(old.last_run)
        if not forward or (after.spec.HasField("cron") and same and new.iteration != old.iteration):
            raise Broken(f"seed {self.world.seed}: {after.id} ran twice for one time: {old} {new}")

    def check_task(self, task: Task) -> None:
        """One time, one run, whoever leads."""
        if task.HasField("run_for"):
            key = task.service_id, nanoseconds(task.run_for)
            if self.run_of_time.setdefault(key, task.job_iteration) != task.job_iteration:
                raise Broken(f"two runs for one time\n{tell(self.world, [task])}")

    def check_concurrency(self, service_id: str) -> None:
        view = self.world.stores[0].view
        service = view.services.get(service_id)
        one = job.job_of(service.spec) if service is not None else None
        if one is None:
            return
        live: dict[int, list[Task]] = {}
        for task in view.tasks.by_service(service_id):
            if task.desired_state <= task_state.RUNNING and not task_state.is_done(task):
                live.setdefault(task.job_iteration, []).append(task)
        for tasks in live.values():
            if not one.is_global and len(tasks) > one.max_concurrent:
                raise Broken(f"too many tasks of one run live\n{tell(self.world, tasks)}")
            if len({(task.slot, task.node_id if not task.slot else "") for task in tasks}) != len(tasks):
                raise Broken(f"two tasks live in one place\n{tell(self.world, tasks)}")
        overlaps = one.cron is not None and one.cron.concurrency_policy == CronJob.CONCURRENCY_POLICY_ALLOW
        if len(live) > 1 and not overlaps:
            raise Broken(
                f"two runs go on\n{tell(self.world, [t for tasks in live.values() for t in tasks])}"
            )


def drain(world: World):
    """Return the change that drains a node, as the control API makes it."""

    def change(node: Node) -> None:
        node.spec.availability = DRAIN
        node.spec.drain_started_at.CopyFrom(timestamp(world.clock.now_ns()))

    return change


def activate(node: Node) -> None:
    node.spec.availability = ACTIVE
    node.spec.ClearField("drain_started_at")


async def trouble(world: World) -> None:
    """Leaders die, nodes go and come back, are drained and made active."""
    rng = world.random
    while True:
        await asyncio.sleep(rng.expovariate(1 / 8))
        node_id = rng.choice(sorted(world.agents))
        agent, action = world.agents[node_id], rng.random()
        if action < 0.35:
            await world.change_leader()
        elif action < 0.65:
            world.cut_off(node_id) if agent.reachable else world.reconnect(node_id)
        elif action < 0.8:
            agent.reboot()
        elif action < 0.9:
            await world.change_node(node_id, drain(world))
        else:
            await world.change_node(node_id, activate)


def unfinished(world: World) -> str:
    """Return what is not done although it should be; empty when all is."""
    for service in world.view.services:
        one = job.job_of(service.spec)
        if one is None or one.cron is not None:
            continue
        policy = job.restart_of(service.spec)
        tasks = [task for task in world.view.tasks.by_service(service.id) if job.of_last_run(service, task)]
        places = complete(slots_of(tasks)).values()
        done = [slot for slot in places if any(map(job.is_completed, slot.tasks))]
        over = [slot for slot in places if slot not in done and is_finished(slot, policy)]
        wanted = len(world.agents) if one.is_global else one.total
        if len(done) + len(over) != wanted or (over and not policy.max_attempts):
            return f"{service.id}: {len(done)} done, {len(over)} given up of {wanted}\n{tell(world, tasks)}"
    return ""


async def jobs_in_a_storm(world: World) -> None:
    for number in range(4):
        await world.add_node(f"n{number}")
    world.faults = Faults(proposal=0.03, crash=0.02, reject=0.02, hang=0.2, lose=0.05, repeat=0.1)
    watcher = Watcher(world)
    world.spawn(watcher.run())
    for service in the_jobs(world):
        await world.insist(lambda tx, s=service: None if s.id in tx.services else tx.create(s))
    troubles = world.spawn(trouble(world))
    await asyncio.sleep(STORM_S)
    troubles.cancel()
    await asyncio.wait([troubles])
    if world._leading.done():
        await world.change_leader()
    world.faults = Faults(crash=0.2)  # every task ends before long, well or not
    for node_id in sorted(world.agents):
        world.reconnect(node_id)
        await world.change_node(node_id, activate)
    if not await world.until(lambda: not unfinished(world), CALM_S):
        raise Broken(f"seed {world.seed}: {unfinished(world)}")
    await asyncio.sleep(120)
    before = world.view.services.get("cron0").job_status.iteration
    await asyncio.sleep(300)
    after = world.view.services.get("cron0").job_status
    assert after.iteration == before + 5, "in calm times no minute is left out"
    assert nanoseconds(after.next_run) - nanoseconds(after.last_run) == MINUTE_NS
    runs = {task.job_iteration for task in world.view.tasks.by_service("cron0")}
    assert len(runs) <= job.CRON_HISTORY + 2, f"old runs are forgotten: {runs}"
    assert len(watcher.run_of_time) > 10, "nothing ran"


@pytest.mark.parametrize("seed", SEEDS)
def test_jobs_end_and_no_time_of_a_cron_job_runs_twice_whoever_leads(seed: int) -> None:
    loop = VirtualLoop()
    run_virtually(World(seed, loop).run(jobs_in_a_storm), loop)


def running_slots(world: World) -> set[int]:
    tasks = world.stores[0].view.tasks.by_service("web")
    return {task.slot for task in tasks if task.status.state == task_state.RUNNING}


async def drains(world: World) -> None:
    """One node after another is drained, and leaders change while their tasks move."""
    for number in range(4):
        await world.add_node(f"n{number}")
    spec = a_spec("web")
    spec.replicated.replicas = 6
    await world.insist(lambda tx: tx.create(new_service("web", spec)))
    every = set(range(1, 7))
    assert await world.until(lambda: running_slots(world) == every, 60)

    async def never_fewer() -> None:
        with world.stores[0].watch() as watch:
            async for _ in watch:
                if running_slots(world) != every:
                    tasks = world.stores[0].view.tasks.by_service("web")
                    raise Broken(f"a slot runs nowhere\n{tell(world, list(tasks))}")

    guard = world.spawn(never_fewer())
    for node_id in sorted(world.agents):
        await world.change_node(node_id, drain(world))
        await asyncio.sleep(world.random.uniform(0, 1.5))
        await world.change_leader()

        def is_empty(node_id: str = node_id) -> bool:
            return all(map(task_state.is_done, world.view.tasks.by_node(node_id)))

        assert await world.until(is_empty, 60), f"{node_id} keeps its tasks"
        await world.change_node(node_id, activate)
    guard.cancel()
    assert len([t for t in world.view.tasks.by_service("web") if t.desired_state <= task_state.RUNNING]) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drain_leaves_no_slot_without_a_running_task_though_leaders_change(seed: int) -> None:
    loop = VirtualLoop()
    run_virtually(World(seed, loop).run(drains), loop)
