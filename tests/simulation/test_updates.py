"""Updates whose leaders die at any commit: they end at the wanted spec or the one before, never in between.

Each seed is one update: its settings, whether its image can run, who dies after which commit, and what an
operator does about pauses and canaries. SWARM_SEEDS=N runs N more seeds, SWARM_SEED=S only that one.
"""

import asyncio
import itertools
import os
from dataclasses import dataclass

import pytest

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateConfig, UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from swarm.model import defaults, rollout, task_state
from swarm.model.service import new_service, replace_spec, roll_back
from tests.simulation.world.runtime import Faults
from tests.simulation.world.slots import Slots
from tests.simulation.world.story import Broken, tell
from tests.simulation.world.workload import a_plain_node
from tests.simulation.world.world import World

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(60 + int(os.environ.get("SWARM_SEEDS", "0")))
)
NODES = 4
KILLS_MAX = 4
KILL_WITHIN = 60  # commits after the update began
PATIENCE = 2  # pauses that the operator resumes before going back
END_S = 900.0


@dataclass
class Story:
    """What a seed makes happen."""

    wanted: str  # image; `bad` cannot run
    crashes: bool
    kills: set[int]
    steady: bool = True  # nothing but the update changes tasks, so its limits can be checked


def spec_of(world: World) -> ServiceSpec:
    rng = world.random
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "v1"
    spec.task.container.stop_grace_period_ns = SECOND
    spec.task.restart.delay_ns = rng.choice((0, 1)) * SECOND
    if rng.random() < 0.25:
        getattr(spec, "global").SetInParent()
    else:
        spec.replicated.replicas = rng.randrange(2, 7)
    for config in (spec.update, spec.rollback):
        config.parallelism = rng.choice((0, 1, 2))
        config.delay_ns = rng.choice((0, 0, 1)) * SECOND
        config.monitor_ns = rng.choice((0, 2, 5)) * SECOND
        config.failure_action = rng.randrange(3)
        config.max_failure_ratio = rng.choice((0.0, 0.5))
        config.order = rng.randrange(2)
    if spec.rollback.failure_action == UpdateConfig.FAILURE_ACTION_ROLLBACK:
        spec.rollback.failure_action = UpdateConfig.FAILURE_ACTION_PAUSE
    if rng.random() < 0.6:
        spec.update.canary = rng.choice((1, 2))
    return spec


def service_of(world: World) -> Service:
    service = world.view.services.get("s")
    assert service is not None
    return service


def live_of(world: World) -> list[Task]:
    return [task for task in world.view.tasks.by_service("s") if task.desired_state <= task_state.RUNNING]


def places_of(service: Service) -> int:
    return NODES if defaults.is_global(service.spec) else defaults.replicas(service.spec)


def all_run(world: World) -> bool:
    live = live_of(world)
    return len(live) == places_of(service_of(world)) and all(map(task_state.is_running, live))


async def change(world: World, edit) -> None:
    def write(tx: Transaction) -> None:
        service = copy_of(tx.services.get("s"))
        edit(service)
        tx.update(service)

    await world.insist(write)


def now_of(world: World):
    return timestamp(world.clock.now_ns())


def reimage(world: World, service: Service, image: str) -> None:
    if service.spec.task.container.image == image:
        return  # the write came true although it was not known to
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    spec.task.container.image = image
    replace_spec(service, spec, now_of(world))


def kill_leaders(world: World, story: Story) -> None:
    """Let the leader die right after the commits that the story names."""
    commits = itertools.count(1)
    world.kill_after = lambda _: next(commits) in story.kills


async def operate(world: World, story: Story) -> None:
    """Do what somebody does who looks at the service now and then."""
    resumed = 0
    while True:
        await asyncio.sleep(world.random.uniform(5, 15))
        state = service_of(world).update_status.state
        if state == UpdateStatus.STATE_CANARY:
            act = promote if world.random.random() < 0.7 else go_back
        elif state in rollout.PAUSED:
            resumed += 1
            rolls_back = state == UpdateStatus.STATE_ROLLBACK_PAUSED
            act = resume if rolls_back or resumed <= PATIENCE else go_back
        elif state == UpdateStatus.STATE_UPDATING and story.wanted == "v2" and world.random.random() < 0.05:
            act = pause
        else:
            continue
        await change(world, lambda service, act=act: act(world, service))


def promote(world: World, service: Service) -> None:
    if service.update_status.state == UpdateStatus.STATE_CANARY:
        rollout.promote(service)


