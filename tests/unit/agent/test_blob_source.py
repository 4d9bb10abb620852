"""Images loaded into the cluster, fetched from managers that fail."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from swarm.agent.blob_source import ManagerBlobs
from swarm.api.status import ErrorInterceptor
from swarm.api.v1.images_pb2 import FetchBlobResponse, ResolveImageResponse
from swarm.api.v1.images_pb2_grpc import ImagesServicer, add_ImagesServicer_to_server
from swarm.api.v1.types_pb2 import Peer
from swarm.errors import NotFound, Unavailable

BLOB = bytes(range(256)) * 100


class Images(ImagesServicer):
    """Holds one blob; breaks off after `good_bytes`."""

    def __init__(self, known: bool = True, good_bytes: int = len(BLOB)) -> None:
        self.known = known
        self.good_bytes = good_bytes
        self.offsets: list[int] = []

    async def Resolve(self, request: Any, context: Any) -> ResolveImageResponse:  # type: ignore[override]
        if not self.known:
            raise NotFound("unknown image")
        return ResolveImageResponse(digest="sha256:m", blobs=["sha256:m", "sha256:l"])

    async def FetchBlob(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        self.offsets.append(request.offset)
        if not self.known:
            raise NotFound("unknown blob")
        for start in range(request.offset, len(BLOB), 1000):
            if start >= self.good_bytes:
                raise Unavailable("the manager stops")
            yield FetchBlobResponse(chunk=BLOB[start : start + 1000])


@contextlib.asynccontextmanager
async def serving(*parts: Images | None) -> AsyncIterator[ManagerBlobs]:
    servers, peers = [], []
    for part in parts:
        server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        port = server.add_insecure_port("127.0.0.1:0")
        peers.append(Peer(addr=f"127.0.0.1:{port}"))
        if part is not None:
            add_ImagesServicer_to_server(part, server)
            await server.start()
            servers.append(server)
        else:  # nobody listens there
            await server.start()
            await server.stop(0)
    try:
        yield ManagerBlobs(
            lambda: peers, lambda addr, options: grpc.aio.insecure_channel(addr, options=list(options))
        )
    finally:
        for server in servers:
            await server.stop(0)


async def read(source: ManagerBlobs, offset: int = 0) -> bytes:
    return b"".join([part async for part in source.fetch("sha256:l", offset)])


async def test_an_image_is_resolved_by_the_first_manager_that_answers() -> None:
    async with serving(None, Images()) as source:
        assert await source.resolve("web:1") == ("sha256:m", ("sha256:m", "sha256:l"))


async def test_an_image_that_no_manager_knows_is_none() -> None:
    async with serving(Images(known=False)) as source:
        assert await source.resolve("web:1") is None


async def test_when_no_manager_answers_nothing_is_said_about_the_image() -> None:
    async with serving(None, None) as source:
        with pytest.raises(Unavailable):
            await source.resolve("web:1")
        with pytest.raises(Unavailable):
            await read(source)


async def test_a_broken_transfer_goes_on_with_the_next_manager_where_it_stopped() -> None:
    first, second = Images(good_bytes=5000), Images()
    async with serving(first, second) as source:
        assert await read(source) == BLOB
        assert (first.offsets, second.offsets) == ([0], [5000])


async def test_a_blob_is_read_from_an_offset() -> None:
    async with serving(Images()) as source:
        assert await read(source, 25_000) == BLOB[25_000:]


async def test_a_manager_that_lacks_the_blob_is_passed_over_and_none_at_all_is_not_found() -> None:
    async with serving(Images(known=False), Images()) as source:
        assert await read(source) == BLOB
    async with serving(Images(known=False), Images(known=False)) as source:
        with pytest.raises(NotFound):
            await read(source)
    async with serving(Images(known=False), None) as source:
        with pytest.raises(Unavailable):
            await read(source)
