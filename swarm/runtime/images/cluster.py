"""The managers of the cluster as a place to get blobs from: the client side of service Images."""

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
_SILENCE_MAX_S = 15.0

T = TypeVar("T")


class ManagerSource:
    """Blobs of one manager, or of whichever manager `channel()` leads to at the moment."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel], *, local_only: bool = False) -> None:
        """`local_only`: the manager shall not ask other managers (for managers that ask each in turn)."""
        self._channel = channel
        self._local_only = local_only

    async def resolve(self, reference: str) -> tuple[str, Sequence[str]] | None:
        """Return (digest, all blob digests) of an image of the cluster, None when unknown; raises."""
        call = ImagesStub(self._channel()).Resolve(
            ResolveImageRequest(reference=reference), timeout=_RESOLVE_TIMEOUT_S
        )
        try:
            answer = await call
        except grpc.RpcError as error:
            translated = from_rpc_error(error)
            if isinstance(translated, NotFound):
                return None
            raise translated from error
        return answer.digest, tuple(answer.blobs)

    async def fetch(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on; raises Unavailable after a break, NotFound."""
        request = FetchBlobRequest(digest=digest, offset=offset, local_only=self._local_only)
        call = ImagesStub(self._channel()).FetchBlob(request)
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
