"""Somebody who looks on at a plain container, and leaves while it writes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from swarm.agent.plain.attach import attend
from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput
from swarm.api.v1.plain_pb2 import AttachContainer


class Writer:
    """A container that writes without end, and its driver."""

    async def attach(self, _: str) -> "Writer":
        return self

    async def resize(self, rows: int, columns: int) -> None:
        pass

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        while True:
            yield "stdout", b"x"

    async def wait(self, _: str) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


class Stream:
    """A conversation that, as gRPC's, is over when a message is given up on its way."""

    def __init__(self) -> None:
        self.orders: asyncio.Queue[ContainerInput] = asyncio.Queue()
        self.broken = self.left = False

    async def send(self, output: ContainerOutput) -> None:
        await self.send_chunks(b"")
        self.left |= output.done and not self.broken

    async def send_chunks(self, _: bytes, __: str = "") -> None:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.broken = True
            raise


async def test_who_leaves_in_the_middle_of_output_is_told_so() -> None:
    stream = Stream()
    talking = asyncio.create_task(
        attend(cast("Any", Writer()), "c1", AttachContainer(), cast("Any", stream))
    )
    await stream.orders.put(ContainerInput(detach=True))
    async with asyncio.timeout(60):
        await talking
    assert stream.left
    assert not stream.broken
