"""What a node says while it makes a container for somebody."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from swarm.agent.plain.requests import PlainRequests
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.plain_pb2 import CreateContainer
from swarm.errors import NotFound
from swarm.runtime.images.base import Pull


class Stream:
    """Takes its time for each line, and is of no use once a write is given up, as gRPC's."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.broken = False

    async def send_chunks(self, data: bytes, _: str) -> None:
        try:
            for _turn in range(10):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.broken = True
            raise
        self.heard.append(data.decode().strip())

    async def send(self, output: ContainerOutput) -> None:
        self.heard.append(output.created or "done")


class Containers:
    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure

    def get(self, _: str) -> None:
        return None

    async def create(self, _: object, progress: Any, pull: Pull) -> object:
        assert pull is Pull.MISSING
        progress("pulling")
        await asyncio.sleep(0)
        progress("pulled")
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return SimpleNamespace(id="c1", warnings=_no_warnings)


async def _no_warnings() -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize(
    ("failure", "last"), [(None, ["c1", "done"]), (NotFound("no such image"), [])], ids=["made", "failed"]
)
async def test_the_last_line_on_its_way_breaks_no_conversation(
    failure: Exception | None, last: list[str]
) -> None:
    requests = PlainRequests(cast("Any", Containers(failure)), cast("Any", None), lambda task: {})
    stream = Stream()
    try:
        await requests.answer(ContainerRequest(create=CreateContainer()), cast("Any", stream))
    except NotFound:
        assert failure
    assert not stream.broken
    assert stream.heard == ["pulling", "pulled", *last]
