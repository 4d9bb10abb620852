"""Rebalances in virtual time: with faults, leaders that change in the middle, nodes that flap.

Each seed is one story. SWARM_SEEDS=N runs N more, SWARM_SEED=S only that one.
"""

import asyncio
import os
from collections import Counter

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Rebalance
from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO, ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import SECOND, timestamp
from swarm.manager.planning.balance import plan_rebalance
from swarm.manager.planning.balance_loop import COOLDOWN_NS
from swarm.manager.planning.forecaster import look_ahead
from swarm.manager.planning.scratch import freeze
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from swarm.model import task_state
from swarm.model.service import is_moving, new_service, replace_spec, start_moving
from swarm.steps import complete
from tests.simulation.world.runtime import Faults
from tests.simulation.world.workload import a_plain_node
from tests.simulation.world.world import World
from tests.unit.planning.world import a_service_spec

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(1 + int(os.environ.get("SWARM_SEEDS", "0")))
)


def play(seed: int, scenario) -> None:
    World(seed).play(scenario)


def now_of(world: World) -> Timestamp:
    return timestamp(world.clock.now_ns())


def spread(world: World) -> dict[str, int]:
    running = Counter(task.node_id for task in world.view.tasks if task_state.is_running(task))
    return {node.id: running[node.id] for node in world.view.nodes}


def moves_of(world: World, service_id: str = "s") -> list[Rebalance.Move]:
    service = world.view.services.get(service_id)
    return list(complete(plan_rebalance(world.view, service, world.clock.now_ns())))


async def begin(world: World, moves: list[Rebalance.Move], service_id: str = "s") -> None:
    def write(tx: Transaction) -> None:
        current = tx.services.get(service_id)
        if current is not None and not is_moving(current):
            service = copy_of(current)
            start_moving(service, moves, timestamp(world.clock.now_ns()))
            tx.update(service)

    await world.insist(write)


async def crowd(world: World, replicas: int, **more: object) -> None:
    """Run a service on one node, then add two more."""
    await world.add_node(a_plain_node("n1", cpus=64))
    spec = a_service_spec(replicas=replicas, **more)
    spec.rebalance = more.get("rebalance", 0)
    service = new_service("s", spec)
    await world.insist(lambda tx: None if "s" in tx.services else tx.create(service))
    assert await world.until(lambda: sum(spread(world).values()) == replicas, 120)
    for node_id in ("n2", "n3"):
        await world.add_node(a_plain_node(node_id, cpus=64))


def count_running(world: World, least: list[int]) -> None:
    def count(_: Commit) -> None:
        least.append(sum(task.status.state == task_state.RUNNING for task in world.view.tasks))

    world.on_commit.append(count)


def rebalance_state(world: World) -> int:
    return world.view.services.get("s").rebalance.state


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_rebalance_goes_on_under_new_leaders_and_never_stops_more_than_it_may(
    seed: int, order: int
) -> None:
    async def scenario(world: World) -> None:
        await crowd(world, 9, order=order, parallelism=2)
        world.faults = Faults(proposal=0.05, lose=0.05, repeat=0.1, hang=0.2)
        least: list[int] = []
        count_running(world, least)
        await begin(world, moves_of(world))
        for _ in range(3):
            await asyncio.sleep(world.random.uniform(0.5, 4))
            await world.next_leader()
        assert await world.until(lambda: rebalance_state(world) == Rebalance.STATE_COMPLETED, 300)
        assert await world.until(lambda: sorted(spread(world).values()) == [3, 3, 3], 60)
        assert len([task for task in world.view.tasks if task.previous_task_id]) == 6
        assert moves_of(world) == []
        assert min(least) >= (9 if order else 7)

    play(seed, scenario)


def test_a_changed_service_stops_its_rebalance_cleanly() -> None:
    async def scenario(world: World) -> None:
        await crowd(world, 9, order=1)
        await begin(world, moves_of(world))
        await asyncio.sleep(0.5)
        assert rebalance_state(world) == Rebalance.STATE_MOVING

        def write(tx: Transaction) -> None:
            service = copy_of(tx.services.get("s"))
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            spec.task.container.image = "v2"
            replace_spec(service, spec, now_of(world))
            tx.update(service)

        await world.insist(write)
        assert await world.until(lambda: rebalance_state(world) == Rebalance.STATE_STOPPED, 30)
        await asyncio.sleep(60)
        assert sum(spread(world).values()) == 9
        assert {task.spec.container.image for task in world.view.tasks if task_state.is_running(task)} == {
            "v2"
        }

    play(1, scenario)


