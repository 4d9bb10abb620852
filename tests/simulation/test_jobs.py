"""Jobs, cron jobs and drains, run by the real decision code in virtual time while leaders change and die.

Each seed is one story; SWARM_SEEDS=N runs N more, SWARM_SEED=S only that one.
"""

import asyncio
import os

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import CronJob, NodeSpec, ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import nanoseconds
from swarm.manager.orchestrator.restart import is_finished
from swarm.manager.orchestrator.slots import slots_of
from swarm.manager.store.watch import Commit
from swarm.model import job, task_state
from swarm.model.service import new_service
from swarm.steps import complete
from tests.simulation.world.jobs import Jobs
from tests.simulation.world.people import People, make_active
from tests.simulation.world.runtime import Faults
from tests.simulation.world.slots import Slots
from tests.simulation.world.story import Broken, tell
from tests.simulation.world.workload import Wishes, a_plain_node
from tests.simulation.world.world import World

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(3 + int(os.environ.get("SWARM_SEEDS", "0")))
)
STORM_S, CALM_S = 300.0, 900.0
MINUTE_NS = 60 * 10**9


def a_spec(name: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = "web" if name == "web" else "flaky"
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


def drain(spec: NodeSpec) -> None:
    spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN


async def trouble(world: World, people: People) -> None:
    """Leaders die, nodes go and come back, are drained and made active."""
    rng = world.random
    while True:
        await asyncio.sleep(rng.expovariate(1 / 8))
        node_id = rng.choice(sorted(world.nodes))
        node, action = world.nodes[node_id], rng.random()
        if action < 0.35:
            await world.next_leader()
        elif action < 0.65:
            node.cut() if node.reachable else node.reconnect()
        elif action < 0.8:
            node.crash()
            node.start(keeping_containers=False)
        elif action < 0.9:
            await people.change_node(node_id, drain, insist=True)
        else:
            await people.change_node(node_id, make_active, insist=True)


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
        wanted = len(world.nodes) if one.is_global else one.total
        if len(done) + len(over) != wanted or (over and not policy.max_attempts):
            return f"{service.id}: {len(done)} done, {len(over)} given up of {wanted}\n{tell(world, tasks)}"
    return ""


async def jobs_in_a_storm(world: World) -> None:
    people, slots = People(world, Wishes(world.random)), Slots(world)
    jobs = Jobs(world, slots)
    for number in range(4):
        await world.add_node(a_plain_node(f"n{number}"))
    world.faults = Faults(proposal=0.03, reject=0.1, hang=0.2, lose=0.05, repeat=0.1)
    world.on_commit += [slots.check, jobs.check]
    for service in the_jobs(world):
        await world.insist(lambda tx, s=service: None if s.id in tx.services else tx.create(s))
    troubles = world.spawn(trouble(world, people))
    await asyncio.sleep(STORM_S)
    troubles.cancel()
    await asyncio.wait([troubles])
    world.faults = Faults()
    for node_id in sorted(world.nodes):
        if not world.nodes[node_id].reachable:
            world.nodes[node_id].reconnect()
        await people.change_node(node_id, make_active, insist=True)
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
    assert len(jobs.run_of_time) > 10, "nothing ran"


@pytest.mark.parametrize("seed", SEEDS)
def test_jobs_end_and_no_time_of_a_cron_job_runs_twice_whoever_leads(seed: int) -> None:
    World(seed).play(jobs_in_a_storm)


def running_slots(world: World) -> set[int]:
    tasks = world.view.tasks.by_service("web")
    return {task.slot for task in tasks if task.status.state == task_state.RUNNING}


async def drains(world: World) -> None:
    """One node after another is drained, and leaders change while their tasks move."""
    for number in range(4):
        await world.add_node(a_plain_node(f"n{number}"))
    spec = a_spec("web")
    spec.replicated.replicas = 6
    await world.insist(lambda tx: tx.create(new_service("web", spec)))
    every = set(range(1, 7))
    assert await world.until(lambda: running_slots(world) == every, 60)

    def never_fewer(_: Commit) -> None:
        if running_slots(world) != every:
            tasks = world.view.tasks.by_service("web")
            raise Broken(f"a slot runs nowhere\n{tell(world, list(tasks))}")

    world.on_commit.append(never_fewer)
    people = People(world, Wishes(world.random))
    for node_id in sorted(world.nodes):
        await people.change_node(node_id, drain, insist=True)
        await asyncio.sleep(world.random.uniform(0, 1.5))
        await world.next_leader()

        def is_empty(node_id: str = node_id) -> bool:
            return all(map(task_state.is_done, world.view.tasks.by_node(node_id)))

        assert await world.until(is_empty, 60), f"{node_id} keeps its tasks"
        await people.change_node(node_id, make_active, insist=True)
    assert len([t for t in world.view.tasks.by_service("web") if t.desired_state <= task_state.RUNNING]) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drain_leaves_no_slot_without_a_running_task_though_leaders_change(seed: int) -> None:
    World(seed).play(drains)
