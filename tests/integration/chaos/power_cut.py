"""The power of all managers is cut at one moment, again and again, while clients write; what is lost?

    python -m tests.integration.chaos.power_cut --writes 100000 --cuts 10

Every client has a register of its own and counts it up, each number on the condition of the version of the
one before: a register that shows a number has taken all numbers up to it.
"""

import argparse
import asyncio
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from swarm.api.v1.control_pb2 import GetServiceRequest, UpdateServiceRequest
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.api.v1.objects_pb2 import Service
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from swarm.errors import Unavailable
from tests.integration.chaos import clients
from tests.integration.chaos.disks import Disks, disks
from tests.integration.chaos.faults import World

WRITERS = 64
TIMEOUT_S = 5.0
RECOVERY_S = 180.0  # of all registers
_TRANSIENT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED}


class Counter:
    """One client and its register."""

    def __init__(self, name: str, service_id: str) -> None:
        self.name = name
        self._id = service_id
        self.begun = 0  # the highest number that was sent
        self.acknowledged = 0

    async def run(self, stub: Any, over: asyncio.Event) -> None:
        """Count up until `over`; on a busy machine the managers may elect another leader meanwhile."""
        while not over.is_set():
            try:
                await self._count(stub, over)
            except Unavailable:
                await asyncio.sleep(clients.PAUSE_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _TRANSIENT:
                    raise
                await asyncio.sleep(clients.PAUSE_S)

    async def _count(self, stub: Any, over: asyncio.Event) -> None:
        service = await self.read(stub)
        while not over.is_set():
            self.begun = int(clients.value_of(service)) + 1
            request = UpdateServiceRequest(
                id=self._id, version=service.meta.version.index, skip_image_resolution=True
            )
            request.spec.CopyFrom(clients.spec(self.name, str(self.begun)))
            service = (await stub.UpdateService(request, timeout=TIMEOUT_S)).service
            self.acknowledged = int(clients.value_of(service))

    async def read(self, stub: Any) -> Service:
        """Return the register as it is now; raises Unavailable when nobody can tell."""
        call = stub.GetService(GetServiceRequest(ref=self._id), timeout=TIMEOUT_S)
        try:
            service: Service = (await call).service
        finally:  # that there is none may be an old answer as well
            if await clients.is_stale(call):
                raise Unavailable("the answer may be an old one")
        return service


@dataclass(frozen=True, slots=True)
class Cut:
    """What one cut did."""

    acknowledged: int  # writes, before the cut
    lost: int  # of these
    invented: int  # numbers that nobody had written
    recovery_s: float  # from starting the managers until all registers could be read
    rate: float  # acknowledged writes a second, before the cut

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} writes acknowledged ({self.rate:.0f}/s), {self.lost} lost, "
            f"{self.invented} invented, all back after {self.recovery_s:.1f} s"
        )


async def cut_power(
    cluster: DevCluster, made: Disks, counters: Sequence[Counter], writes: int, choice: random.Random
) -> Cut:
    """Let clients write about so many times, cut the power, start from what the disks kept, and compare."""
    world = World(cluster, choice)
    earlier = sum(counter.acknowledged for counter in counters)
    begin = time.monotonic()
    async with clients.channel(await world.leader()) as channel:
        over = asyncio.Event()
        stub = ControlStub(channel)
        writing = [asyncio.create_task(counter.run(stub, over)) for counter in counters]
        while sum(counter.acknowledged for counter in counters) < earlier + writes:
            await asyncio.sleep(0.01)
            for task in writing:
                if task.done():
                    task.result()
        kept = {counter.name: counter.acknowledged for counter in counters}  # before the cut, for sure
        took_s = time.monotonic() - begin
        await asyncio.to_thread(made.cut)
        over.set()
        await world.signal(world.managers, signal.SIGKILL)
        await asyncio.gather(*writing, return_exceptions=True)
    await asyncio.to_thread(made.restore)
    begin = time.monotonic()
    await world.heal()
    found = await _read_all(world.managers[0], counters)
    recovery_s = time.monotonic() - begin
    lost = sum(max(0, kept[counter.name] - found[counter.name]) for counter in counters)
    invented = sum(max(0, found[counter.name] - counter.begun) for counter in counters)
    for counter in counters:
        counter.acknowledged = found[counter.name]
    acknowledged = sum(kept.values()) - earlier
    return Cut(acknowledged, lost, invented, recovery_s, acknowledged / took_s)


async def _read_all(node: Node, counters: Sequence[Counter]) -> dict[str, int]:
    """Read every register, as soon as there is a leader; one that is gone shows 0."""
    found: dict[str, int] = {}
    async with clients.channel(node) as channel, asyncio.timeout(RECOVERY_S):
        stub: Any = ControlStub(channel)
        for counter in counters:
            while counter.name not in found:
                try:
                    found[counter.name] = int(clients.value_of(await counter.read(stub)))
                except Unavailable:
                    await asyncio.sleep(clients.PAUSE_S)
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.NOT_FOUND:
                        found[counter.name] = 0
                    await asyncio.sleep(clients.PAUSE_S)
    return found


async def power_cuts(
    cluster: DevCluster, made: Disks, writes: int, cuts: int, choice: random.Random
) -> AsyncIterator[Cut]:
    """Cut the power of a running cluster so many times, after so many writes in all."""
    names = [f"counter-{number}" for number in range(WRITERS)]
    ids = await clients.create(cluster.plan.nodes[0], names)
    counters = [Counter(name, ids[name]) for name in names]
    for number in range(cuts):
        share = writes // cuts + (number < writes % cuts)
        yield await cut_power(cluster, made, counters, share, choice)


async def _cut_all(
    cluster: DevCluster, made: Disks, options: argparse.Namespace, seed: int
) -> Sequence[Cut]:
    found = []
    async for cut in power_cuts(cluster, made, options.writes, options.cuts, random.Random(seed)):
        found.append(cut)
        print(f"cut {len(found)}: {cut}", flush=True)
    return found


def main() -> int:
    """Return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.integration.chaos.power_cut",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--writes", type=int, default=100_000, help="acknowledged in all (100000)")
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--managers", type=int, default=3)
    options = parser.parse_args()
    seed = secrets.randbelow(10**6)
    cluster = DevCluster.create(f"power-{secrets.token_hex(3)}", options.managers, 0)
    with disks(cluster.plan) as made:
        try:
            cluster.up()
            found = asyncio.run(_cut_all(cluster, made, options, seed))
        finally:
            cluster.down()
    acknowledged, lost = sum(cut.acknowledged for cut in found), sum(cut.lost for cut in found)
    invented = sum(cut.invented for cut in found)
    print(f"{lost} of {acknowledged} acknowledged writes lost, {invented} invented, in {len(found)} cuts")
    return 1 if lost or invented else 0


if __name__ == "__main__":
    sys.exit(main())
