"""The runtime layer of a node, in a process of its own: the driver and the image store that the agent has.

Reads orders as lines of JSON and answers with seconds. Started by `ours.py`.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import structlog

from swarm.agent.main import STARTS_PER_CPU
from swarm.ids import new_id
from swarm.runtime.base import ContainerConfig
from swarm.runtime.images.store import LocalImageStore
from swarm.runtime.oci.driver import OciDriver

COMMAND = ("sleep", "100000")


class Node:
    """One image store and one driver; each pull is into a store that has nothing."""

    def __init__(self, folder: Path, run: Path, registry: str) -> None:
        self._folder, self._registry = folder, registry
        self._images = self._store("images")
        self._driver = OciDriver(folder / "state", run, "bench-runtime", self._images)
        self._starts = asyncio.Semaphore(STARTS_PER_CPU * (os.cpu_count() or 1))
        self._ids: list[str] = []
        self._pulls = 0

    def _store(self, name: str) -> LocalImageStore:
        return LocalImageStore(self._folder / name, insecure_registries=(self._registry,))

    async def open(self) -> float:
        """Try the driver out, as the agent does when it starts."""
        await self._driver.probe()
        await self._driver.adopt()
        return 0.0

    async def pull(self, repository: str, _: int) -> float:
        """Return the seconds of one pull, unpacked."""
        self._pulls += 1
        store = self._store(f"pull-{self._pulls}")
        started = time.monotonic()
        await store.ensure(f"{self._registry}/{repository}:1", "", None, None)
        took_s = time.monotonic() - started
        await store.close()
        return took_s

    async def start(self, repository: str, count: int) -> float:
        """Return the seconds until `count` containers run."""
        image = f"{self._registry}/{repository}:1"
        digest = (await self._images.ensure(image, "", None, None)).digest
        started = time.monotonic()
        await asyncio.gather(*(self._start(image, digest) for _ in range(count)))
        return time.monotonic() - started

    async def _start(self, image: str, digest: str) -> None:
        config = ContainerConfig(id=new_id(), image=image, image_digest=digest, args=COMMAND)
        self._ids.append(config.id)
        async with self._starts:
            await self._driver.create(config)
        async with self._starts:
            await self._driver.start(config.id)

    async def stop(self, _: str, __: int) -> float:
        """Remove all containers."""
        await asyncio.gather(*(self._driver.remove(one) for one in self._ids))
        self._ids.clear()
        return 0.0

    async def close(self) -> None:
        """Leave nothing behind."""
        await self._driver.cleanup()
        await self._images.close()


async def _serve(folder: Path, run: Path, registry: str) -> None:
    node = Node(folder, run, registry)
    try:
        print(await node.open(), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            verb, repository, count = json.loads(line)
            orders = {"pull": node.pull, "start": node.start, "stop": node.stop}
            print(await orders[verb](repository, count), flush=True)
    finally:
        await node.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
