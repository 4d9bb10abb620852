"""A load on a consensus group and what came of it; the same for every system."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """So many commands under way all the time, each of so many bytes, for so long."""

    inflight: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What one system did under one load."""

    per_second: float
    p50_ms: float
    p99_ms: float


def summary(seconds_each: Sequence[float], took_s: float) -> Sample:
    """Put the latencies of one measurement together; raises ValueError when there are none."""
    if not seconds_each:
        raise ValueError("nothing was committed")
    ordered = sorted(seconds_each)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return Sample(len(ordered) / took_s, statistics.median(ordered) * 1e3, p99 * 1e3)


async def drive(commit: Callable[[bytes], Awaitable[object]], load: Load) -> Sample:
    """Commit with as many tasks as are to be under way; what fails ends the measurement."""
    payload = os.urandom(load.size)
    latencies: list[float] = []
    begin = time.perf_counter() + WARM_UP_S
    end = begin + load.seconds

    async def client() -> None:
        while (started := time.perf_counter()) < end:
            await commit(payload)
            if started >= begin:
                latencies.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for _ in range(load.inflight):
            group.create_task(client())
    return summary(latencies, time.perf_counter() - begin)
