"""What people do with the images of the cluster: load, list, remove."""

from collections.abc import AsyncIterator, Sequence

import structlog

from swarm.api.v1.control_pb2 import Filters, LoadImageRequest
from swarm.api.v1.images_pb2 import HeldImage
from swarm.api.v1.objects_pb2 import Image
from swarm.errors import Ambiguous, FailedPrecondition, InvalidArgument, NotFound
from swarm.manager.images.report import HolderReports
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model.reference import parse_reference
from swarm.model.selectors import image_selected
from swarm.runtime.images.store import LocalImageStore

log = structlog.get_logger(__name__)


class ImageControl:
    """Works on any manager: content comes to the manager that was asked, the leader writes it down."""

    def __init__(self, store: Store, images: LocalImageStore, reports: HolderReports) -> None:
        self._store = store
        self._images = images
        self._reports = reports

    async def load(self, requests: AsyncIterator[LoadImageRequest]) -> Sequence[Image]:
        """Take an archive into this manager and make its images known; all of them, or none.

        The other managers copy the content from here afterwards (`Image.holders`). A reference that
        exists gets the new digest; what services still use stays, under its digest.
        Raises InvalidArgument, FailedPrecondition (disk full), NotLeader, NoQuorum, OutcomeUnknown.
        """
        first = await anext(requests, LoadImageRequest())

        async def chunks() -> AsyncIterator[bytes]:
            yield first.chunk
            async for request in requests:
                yield request.chunk

        try:
            loaded = await self._images.load(chunks(), first.reference)
        except OSError as error:
            raise FailedPrecondition(f"this manager cannot store the image: {error.strerror}") from error
        held = [
            HeldImage(
                reference=image.reference,
                digest=image.digest,
                size_bytes=image.size_bytes,
                blobs=image.blobs,
            )
            for image in loaded
        ]
        return await self._reports.report(held, loaded=True)

    def list(self, filters: Filters) -> Sequence[Image]:
        """Return the images asked for, by name."""
        chosen = [image for image in self._store.view.images if image_selected(filters, image)]
        return sorted(chosen, key=lambda image: image.annotations.name)

    async def remove(self, ref: str) -> str:
        """Forget an image, named by reference, digest, id or the beginning of an id; return its id.

        Containers that use it run on. Raises NotFound, Ambiguous, and as `Store.update`.
        """

        def forget(transaction: Transaction) -> Image:
            image = find_image(transaction, ref)
            transaction.remove(image)
            return image

        image = await self._store.update(forget)
        log.info("images.image_removed", reference=image.annotations.name, digest=image.digest)
        return image.id


def find_image(view: ReadView, ref: str) -> Image:
    """Return the image that a person means; raises NotFound, Ambiguous, InvalidArgument."""
    if not ref:
        raise InvalidArgument("no image is named: give a reference, an id or a digest")
    if (by_id := view.images.get(ref)) is not None:
        return by_id
    try:
        by_name = view.images.by_name(str(parse_reference(ref)))
    except InvalidArgument:
        by_name = None
    if by_name is not None:
        return by_name
    found = [image for image in view.images if image.digest == ref or image.id.startswith(ref)]
    if not found:
        raise NotFound(f"no image {ref} was loaded into the cluster")
    if len(found) > 1:
        names = ", ".join(sorted(image.annotations.name for image in found)[:5])
        raise Ambiguous(f"{ref} may be any of {len(found)} images: {names}")
    return found[0]
