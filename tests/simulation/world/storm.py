"""One seed: a cluster, people and nature at work on it, then calm; and what must hold all the while.

`play(seed)` is the whole story of a seed, the same every time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO
from swarm.manager.store.store import Store
from swarm.manager.store.watch import Commit
from tests.simulation.world.jobs import Jobs
from tests.simulation.world.networks import Networks
from tests.simulation.world.people import People, make_active
from tests.simulation.world.placement import Placement
from tests.simulation.world.runtime import Faults
from tests.simulation.world.settled import Settled
from tests.simulation.world.slots import Slots
from tests.simulation.world.story import Broken
from tests.simulation.world.updates import Updates
from tests.simulation.world.victims import Victims
from tests.simulation.world.workload import Wishes, a_node, make_roomy, shrink
from tests.simulation.world.world import World

STORM_S = (15.0, 60.0)
CALM_S = 400.0  # within this everything is as it should be
QUIET_S = 20.0  # and then nothing changes for so long
NODES = (3, 7)
LOOK_AFTER_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What came of a seed."""

    seed: int
    lines: int  # of its story
    fingerprint: str
    judged_updates: int  # how often an update stopped what ran
    terms: int  # how many leaders there were


def play(seed: int, tell: Callable[[str], object] | None = None, feature: str = "") -> Outcome:
    """Play one seed; raises Broken, with the story, when an invariant does not hold.

    `tell` hears the whole story; `feature` is one that services have in any case.
    """
    world = World(seed)
    storm = Storm(world, feature)
    try:
        world.play(lambda _: storm.blow())
    except Exception as error:
        ids = [word.strip(",.:") for word in str(error).split()]
        replay = f"python -m tests.simulation --seed {seed} --trace tells everything"
        story = world.story.about(ids)
        raise Broken(f"seed {seed}: {error or type(error).__name__}\n{replay}\n{story}") from error
    finally:
        for line in world.story if tell is not None else ():
            tell(line)
    return Outcome(seed, len(world.story.lines), world.story.fingerprint(), storm.updates.judged, world.term)


