"""Another manager as a place to get blobs from."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1.images_pb2 import FetchBlobRequest, FetchBlobResponse, ResolveImageRequest
from swarm.api.v1.images_pb2_grpc import ImagesStub
from swarm.errors import NotFound, Unavailable

_RESOLVE_TIMEOUT_S = 5.0
# A manager that sends nothing for this long is given up; the transfer goes on elsewhere.
_SILENCE_MAX_S = 10.0

T = TypeVar("T")


class ManagerSource:
    """A BlobSource: what one manager has on its own disk."""

    def __init__(self, dial: Callable[[], grpc.aio.Channel]) -> None:
        """`dial` opens a connection to the manager; it is closed after every call."""
        self._dial = dial

    async def resolve(self, reference: str) -> tuple[str, Sequence[str]] | None:
        """Return (digest, all blob digests) of an image of the cluster, None when unknown."""
        async with self._dial() as channel:
            try:
                answer = await ImagesStub(channel).Resolve(
                    ResolveImageRequest(reference=reference), timeout=_RESOLVE_TIMEOUT_S
                )
            except grpc.RpcError as error:
                if isinstance(translated := from_rpc_error(error), NotFound):
                    return None
                raise translated from error
        return answer.digest, tuple(answer.blobs)

    async def fetch(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on; raises NotFound, and Unavailable after a break."""
        request = FetchBlobRequest(digest=digest, offset=offset, local_only=True)
        async with self._dial() as channel:
            call = ImagesStub(channel).FetchBlob(request)
            try:
                while isinstance(answer := await _within(_SILENCE_MAX_S, call.read()), FetchBlobResponse):
                    yield answer.chunk
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error
            finally:
                call.cancel()


async def _within(timeout_s: float, awaitable: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    except TimeoutError as error:
        raise Unavailable(f"the manager sent nothing for {timeout_s:g} s") from error
