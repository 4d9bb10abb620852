"""Service Images: every manager tells which images the cluster has, and hands out their blobs."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import structlog

from swarm.api.v1 import images_pb2 as messages
from swarm.api.v1.images_pb2_grpc import ImagesServicer as ImagesServicerBase
from swarm.api.v1.objects_pb2 import Image
from swarm.errors import InvalidArgument, NotFound, SwarmError, Unavailable
from swarm.manager.images.copying import Peers
from swarm.manager.images.report import Dial, HolderReports
from swarm.manager.images.source import ManagerSource
from swarm.manager.store.store import Store
from swarm.model.reference import parse_reference
from swarm.runtime.images.digests import check_digest, short
from swarm.runtime.images.store import LocalImageStore
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class ImagesServicer(ImagesServicerBase):
    """Serves from this manager's disk, else passes on what another manager has."""

    def __init__(
        self,
        store: Store,
        images: LocalImageStore,
        peers: Peers,
        dial: Dial,
        reports: HolderReports,
        *,
        caller: Callable[[Any], Identity] = caller_of,
    ) -> None:
        """`peers` returns (node id, address) of the other managers; `caller` tells who asks."""
        self._store = store
        self._images = images
        self._peers = peers
        self._dial = dial
        self._reports = reports
        self._caller = caller

    async def Resolve(
        self, request: messages.ResolveImageRequest, context: Context
    ) -> messages.ResolveImageResponse:
        """Return what a reference means in the cluster; a digest in it counts, not the tag."""
        image = self._find(request.reference)
        return messages.ResolveImageResponse(digest=image.digest, blobs=image.blobs)

    async def FetchBlob(
        self, request: messages.FetchBlobRequest, context: Context
    ) -> AsyncIterator[messages.FetchBlobResponse]:
        """Yield a blob of an image of the cluster; other content of this node is not handed out."""
        digest = check_digest(request.digest)
        if request.offset < 0:
            raise InvalidArgument(f"a blob has no byte {request.offset}")
        owners = [image for image in self._store.view.images if digest in image.blobs]
        if not owners:
            raise NotFound(f"no image of the cluster has a blob {digest}")
        if self._images.has([digest]):
            chunks = self._images.read_blob(digest, request.offset)
        elif request.local_only:
            raise NotFound(f"blob {digest} has not reached this manager yet")
        else:
            chunks = self._relay(owners, digest, request.offset)
        async with contextlib.aclosing(_generator(chunks)) as stream:
            async for chunk in stream:
                yield messages.FetchBlobResponse(chunk=chunk)

    async def ReportHolder(
        self, request: messages.ReportImageHolderRequest, context: Context
    ) -> messages.ReportImageHolderResponse:
        """Write down what the calling manager holds; raises NotLeader on every manager but the leader."""
        node_id = self._caller(context).node_id
        images = await self._reports.record(
            request.images, node_id, loaded=request.loaded, scope=tuple(request.scope)
        )
        return messages.ReportImageHolderResponse(images=images)

    def _find(self, text: str) -> Image:
        reference = parse_reference(text)
        images = self._store.view.images
        if not reference.digest:
            image = images.by_name(str(reference))
        else:
            image = next((image for image in images if image.digest == reference.digest), None)
        if image is None:
            raise NotFound(f"no image {reference.familiar} was loaded into the cluster")
        return image

    async def _relay(self, owners: Sequence[Image], digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield a blob from the managers known to hold it, going on with the next one where one breaks."""
        holders = {holder for image in owners for holder in image.holders}
        reasons: list[str] = []
        for node_id, addr in self._peers():
            if node_id not in holders:
                continue
            source = ManagerSource(lambda addr=addr: self._dial(addr))  # type: ignore[misc]
            try:
                async with contextlib.aclosing(_generator(source.fetch(digest, offset))) as chunks:
                    async for chunk in chunks:
                        offset += len(chunk)
                        yield chunk
            except SwarmError as error:
                reasons.append(f"{addr}: {error}")
                log.info("images.relay_failed", digest=digest, node_id=node_id, reason=str(error))
            else:
                return
        why = "; ".join(reasons) or "none of them is a manager now"
        raise Unavailable(f"no manager that holds blob {short(digest)} could send it ({why})")


async def _generator(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Make any stream closable, and close it with this one."""
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