def pause(world: World, service: Service) -> None:
    if rollout.is_unfinished(service.update_status):
        rollout.pause(service)


def resume(world: World, service: Service) -> None:
    if service.update_status.state in rollout.PAUSED:
        rollout.resume(service, now_of(world))


def go_back(world: World, service: Service) -> None:
    if service.spec.task.container.image != "v1":
        roll_back(service, now_of(world), "asked for", keep_previous=True)


def watch_limits(world: World, story: Story) -> None:
    """Check at every commit that the update keeps to its parallelism, its order and its canaries."""

    def check(_: Commit) -> None:
        service = service_of(world)
        status = service.update_status
        if status.state in rollout.PAUSED:
            story.steady = False  # what is resumed may find more slots begun than it would have
        if story.steady and status.state in (UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_CANARY):
            check_limits(world, service)

    world.on_commit.append(check)


def check_limits(world: World, service: Service) -> None:
    view = world.view
    config = defaults.update(service.spec)
    tasks = view.tasks.by_service("s")
    live = [task for task in tasks if task.desired_state <= task_state.RUNNING]
    new = [task for task in live if task.spec_version == service.spec_version]
    in_flight = [task for task in new if task.status.state < task_state.RUNNING]
    if config.parallelism and len(in_flight) > config.parallelism:
        raise Broken(f"more than {config.parallelism} slots are in flight\n{tell(world, in_flight)}")
    if config.canary and not service.update_status.promoted and len(new) > config.canary:
        raise Broken(f"more than {config.canary} canaries\n{tell(world, new)}")
    running = sum(map(task_state.is_running, tasks))
    if config.order == UpdateConfig.ORDER_START_FIRST and running < places_of(service):
        raise Broken(f"start-first, and only {running} run\n{tell(world, list(tasks))}")


def at_rest(world: World) -> str:
    """Return what is not as it should be at the end, empty when all is well."""
    service = service_of(world)
    status = service.update_status
    word = f"{UpdateStatus.State.Name(status.state)}: {status.message}"
    live = live_of(world)
    if rollout.is_unfinished(status):
        return f"the update is {word}\n{tell(world, live)}"
    image = service.spec.task.container.image
    if any(task.spec.container.image != image for task in live):
        return f"the specs are mixed, {word}\n{tell(world, live)}"
    if len(live) != places_of(service):
        return f"{len(live)} tasks\n{tell(world, live)}"
    if image != "bad" and not all_run(world):
        return f"not all run\n{tell(world, live)}"
    return ""


async def one_update(world: World) -> None:
    rng = world.random
    for number in range(NODES):
        await world.add_node(a_plain_node(f"n{number}", cpus=64))
    spec = spec_of(world)
    await world.insist(lambda tx: None if "s" in tx.services else tx.create(new_service("s", spec)))
    assert await world.until(lambda: all_run(world), 120)
    crashes = rng.random() < 0.2
    story = Story(
        wanted=rng.choice(("v2", "v2", "v2", "bad")),
        crashes=crashes,
        kills={rng.randrange(1, KILL_WITHIN) for _ in range(rng.randrange(1, KILLS_MAX + 1))},
        steady=not crashes,
    )
    story.steady = story.steady and story.wanted != "bad"
    slots = Slots(world)
    world.on_commit.append(slots.check)
    world.on_start.append(slots.check_start)
    kill_leaders(world, story)
    watch_limits(world, story)
    world.faults = Faults(proposal=0.05, crash=0.3 if crashes else 0.0, lose=0.02, repeat=0.05)
    await change(world, lambda service: reimage(world, service, story.wanted))
    operator = world.spawn(operate(world, story))
    await asyncio.sleep(30)
    world.faults = Faults()
    await world.until(lambda: not at_rest(world), END_S)
    operator.cancel()
    problem = at_rest(world)
    if problem:
        raise Broken(f"seed {world.seed}, {story}: {problem}\n{spec}")
    service = service_of(world)
    image = service.spec.task.container.image
    assert image in {"v1", story.wanted}
    assert [one.revision for one in service.revisions][:1] == [1], "nothing was forgotten on the way"
    await asyncio.sleep(30)
    assert not at_rest(world), f"seed {world.seed}: it was at rest, and then changed: {at_rest(world)}"


@pytest.mark.parametrize("seed", SEEDS)
def test_an_update_ends_at_the_wanted_or_the_previous_spec_whenever_leaders_die(seed: int) -> None:
    World(seed).play(one_update)
