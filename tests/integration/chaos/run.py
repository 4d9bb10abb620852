"""One run: clients on every manager, one fault after another, then peace, and the verdict of the checker."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swarm.dev.cluster import DevCluster
from tests.integration.chaos import clients
from tests.integration.chaos.clients import INITIAL, Client, Log
from tests.integration.chaos.faults import FAULTS, World
from tests.linearizability.checker import Anomaly, check
from tests.linearizability.history import Outcome

CLIENTS_PER_MANAGER = 3
REGISTERS = 6
PACE_S = 0.005  # leaves the processors to the managers
LEAST_FAULTS = 3  # also where healing takes most of the time
LEAST_WRITES = 100  # also where disks are slow
PEACE_S = 60.0  # within which everybody must answer again
_PAUSES_S = (0.3, 1.0)
_FAULTS_S = (1.5, 4.0)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    seed: int
    faults: Sequence[str]
    log: Log
    anomalies: Sequence[Anomaly]
    peace_s: float  # from the last healing until every manager gave a current answer

    @property
    def writes(self) -> int:
        """Return how many writes were acknowledged."""
        return self.log.writes

    def __str__(self) -> str:
        log = self.log
        many = ", ".join(f"{log.count(outcome)} {outcome}" for outcome in Outcome)
        verdict = "linearizable" if not self.anomalies else f"{len(self.anomalies)} ANOMALIES"
        return (
            f"seed {self.seed}: {len(log.history)} operations ({many}), {log.stale_reads} marked stale, "
            f"{len(self.faults)} faults, longest gap {log.longest_gap_s():.1f} s, "
            f"all well after {self.peace_s:.1f} s: {verdict}"
        )

    def details(self) -> str:
        """The faults and everything that cannot be explained."""
        counted = ", ".join(f"{name} {times}" for name, times in Counter(self.faults).items())
        return "\n".join([f"faults: {counted}", *map(str, self.anomalies)])


async def run(
    cluster: DevCluster, seed: int, seconds: float, only: Sequence[str] = (), log: Log | None = None
) -> Result:
    """Hurt the managers of a cluster, which must be well, for so long; all is well again afterwards.

    `only` names the faults to choose from. What the clients saw is in `log`, also when this raises.
    """
    log = Log() if log is None else log
    choice = random.Random(seed)
    world = World(cluster, choice)
    names = [f"register-{seed}-{number}" for number in range(REGISTERS)]
    ids = await clients.create(world.managers[0], names)
    over = asyncio.Event()
    faults: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            for node in world.managers:
                for number in range(CLIENTS_PER_MANAGER):
                    client = Client(f"{node.name}/{number}", node, ids, log, random.Random(choice.random()))
                    group.create_task(client.run(over, PACE_S))
            group.create_task(_hurt(world, seconds, only or list(FAULTS), faults, log, over))
        peace_s = await _peace(world, ids, log)
    finally:
        await world.heal()
    await clients.remove(world.managers[0], names)
    anomalies = await asyncio.to_thread(check, log.history, INITIAL)
    return Result(seed, faults, log, anomalies, peace_s)


async def _hurt(
    world: World, seconds: float, names: Sequence[str], done: list[str], log: Log, over: asyncio.Event
) -> None:
    end = time.monotonic() + seconds
    # Every fault once, in any order, before one comes again: a short run has as many kinds as fit in.
    left: list[str] = []
    while time.monotonic() < end or len(done) < LEAST_FAULTS or log.writes < LEAST_WRITES:
        left = left or world.choice.sample(names, len(names))
        done.append(left.pop())
        await FAULTS[done[-1]](
            world, min(world.choice.uniform(*_FAULTS_S), max(end - time.monotonic(), 1.0))
        )
        await world.heal()
        await asyncio.sleep(world.choice.uniform(*_PAUSES_S))
    over.set()


async def _peace(world: World, ids: dict[str, str], log: Log) -> float:
    """Return after how many seconds every manager gave a current answer about every register."""
    begin = time.monotonic()
    for node in world.managers:
        reader = Client(f"{node.name}/last", node, ids, log, world.choice)
        async with (
            clients.channel(node) as opened,
            asyncio.timeout_at(asyncio.get_running_loop().time() + PEACE_S),
        ):
            for key in ids:
                while not await reader.read(clients.ControlStub(opened), key):
                    await asyncio.sleep(clients.PAUSE_S)
    return time.monotonic() - begin
