"""Services whose replicas follow their load, while leaders change, commits fail and samples are missing.

Each seed is one story; SWARM_SEEDS=N runs N more, SWARM_SEED=S only that one.
"""

import asyncio
import os
from collections.abc import Collection, Mapping
from math import ceil

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.clock import SECOND, Clock, timestamp
from swarm.manager.leading import Loop
from swarm.manager.orchestrator.autoscale.loop import AutoscaleLoop
from swarm.manager.orchestrator.autoscale.rules import TOLERANCE, Answer, Query
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from swarm.model.autoscale import autoscaling_of, parse_rule, set_by_hand, wanted_replicas
from swarm.model.service import new_service, replace_spec
from swarm.model.usage import Usage
from swarm.runtime.base import ContainerState
from tests.simulation.world.runtime import Faults
from tests.simulation.world.story import Broken, tell
from tests.simulation.world.workload import a_plain_node
from tests.simulation.world.world import World

SEEDS = (
    [int(os.environ["SWARM_SEED"])]
    if "SWARM_SEED" in os.environ
    else range(2 + int(os.environ.get("SWARM_SEEDS", "0")))
)
STORMY = Faults(proposal=0.05, crash=0.1, hang=0.2, lose=0.05, repeat=0.1)
STORM_S = 400.0
WINDOW_S = 60.0
CORE = 10**9
CPU_TARGET, QUERY_TARGET = 50, 100
QUERY = "prometheus=http://p|q"


class Load:
    """The work that there is for the services, and who can see it."""

    def __init__(self, world: "ScaledWorld") -> None:
        self._world = world
        self.cores = 2.0  # shared by the tasks of `web`
        self.queued = 200.0  # what the query of `queue` says
        self.blind: set[str] = set()  # nodes whose agents say nothing
        self.no_answers = False
        self.answers_since_s = 0.0  # or since when there are none

    def usage_of(self, task_id: str, now_s: float) -> Usage | None:
        world = self._world
        task = world.view.tasks.get(task_id)
        node = world.nodes.get(task.node_id) if task is not None else None
        if node is None or not node.online or node.id in self.blind:
            return None
        if now_s - world.leading_since_s < 7:  # a leader hears the first samples a moment later
            return None
        return Usage(min(1.0, self.cores / max(1, world.running("web"))) * CORE, 0)

    async def ask(self, queries: Collection[Query]) -> Mapping[Query, Answer]:
        await asyncio.sleep(self._world.random.uniform(0, 2))
        lost = Answer(problem="simulated: no answer")
        return dict.fromkeys(queries, lost if self.no_answers else Answer(self.queued))

    async def close(self) -> None:
        pass


