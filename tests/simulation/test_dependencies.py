"""Services that depend on others: their first deploy, full outages, and leaders that change in the middle.

Each seed is one story; SWARM_SEEDS=N runs N more, SWARM_SEED=S only that one.
"""

import asyncio
import os

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.dependencies import COMPLETED, HEALTHY, STARTED, Gate, unmet
from swarm.model.job import is_completed
from swarm.model.service import new_service
from swarm.runtime.base import ContainerState
from tests.simulation.world.node import SimNode
from tests.simulation.world.runtime import Faults
from tests.simulation.world.story import Broken, tell
from tests.simulation.world.workload import a_plain_node
from tests.simulation.world.world import World

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(3 + int(os.environ.get("SWARM_SEEDS", "0")))
)
NEEDS = {"setup": {}, "db": {"setup": COMPLETED}, "web": {"db": HEALTHY}, "front": {"web": STARTED}}
REPLICAS = {"db": 2, "web": 3}


def a_spec(name: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = "job" if name == "setup" else "good"
    if name == "setup":
        spec.replicated_job.total_completions = 2
    elif name == "front":
        getattr(spec, "global").SetInParent()
    else:
        spec.replicated.replicas = REPLICAS[name]
    for needed, condition in NEEDS[name].items():
        spec.depends_on.add(service=needed, condition=condition)
    return spec


def running_of(world: World, name: str) -> list[tuple[SimNode, Task]]:
    """Which containers of a service run, whatever the store believes."""
    return [
        (node, container.task)
        for node in world.nodes.values()
        for container in node.runtime.containers.values()
        if container.task.service_id == name and container.state is ContainerState.RUNNING
    ]


def containers(world: World, name: str) -> int:
    """How many slots of a service have a container that runs."""
    return len({(task.slot, "" if task.slot else task.node_id) for _, task in running_of(world, name)})


def watch_starts(world: World, started: list[str]) -> None:
    """Break when the first container of a service that is down starts before what it depends on is there."""

    def check(_: SimNode, task: Task) -> None:
        name = task.service_id
        started.append(name)
        running = {one: containers(world, one) for one in NEEDS}
        running[name] -= 1  # itself
        if running[name]:
            return
        # A task of the job whose container is forgotten has completed nevertheless.
        done = {one.slot for one in world.view.tasks.by_service("setup") if is_completed(one)}
        holds = {
            "setup": True,
            "db": len(done) == 2,
            "web": running["db"] == REPLICAS["db"],
            "front": running["web"] >= 1,
        }
        if not holds[name]:
            raise Broken(
                f"seed {world.seed}: {name} starts too early\n{tell(world, list(world.view.tasks))}"
            )

    world.on_start.append(check)


def is_all_up(world: World) -> bool:
    running = {name: containers(world, name) for name in NEEDS}
    return (running["db"], running["web"], running["front"]) == (2, 3, len(world.nodes))


async def deploy(world: World) -> list[str]:
    """Create the services in any order, while leaders change; return the containers started, in order."""
    started: list[str] = []
    for number in range(3):
        await world.add_node(a_plain_node(f"n{number}", cpus=16))
    watch_starts(world, started)
    for name in world.random.sample(sorted(NEEDS), len(NEEDS)):
        service = new_service(name, a_spec(name))
        await world.insist(
            lambda tx, service=service: tx.create(service) if service.id not in tx.services else None
        )
        await asyncio.sleep(world.random.uniform(0, 2))
        if world.random.random() < 0.5:
            await world.next_leader()
    if not await world.until(lambda: is_all_up(world), 300):
        raise Broken(f"seed {world.seed}: not deployed\n{tell(world, list(world.view.tasks))}")
    return started


async def outage(world: World, *, with_managers: bool) -> None:
    """Every container dies; nodes come back one after another, and tell what became of their tasks."""
    for node in world.nodes.values():
        node.crash()
    if with_managers:
        await world.next_leader()
    for node_id in world.random.sample(sorted(world.nodes), len(world.nodes)):
        await asyncio.sleep(world.random.choice((0.1, 1, 8)))
        world.nodes[node_id].start(keeping_containers=False)


async def deploys_and_outages(world: World) -> None:
    world.faults = Faults(proposal=0.03, hang=0.2, repeat=0.1)
    started = await deploy(world)
    first = list(dict.fromkeys(started))
    assert first == ["setup", "db", "web", "front"]
    world.faults = Faults()
    for with_managers in (True, False, True):
        started.clear()
        await outage(world, with_managers=with_managers)
        if not await world.until(lambda: is_all_up(world), 300):
            raise Broken(f"seed {world.seed}: not up again\n{tell(world, list(world.view.tasks))}")
        assert "setup" not in started, "what has completed is not done again"
        assert {"db", "web", "front"} <= set(started)
        await asyncio.sleep(world.random.uniform(0, 20))


@pytest.mark.parametrize("seed", SEEDS)
def test_services_start_after_what_they_depend_on_also_after_outages_whoever_leads(seed: int) -> None:
    World(seed).play(deploys_and_outages)


async def scale(world: World, name: str, replicas: int) -> None:
    def write(tx: Transaction) -> None:
        service = copy_of(tx.services.get(name))
        service.spec.replicated.replicas = replicas
        tx.update(service)

    await world.insist(write)


def crash(world: World, name: str, most: int) -> None:
    for node, task in running_of(world, name)[:most]:
        node.end(task.id, exit_code=1)


async def a_dependency_goes_away(world: World) -> None:
    await deploy(world)
    world.on_start.clear()
    before = {task.id for task in world.view.tasks.by_service("web")}
    await scale(world, "db", 0)
    assert await world.until(lambda: not containers(world, "db"), 60)
    await asyncio.sleep(60)
    await world.next_leader()
    assert {task.id for task in world.view.tasks.by_service("web")} == before, "what runs goes on"
    crash(world, "web", 1)
    assert await world.until(lambda: containers(world, "web") == 2, 10)
    assert await world.until(lambda: containers(world, "web") == 3, 60)
    crash(world, "web", 3)
    await asyncio.sleep(120)
    assert not containers(world, "web")
    waiting = [one for one in world.view.tasks.by_service("web") if one.status.state == task_state.NEW]
    assert len(waiting) == 3
    hold = Gate(look_at(world.view), world.clock.now_ns()).hold(waiting[0])
    assert hold is not None
    assert "for service db to be healthy" in hold.reason
    if world.seed % 2:  # it comes back
        await scale(world, "db", 2)
        assert await world.until(lambda: is_all_up(world), 60)
    else:  # it does not, and in the end the service tries without it
        assert await world.until(lambda: containers(world, "web") == 3, 900)
        assert unmet(world.view.services.get("web").spec.depends_on[0], look_at(world.view))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_runs_goes_on_without_its_dependency_and_replacements_do_not_wait_for_ever(seed: int) -> None:
    World(seed).play(a_dependency_goes_away)