def test_a_task_that_fails_where_it_moved_to_stops_the_rebalance() -> None:
    async def scenario(world: World) -> None:
        await crowd(world, 6, order=1)
        world.faults = Faults(reject=1.0)
        await begin(world, moves_of(world))
        assert await world.until(lambda: rebalance_state(world) == Rebalance.STATE_STOPPED, 60)
        world.faults = Faults()
        assert "failed" in world.view.services.get("s").rebalance.message
        await asyncio.sleep(60)
        assert spread(world) == {"n1": 6, "n2": 0, "n3": 0}, "the old task stays when the new one fails"

    play(2, scenario)


def test_a_service_that_asks_for_it_is_balanced_by_itself_once_and_then_left_alone() -> None:
    async def scenario(world: World) -> None:
        await crowd(world, 6, rebalance=REBALANCE_MODE_AUTO)
        assert await world.until(lambda: sorted(spread(world).values()) == [2, 2, 2], 300)
        await asyncio.sleep(5)
        tasks = len(world.view.tasks)
        await asyncio.sleep(900)
        assert len(world.view.tasks) == tasks

    play(3, scenario)


def test_a_node_that_comes_and_goes_does_not_make_tasks_move_all_the_time() -> None:
    async def scenario(world: World) -> None:
        await crowd(world, 6, rebalance=REBALANCE_MODE_AUTO)
        story_s, until_s = 1200.0, world.loop.time() + 1200.0
        moves: set[str] = set()
        while world.loop.time() < until_s:
            for change in (world.nodes["n3"].cut, world.nodes["n3"].reconnect):
                change()
                await asyncio.sleep(40)
                moves |= {
                    task.id
                    for task in world.view.tasks
                    if any(status.message == "moved to balance" for status in task.history[:1])
                }
        assert len(moves) <= 4 * (1 + story_s * SECOND / COOLDOWN_NS)

    play(4, scenario)


def where(world: World) -> Counter[tuple[str, str]]:
    tasks = (task for task in world.view.tasks if task_state.is_running(task))
    return Counter((task.service_id, task.node_id) for task in tasks)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loops_of_a_leader_do_what_was_told(seed: int) -> None:
    """Where tasks lie the same, up to ties: each service runs as many, moves as many, and waits alike."""

    async def scenario(world: World) -> None:
        rng = world.random
        for number in range(4):
            await world.add_node(a_plain_node(f"n{number}", cpus=rng.randrange(2, 6)))
        for name in ("a", "b", "c"):
            spec = a_service_spec(name, replicas=rng.randrange(1, 6), cpus=1, order=rng.randrange(2))
            service = new_service(name, spec)
            await world.insist(lambda tx, s=service: None if s.id in tx.services else tx.create(s))
        await asyncio.sleep(120)
        for _ in range(6):
            change = a_change(world)
            told = ahead(world, change)
            before = where(world)
            await world.insist(change)
            await asyncio.sleep(200)
            after = where(world)
            gained = Counter({service.id: 0 for service in world.view.services})
            for step in told.steps:
                if step.kind in (step.KIND_START, step.KIND_STOP):
                    gained[step.service_id] += 1 if step.kind == step.KIND_START else -1
                elif step.kind == step.KIND_WAIT and step.task_id and not step.from_node_id:
                    gained[step.service_id] -= 1
            for service_id, number in gained.items():
                is_now = sum(count for (one, _), count in after.items() if one == service_id)
                was = sum(count for (one, _), count in before.items() if one == service_id)
                assert is_now - was == number, f"{service_id}: {told}"

    play(seed, scenario)


def ahead(world: World, change):
    """Return what would happen if `change` were made now."""
    frozen, now_ns = freeze(world.view), world.clock.now_ns()
    return complete(look_ahead(frozen, world.view.index, now_ns, lambda tx: change(tx) or ()))


def a_change(world: World):
    """Return something that somebody may want: scale, replace, drain or activate."""
    rng = world.random
    if rng.random() < 0.5:
        service = copy_of(world.view.services.get(rng.choice("abc")))
        replicas, again = rng.randrange(0, 8), rng.random() < 0.5

        def write(tx: Transaction) -> None:
            changed = copy_of(tx.services.get(service.id))
            spec = copy_of(changed).spec
            if again:
                spec.task.force_update += 1
            else:
                spec.replicated.replicas = replicas
            replace_spec(changed, spec, now_of(world))
            tx.update(changed)

        return write
    node_id, availability = f"n{rng.randrange(4)}", rng.choice((0, 2))

    def set_availability(tx: Transaction) -> None:
        node = copy_of(tx.nodes.get(node_id))
        node.spec.availability = availability
        node.spec.ClearField("drain_started_at")
        if availability == NodeAvailability.NODE_AVAILABILITY_DRAIN:
            node.spec.drain_started_at.CopyFrom(now_of(world))
        tx.update(node)

    return set_availability
