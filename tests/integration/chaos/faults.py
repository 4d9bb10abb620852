"""What can be done to managers: each fault takes its time, and `World.heal` makes everything well again."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from swarm.dev import client, processes
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from swarm.errors import SwarmError
from swarm.runtime.processes import Process
from tests.integration.chaos import cuts

KILL_WAIT_S = 60.0
FLAP_S = 0.1
ASK_S = 2.0


class World:
    """The managers of a cluster, as somebody with root on the machine can hurt them."""

    def __init__(self, cluster: DevCluster, choice: random.Random) -> None:
        self.cluster = cluster
        self.plan = cluster.plan
        self.choice = choice
        self.managers: Sequence[Node] = [node for node in cluster.plan.nodes if node.is_manager]

    def any(self) -> Node:
        return self.choice.choice(self.managers)

    def others(self, node: Node) -> list[Node]:
        return [other for other in self.managers if other != node]

    async def leader(self) -> Node:
        """The manager that leads by the word of one that answers; any, when none knows."""
        for asked in self.choice.sample(self.managers, len(self.managers)):
            with contextlib.suppress(SwarmError):
                for node in await asyncio.to_thread(client.nodes, asked):
                    if node.manager_status.leader:
                        return self.cluster.node(node.description.hostname)
        return self.any()

    async def follower(self) -> Node:
        return self.choice.choice(self.others(await self.leader()))

    async def signal(self, nodes: Collection[Node], number: int) -> None:
        """Send a signal to all of them at the same moment, as nearly as one process can."""
        await asyncio.to_thread(self._signal, nodes, number)

    def _signal(self, nodes: Collection[Node], number: int) -> None:
        pids = processes.find(self.plan)
        opened = [Process.open(pids[node.name]) for node in nodes if node.name in pids]
        targets = [process for process in opened if process is not None]
        for process in targets:
            process.send(number)
        for process in targets:
            if number == signal.SIGKILL and not process.ends_within(KILL_WAIT_S):
                raise TimeoutError(f"process {process.pid} survived SIGKILL")
            process.close()

    async def cut(self, pairs: Collection[tuple[Node, Node]]) -> None:
        """Let exactly these links carry nothing, each from its first to its second node."""
        await asyncio.to_thread(cuts.make, self.plan, pairs)

    async def heal(self) -> None:
        """Everything runs and every link works."""
        await self.cut(())
        await self.signal(self.managers, signal.SIGCONT)
        running = await asyncio.to_thread(processes.find, self.plan)
        absent = [node for node in self.managers if node.name not in running]
        await asyncio.gather(*(asyncio.to_thread(self.cluster.start, node.name) for node in absent))


Fault = Callable[[World, float], Awaitable[None]]  # for so many seconds


async def kill_leader(world: World, seconds: float) -> None:
    await world.signal([await world.leader()], signal.SIGKILL)
    await asyncio.sleep(seconds)


async def kill_follower(world: World, seconds: float) -> None:
    await world.signal([await world.follower()], signal.SIGKILL)
    await asyncio.sleep(seconds)


async def kill_leader_and_start_it_at_once(world: World, seconds: float) -> None:
    await world.signal([await world.leader()], signal.SIGKILL)
    await world.heal()
    await asyncio.sleep(seconds)


async def kill_all(world: World, seconds: float) -> None:
    await world.signal(world.managers, signal.SIGKILL)
    await asyncio.sleep(seconds / 4)  # nobody can do anything meanwhile


async def kill_all_one_by_one(world: World, seconds: float) -> None:
    for node in world.choice.sample(world.managers, len(world.managers)):
        await world.signal([node], signal.SIGKILL)
        await asyncio.sleep(seconds / len(world.managers))
        await world.heal()


async def suspend_leader(world: World, seconds: float) -> None:
    await world.signal([await world.leader()], signal.SIGSTOP)
    await asyncio.sleep(seconds)


async def suspend_follower(world: World, seconds: float) -> None:
    await world.signal([await world.follower()], signal.SIGSTOP)
    await asyncio.sleep(seconds)


async def suspend_all(world: World, seconds: float) -> None:
    await world.signal(world.managers, signal.SIGSTOP)
    await asyncio.sleep(seconds / 2)


async def stall_leader_again_and_again(world: World, seconds: float) -> None:
    """Stalls shorter than an election, and some longer."""
    leader, end = await world.leader(), time.monotonic() + seconds
    while time.monotonic() < end:
        await world.signal([leader], signal.SIGSTOP)
        await asyncio.sleep(world.choice.uniform(0.1, 1.0))
        await world.signal([leader], signal.SIGCONT)
        await asyncio.sleep(world.choice.uniform(0.05, 0.3))


async def isolate_leader(world: World, seconds: float) -> None:
    leader = await world.leader()
    await world.cut(cuts.apart([leader], world.others(leader)))
    await asyncio.sleep(seconds)


async def isolate_follower(world: World, seconds: float) -> None:
    node = await world.follower()
    await world.cut(cuts.apart([node], world.others(node)))
    await asyncio.sleep(seconds)


async def isolate_everybody(world: World, seconds: float) -> None:
    await world.cut(cuts.alone(world.managers))
    await asyncio.sleep(seconds / 2)


async def split_leader_into_minority(world: World, seconds: float) -> None:
    leader = await world.leader()
    minority = [leader, *world.choice.sample(world.others(leader), len(world.managers) // 2 - 1)]
    await world.cut(cuts.apart(minority, [node for node in world.managers if node not in minority]))
    await asyncio.sleep(seconds)


async def cut_one_link_of_leader(world: World, seconds: float) -> None:
    leader = await world.leader()
    await world.cut(cuts.apart([leader], [world.choice.choice(world.others(leader))]))
    await asyncio.sleep(seconds)


async def leader_cannot_hear(world: World, seconds: float) -> None:
    leader = await world.leader()
    await world.cut({(other, leader) for other in world.others(leader)})
    await asyncio.sleep(seconds)


async def leader_cannot_speak(world: World, seconds: float) -> None:
    leader = await world.leader()
    await world.cut({(leader, other) for other in world.others(leader)})
    await asyncio.sleep(seconds)


async def one_way_link(world: World, seconds: float) -> None:
    source, target = world.choice.sample(world.managers, 2)
    await world.cut({(source, target)})
    await asyncio.sleep(seconds)


async def flapping_links(world: World, seconds: float) -> None:
    node, end = world.any(), time.monotonic() + seconds
    pairs = cuts.apart([node], world.others(node))
    while time.monotonic() < end:
        await world.cut(pairs)
        await asyncio.sleep(FLAP_S)
        await world.cut(())
        await asyncio.sleep(FLAP_S)


async def isolate_leader_and_kill_the_next(world: World, seconds: float) -> None:
    leader = await world.leader()
    await world.cut(cuts.apart([leader], world.others(leader)))
    await asyncio.sleep(seconds / 2)
    await world.signal([world.choice.choice(world.others(leader))], signal.SIGKILL)
    await world.cut(())
    await asyncio.sleep(seconds / 2)


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_leader,
        kill_follower,
        kill_leader_and_start_it_at_once,
        kill_all,
        kill_all_one_by_one,
        suspend_leader,
        suspend_follower,
        suspend_all,
        stall_leader_again_and_again,
        isolate_leader,
        isolate_follower,
        isolate_everybody,
        split_leader_into_minority,
        cut_one_link_of_leader,
        leader_cannot_hear,
        leader_cannot_speak,
        one_way_link,
        flapping_links,
        isolate_leader_and_kill_the_next,
    )
}