class Storm:
    """The life of one world."""

    def __init__(self, world: World, feature: str) -> None:
        self.world = world
        rng = world.random
        self.people = People(world, Wishes(rng, feature))
        self.placement = Placement(world.view)
        self.slots = Slots(world)
        self.updates = Updates(world, self.slots)
        self.jobs = Jobs(world, self.slots)
        self.networks = Networks(world, self.people, wanted=feature == "network")
        self.settled = Settled(world, self.placement, self.networks)
        if self.networks.wanted:
            self.people.finish = self.networks.choose
            world.on_commit.append(self.networks.check)
            world.on_start.append(self.networks.check_start)
        world.on_commit += [self.placement.check, self.slots.check, self.updates.check, self.jobs.check]
        world.on_commit.append(Victims(world).check)
        world.on_start.append(self.slots.check_start)
        self._touched_s = 0.0  # when a task last changed that has no business to change by itself
        world.on_commit.append(self._note_change)
        # Which kinds of trouble this seed has, and how much.
        kinds = ("leader", "kill", "cut", "crash", "reboot", "remove", "shrink")
        self._troubles = rng.sample(kinds, rng.randrange(len(kinds)))
        self._pause_s = rng.choice((2.0, 4.0, 8.0))
        faults = ("proposal", "lose", "repeat", "crash", "reject", "hiccup", "slow", "hang")
        self._faults = {name: rng.choice((0.02, 0.1, 0.3)) for name in rng.sample(faults, rng.randrange(5))}

    async def blow(self) -> None:
        """Live through all of it."""
        world, rng = self.world, self.world.random
        for number in range(rng.randrange(NODES[0], NODES[1] + 1)):
            await world.add_node(a_node(rng, number))
        await self.networks.begin()
        for _ in range(rng.randrange(1, 4)):
            await self.people.create()
        if rng.random() < 0.7:
            await asyncio.sleep(4 * rng.random())
        world.faults = Faults(**self._faults)
        world.tell(f"the storm begins: {self._troubles}, {self._faults}")
        trouble = [world.spawn(self.people.bother(self._pause_s))]
        if self.networks.wanted:
            trouble.append(world.spawn(self.networks.bother(2 * self._pause_s)))
        if self._troubles:
            trouble.append(world.spawn(self._trouble()))
        await asyncio.sleep(rng.uniform(*STORM_S))
        for task in trouble:
            task.cancel()
        await asyncio.wait(trouble)
        await self._calm_down()
        await self._wait_until_settled()
        self._check_copies()

    # Nature.

    async def _trouble(self) -> None:
        world, rng = self.world, self.world.random
        while True:
            await asyncio.sleep(rng.expovariate(1 / self._pause_s))
            kind = rng.choice(self._troubles)
            node = world.nodes[rng.choice(sorted(world.nodes))]
            if kind == "leader":
                world.change_leader()
            elif kind == "kill":
                self._kill_soon(rng.randrange(1, 8))
            elif kind == "remove":
                if len(world.nodes) > NODES[0]:
                    await self.people.remove_node(node.id)
            elif kind == "shrink":
                await world.try_to(lambda tx, node_id=node.id: shrink(tx, node_id))
            elif kind == "cut":
                world.tell(f"{node.id} is cut off" if node.reachable else f"{node.id} is back")
                node.cut() if node.reachable else node.reconnect()
            elif not node.up:
                keeping = kind == "crash"
                world.tell(f"{node.id} starts, {'with' if keeping else 'without'} its containers")
                node.start(keeping_containers=keeping)
            else:
                world.tell(f"{node.id} crashes")
                node.crash()

    def _kill_soon(self, commits: int) -> None:
        """Have the leader die right after so many commits."""
        left = [commits]

        def dies(commit: Commit) -> bool:
            left[0] -= 1
            return left[0] == 0

        self.world.kill_after = dies

    # Calm.

    async def _calm_down(self) -> None:
        """End all faults and wrong wishes; one node may stay away for good."""
        world, rng = self.world, self.world.random
        world.faults = Faults()
        world.kill_after = lambda commit: False
        await world.next_leader()  # what people did last came true, or never will
        if rng.random() < 0.3:
            self._kill_soon(rng.randrange(1, 40))
        roomy = rng.random() < 0.6
        lost = rng.choice((None, *sorted(world.nodes))) if len(world.nodes) > 2 else None
        world.tell(f"calm; {lost} stays away")
        for node_id in sorted(world.nodes):
            await self.people.change_node(node_id, make_active, insist=True)
            if roomy:
                await world.insist(lambda tx, node_id=node_id: make_roomy(tx, node_id))
            node = world.nodes[node_id]
            if node_id == lost:
                node.cut()
                continue
            if not node.up:
                node.start(keeping_containers=True)
            if not node.reachable:
                node.reconnect()
        for service in tuple(world.view.services):
            await self._end_wrong_wishes(service)
        await self.networks.calm_down()

    async def _end_wrong_wishes(self, service: Service) -> None:
        image = "job" if Wishes.is_job(service.spec) else "good"
        while True:
            await self.people.change_one(
                service.id, lambda spec: setattr(spec.task.container, "image", image)
            )
            now = self.world.view.services.get(service.id)
            if now is None or now.spec.task.container.image == image:
                return
            await asyncio.sleep(0.3)

    async def _wait_until_settled(self) -> None:
        world, deadline_s = self.world, self.world.loop.time() + CALM_S
        problem = self.settled.problem()
        while problem or world.loop.time() - self._touched_s < QUIET_S:
            if world.loop.time() > deadline_s:
                raise Broken(f"it does not settle: {problem or 'something changes all the time'}")
            await asyncio.sleep(LOOK_AFTER_S)
            for service in tuple(world.view.services):
                await self.people.look_after(service)
            problem = self.settled.problem()

    def _note_change(self, commit: Commit) -> None:
        services = self.world.view.services
        for event in commit.events:
            if isinstance(event.object, Task | Node):
                service = services.get(event.object.service_id) if isinstance(event.object, Task) else None
                if service is None or not (
                    service.id in self.settled.hampered
                    or service.spec.HasField("cron")
                    or service.spec.rebalance == REBALANCE_MODE_AUTO
                ):
                    self._touched_s = self.world.loop.time()

    def _check_copies(self) -> None:
        """What the leader made of a snapshot and what followed is what a follower made of the whole log."""
        stores: list[Store] = [self.world._leader, self.world.follower]
        one, other = (
            {
                type(obj).__name__ + obj.id: obj
                for table in ("nodes", "services", "tasks", "networks")
                for obj in getattr(store.view, table)
            }
            for store in stores
        )
        if one != other:
            raise Broken("the leader and a follower do not have the same state")
