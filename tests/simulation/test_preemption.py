"""Preemption in virtual time: with faults, leaders that change in the middle, nodes that go and come back.

Each seed is one story. SWARM_SEEDS=N runs N more, SWARM_SEED=S only that one.
"""

import asyncio
import os
from collections import Counter

import pytest

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.clock import SECOND
from swarm.model import task_state
from swarm.model.service import new_service
from tests.simulation.world.placement import Placement
from tests.simulation.world.runtime import Faults
from tests.simulation.world.slots import Slots
from tests.simulation.world.story import tell
from tests.simulation.world.victims import Victims
from tests.simulation.world.workload import a_plain_node
from tests.simulation.world.world import World

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(2 + int(os.environ.get("SWARM_SEEDS", "0")))
)
CPUS = 4
NODES = ("n1", "n2", "n3")


def play(seed: int, scenario) -> None:
    World(seed).play(scenario)


def a_service(name: str, replicas: int, cpus: int, priority: int = 0, *, preempt: bool = False) -> Service:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = "v1"
    spec.task.restart.delay_ns = SECOND
    spec.task.resources.reservations.nano_cpus = cpus * 10**9
    spec.task.priority, spec.task.preempt = priority, preempt
    spec.replicated.replicas = replicas
    return new_service(name, spec)


async def create(world: World, service: Service) -> None:
    await world.insist(lambda tx: None if service.id in tx.services else tx.create(service))


def running(world: World) -> Counter[str]:
    return Counter(task.service_id for task in world.view.tasks if task_state.is_running(task))


def watch_all(world: World) -> dict[str, Task]:
    """Check everything at every commit; return who had to go so far."""
    slots, victims = Slots(world), Victims(world)
    world.on_commit += [Placement(world.view).check, slots.check, victims.check]
    world.on_start.append(slots.check_start)
    return victims.found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_urgent_ones_get_their_room_whoever_leads_and_the_others_come_back(seed: int) -> None:
    async def scenario(world: World) -> None:
        for node_id in NODES:
            await world.add_node(a_plain_node(node_id, cpus=CPUS))
        victims = watch_all(world)
        await create(world, a_service("low", 12, 1))
        assert await world.until(lambda: running(world)["low"] == 12, 120)
        world.faults = Faults(proposal=0.05, lose=0.05, repeat=0.1, hang=0.3)
        await create(world, a_service("high", 3, 2, 10, preempt=True))
        for _ in range(3):
            await asyncio.sleep(world.random.uniform(0.2, 3))
            await world.next_leader()
        world.faults = Faults()
        assert await world.until(lambda: running(world) == {"high": 3, "low": 6}, 300), running(world)
        assert 6 <= len(victims) <= 9, "each makes room for one cpu, and few go in vain"
        assert not world.view.tasks.nominated()
        await world.insist(lambda tx: tx.remove(tx.services.get("high")) if "high" in tx.services else None)
        assert await world.until(lambda: running(world) == {"low": 12}, 300)

    play(seed, scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_crashes_in_the_middle_is_replaced_by_room_elsewhere(seed: int) -> None:
    async def scenario(world: World) -> None:
        for node_id in NODES:
            await world.add_node(a_plain_node(node_id, cpus=CPUS))
        victims = watch_all(world)
        await create(world, a_service("low", 12, 1))
        assert await world.until(lambda: running(world)["low"] == 12, 120)
        world.faults = Faults(hang=0.9)
        await create(world, a_service("high", 2, CPUS, 10, preempt=True))
        assert await world.until(lambda: len(world.view.tasks.nominated()) == 2, 30)
        chosen = sorted(task.nomination.node_id for task in world.view.tasks.nominated())
        world.nodes[chosen[0]].cut()
        await asyncio.sleep(world.random.uniform(0, 3))
        await world.next_leader()
        assert await world.until(lambda: running(world)["high"] == 2, 300), tell(
            world, list(world.view.tasks.by_service("high"))
        )
        world.faults = Faults()
        used = {task.node_id for task in world.view.tasks.by_service("high") if task_state.is_running(task)}
        assert chosen[0] not in used
        world.nodes[chosen[0]].reconnect()
        assert await world.until(lambda: running(world) == {"high": 2, "low": 4}, 300), running(world)
        assert victims

    play(seed, scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_pushes_out_the_next_and_all_comes_to_rest(seed: int) -> None:
    """Everybody preempts, and there is room for half: who is left runs, and nothing goes on for ever."""

    async def scenario(world: World) -> None:
        for node_id in NODES:
            await world.add_node(a_plain_node(node_id, cpus=CPUS))
        victims = watch_all(world)
        names = {f"p{priority}": priority for priority in (1, 2, 3, 4, 5, 6)}
        order = sorted(names, key=lambda name: world.random.random())
        world.faults = Faults(proposal=0.03, lose=0.05, repeat=0.1, hang=0.2)
        for name in order:
            await create(world, a_service(name, 2, 2, names[name], preempt=True))
            await asyncio.sleep(world.random.uniform(0, 8))
            if world.random.random() < 0.3:
                await world.next_leader()
        world.faults = Faults()
        assert await world.until(lambda: running(world) == {"p6": 2, "p5": 2, "p4": 2}, 400), running(world)
        await asyncio.sleep(30)
        gone, written = len(victims), world.view.index
        await asyncio.sleep(600)
        assert running(world) == {"p6": 2, "p5": 2, "p4": 2}
        assert len(victims) == gone <= 2 * sum(range(6)) + 12
        assert world.view.index - written < 50, "somebody writes and writes"

    play(seed, scenario)
