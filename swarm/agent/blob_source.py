"""Blobs of images that were loaded into the cluster, fetched from its managers."""

from collections.abc import AsyncIterator, Callable, Sequence

import grpc

from swarm.agent.connection import CHANNEL_OPTIONS
from swarm.api.status import from_rpc_error
from swarm.api.v1.images_pb2 import FetchBlobRequest, ResolveImageRequest
from swarm.api.v1.images_pb2_grpc import ImagesStub
from swarm.api.v1.types_pb2 import Peer
from swarm.errors import NotFound, SwarmError, TransientError, Unavailable

RESOLVE_TIMEOUT_S = 5.0


class ManagerBlobs:
    """A BlobSource: managers are asked in turn, and one that has what is asked for is enough."""

    def __init__(
        self,
        managers: Callable[[], Sequence[Peer]],
        channel: Callable[[str, Sequence[tuple[str, int | str]]], grpc.aio.Channel],
    ) -> None:
        """`managers` returns them in the order of preference; `channel(addr, options)` dials."""
        self._managers = managers
        self._channel = channel

    async def resolve(self, reference: str) -> tuple[str, Sequence[str]] | None:
        """Return (digest, all blob digests) of an image loaded into the cluster, None when unknown.

        Raises Unavailable when no manager could be asked: the image may well be there.
        """
        failure: SwarmError | None = None
        for peer in self._managers():
            async with self._channel(peer.addr, CHANNEL_OPTIONS) as channel:
                try:
                    answer = await ImagesStub(channel).Resolve(
                        ResolveImageRequest(reference=reference), timeout=RESOLVE_TIMEOUT_S
                    )
                except grpc.RpcError as error:
                    failure = from_rpc_error(error)
                    if isinstance(failure, NotFound):
                        return None
                    continue
            return answer.digest, tuple(answer.blobs)
        raise Unavailable(f"no manager could be asked for {reference}: {failure or 'none is known'}")

    async def fetch(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on; goes on with another manager where one fails.

        Raises NotFound when no manager has it, Unavailable when one that may have it was out of reach.
        """
        failure: SwarmError | None = None
        for peer in self._managers():
            async with self._channel(peer.addr, CHANNEL_OPTIONS) as channel:
                request = FetchBlobRequest(digest=digest, offset=offset)
                try:
                    async for part in ImagesStub(channel).FetchBlob(request):
                        offset += len(part.chunk)
                        yield part.chunk
                except grpc.RpcError as error:
                    found = from_rpc_error(error)
                    if failure is None or isinstance(found, TransientError):
                        failure = found
                    continue
            return
        if isinstance(failure, NotFound):
            raise NotFound(f"no manager has {digest}")
        raise Unavailable(f"no manager could send {digest}: {failure or 'none is known'}")