class ScaledWorld(World):
    """A world whose leader scales, too."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.load = Load(self)
        self.leading_since_s = 0.0
        self.asked_since_s: dict[str, float] = {}  # since when the spec of a service is what it is

    def make_loops(self, store: Store, clock: Clock) -> tuple[Loop, ...]:
        self.leading_since_s = self.loop.time()
        return (*super().make_loops(store, clock), AutoscaleLoop(store, self.clock, self.load, self.load))

    def running(self, service_id: str) -> int:
        return sum(
            container.state is ContainerState.RUNNING and container.task.service_id == service_id
            for node in self.nodes.values()
            for container in node.runtime.containers.values()
        )


def now_of(world: World) -> Timestamp:
    return timestamp(world.clock.now_ns())


def a_spec(name: str, least: int, most: int, rule: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = "v1"
    spec.task.restart.delay_ns = SECOND
    spec.task.resources.reservations.nano_cpus = CORE if name == "web" else 0
    spec.replicated.SetInParent()
    spec.autoscale.replicas_min, spec.autoscale.replicas_max = least, most
    spec.autoscale.rules.append(parse_rule(rule))
    spec.autoscale.down_window_ns = int(WINDOW_S * SECOND)
    return spec


def watch_over(world: ScaledWorld) -> None:
    """Check every decision as it is committed."""

    def look(commit: Commit) -> None:
        for event in commit.events:
            if isinstance(event.object, Service) and isinstance(event.previous, Service):
                check(world, event.previous, event.object)

    world.on_commit.append(look)


def check(world: ScaledWorld, before: Service, after: Service) -> None:
    was, now = wanted_replicas(before), wanted_replicas(after)
    scaling = autoscaling_of(after.spec)
    assert scaling is not None
    story = f"{after.id}: {was} → {now}\n{after.autoscale_status}\n{tell(world, [])}"
    if not scaling.least <= now <= scaling.most or after.autoscale_status.replicas > scaling.most:
        raise Broken(f"outside of its bounds: {story}")
    if after.revision != before.revision:
        world.asked_since_s[after.id] = world.loop.time()
    elif now < was:
        since_s = max(world.leading_since_s, world.asked_since_s.get(after.id, 0.0))
        if world.loop.time() - since_s < WINDOW_S:
            raise Broken(f"nobody has seen a whole window: {story}")
        blind_s = world.loop.time() - world.load.answers_since_s
        if after.id == "queue" and world.load.no_answers and blind_s > 10:
            raise Broken(f"fewer replicas without an answer: {story}")


async def people_and_nature(world: ScaledWorld) -> None:
    rng = world.random
    while True:
        await asyncio.sleep(rng.expovariate(1 / 12))
        action, node_id = rng.random(), rng.choice(sorted(world.nodes))
        load = world.load
        if action < 0.3:
            load.cores, load.queued = rng.uniform(0, 6), rng.uniform(0, 1500)
        elif action < 0.45:
            load.blind.symmetric_difference_update({node_id})
        elif action < 0.55:
            load.no_answers, load.answers_since_s = not load.no_answers, world.loop.time()
        elif action < 0.75:
            await world.next_leader()
        elif action < 0.82:
            node = world.nodes[node_id]
            node.cut() if node.reachable else node.reconnect()
        elif action < 0.9:
            await by_hand(world, rng.choice(("web", "queue")), rng.randrange(2, 9))
        else:
            await reimage(world, rng.choice(("web", "queue")), rng.choice(("v1", "v2")))


async def change(world: ScaledWorld, service_id: str, edit) -> None:
    def write(tx: Transaction) -> None:
        service = copy_of(tx.services.get(service_id))
        spec = ServiceSpec()
        spec.CopyFrom(service.spec)
        edit(spec)
        replace_spec(service, spec, now_of(world))
        if spec.replicated.HasField("replicas") and spec.autoscale.scaled_by_hand:
            set_by_hand(service, now_of(world))
        tx.update(service)

    await world.insist(write)


async def by_hand(world: ScaledWorld, service_id: str, replicas: int) -> None:
    def edit(spec: ServiceSpec) -> None:
        spec.replicated.replicas = replicas
        spec.autoscale.scaled_by_hand += 1

    await change(world, service_id, edit)


async def reimage(world: ScaledWorld, service_id: str, image: str) -> None:
    def edit(spec: ServiceSpec) -> None:
        spec.task.container.image = image
        spec.autoscale.scaled_by_hand = 0

    await change(world, service_id, edit)


async def story(world: ScaledWorld) -> None:
    rng, load = world.random, world.load
    for number in range(4):
        await world.add_node(a_plain_node(f"n{number}", cpus=8))
    for service_id, least, most, rule in (
        ("web", 1, 12, f"cpu={CPU_TARGET}"),
        ("queue", 0, 9, f"{QUERY}={QUERY_TARGET}"),
    ):
        service = new_service(service_id, a_spec(service_id, least, most, rule))
        await world.insist(lambda tx, s=service: tx.create(s) if s.id not in tx.services else None)
    watch_over(world)
    world.faults = STORMY
    troubles = world.spawn(people_and_nature(world))
    await asyncio.sleep(STORM_S)
    troubles.cancel()
    world.faults, load.blind, load.no_answers = Faults(), set(), False
    for node in world.nodes.values():
        node.reconnect()
    for service_id in ("web", "queue"):
        await reimage(world, service_id, "good")
    load.cores, load.queued = rng.uniform(0, 5), rng.uniform(0, 800)
    await world.next_leader()
    await at_rest(world)
    load.cores, load.queued = 0.1, 0.0
    assert await world.until(lambda: (wanted(world, "web"), wanted(world, "queue")) == (1, 0), 600)
    load.queued = 500.0
    assert await world.until(lambda: wanted(world, "queue") == 5, 60)
    load.no_answers, load.queued, load.answers_since_s = True, 0.0, world.loop.time()
    await asyncio.sleep(2 * WINDOW_S)
    assert wanted(world, "queue") == 5, "nobody knows: it stays"


def wanted(world: ScaledWorld, service_id: str) -> int:
    return wanted_replicas(world.view.services.get(service_id))


async def at_rest(world: ScaledWorld) -> None:
    """Wait until the numbers fit the load and all tasks run; then nothing changes any more."""

    def fits() -> bool:
        web, queue = wanted(world, "web"), wanted(world, "queue")
        if [world.running("web"), world.running("queue")] != [web, queue]:
            return False
        cores = world.load.cores * 100 / CPU_TARGET
        return cores <= web * (1 + TOLERANCE) and ceil(world.load.queued / QUERY_TARGET - 0.9) <= queue

    if not await world.until(fits, 900):
        raise Broken(f"it does not come to rest: {tell(world, list(world.view.tasks))}")
    await asyncio.sleep(2 * WINDOW_S)
    rest = [wanted_replicas(service) for service in world.view.services]
    exact = max(1.0, world.load.cores * 100 / CPU_TARGET)
    web = wanted(world, "web")
    assert exact <= web * (1 + TOLERANCE) + 1e-6
    assert web <= max(ceil(exact), exact / (1 - TOLERANCE)) + 1e-6, "no more than needed"
    await asyncio.sleep(2 * WINDOW_S)
    assert [wanted_replicas(service) for service in world.view.services] == rest


@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_follow_the_load_whoever_leads(seed: int) -> None:
    ScaledWorld(seed).play(story)
