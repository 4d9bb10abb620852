"""What people do with the images of the cluster: load, list, tag, remove, prune."""

from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from swarm.api.v1.control_pb2 import Filters, LoadImageRequest
from swarm.api.v1.control_pb2 import PruneChosenImagesRequest as ImageChoice
from swarm.api.v1.objects_pb2 import Image
from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError
from swarm.ids import new_id
from swarm.manager.images.choice import is_chosen
from swarm.manager.images.find import find_image
from swarm.manager.images.holders import check_unused, is_retained, tag_image, unused_images
from swarm.manager.images.scoped import check_names, check_theirs, is_theirs
from swarm.manager.images.transfers import ImageTransfers, held_image
from swarm.manager.store.scope import Scope
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model.reference import parse_reference
from swarm.model.selectors import image_selected
from swarm.security.identity import image_names_now, scope_now

log = structlog.get_logger(__name__)


class ImageControl(ImageTransfers):
    """Works on any manager: content comes to the manager that was asked, the leader writes it down."""

    async def load(self, requests: AsyncIterator[LoadImageRequest]) -> Sequence[Image]:
        """Take an archive into this manager and make its images known; all of them, or none.

        The other managers copy the content from here afterwards (`Image.holders`). A reference that
        exists gets the new digest; what services still use stays, under its digest.
        Raises InvalidArgument, NotPermitted, FailedPrecondition (disk full), NotLeader, NoQuorum,
        OutcomeUnknown.
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
        held = [held_image(image) for image in loaded]
        scope = scope_now()
        check_names(scope, image_names_now(), (one.reference for one in held))
        return await self._reports.report(held, loaded=True, scope=scope)

    def list(self, filters: Filters) -> Sequence[Image]:
        """Return the images asked for, by name."""
        chosen = [image for image in self._store.view.images if image_selected(filters, image)]
        return sorted(chosen, key=lambda image: image.annotations.name)

    async def remove(self, ref: str, *, force: bool = False) -> str:
        """Forget an image, named by reference, digest, id or the beginning of an id; return its id.

        One that services or tasks use stays; with `force` only that of a task that is not over. Raises
        NotFound, Ambiguous, NotPermitted, FailedPrecondition, and as `Store.update`.
        """

        scope = scope_now()

        def forget(transaction: Transaction) -> Image:
            image = find_image(transaction, ref, names_one=True)
            check_theirs(scope, image)
            check_unused(transaction, image, force=force, scope=scope)
            transaction.remove(image)
            return image

        image = await self._store.update(forget)
        log.info("images.image_removed", reference=image.annotations.name, digest=image.digest)
        return image.id

    async def tag(self, source: str, target: str) -> Image:
        """Give an image another name, which moves when it meant something else; on the leader.

        What services use stays, under its digest. Raises NotFound, Ambiguous, InvalidArgument, NotPermitted,
        and as `Store.update`.
        """
        name = parse_reference(target)
        if name.digest:
            raise InvalidArgument(f"{target} cannot be the name of an image: it contains a digest")
        scope = scope_now()
        check_names(scope, image_names_now(), [str(name)])
        new_ids = (new_id(), new_id())
        tagged = await self._store.update(
            lambda transaction: tag_image(
                transaction, find_image(transaction, source), str(name), new_ids, scope
            )
        )
        log.info("images.image_tagged", reference=str(name), digest=tagged.digest)
        return self._store.view.images.get(tagged.id) or tagged

    async def prune(self, *, everything: bool) -> tuple[Sequence[Image], int]:
        """Forget images that no service needs; on the leader. Return them, and the bytes that are freed.

        Without `everything` only those that have no name any more; with a scope, only theirs. Raises as
        `Store.update`.
        """
        return await self._prune(everything, lambda _: True)

    async def prune_chosen(
        self, choice: ImageChoice, *, everything: bool
    ) -> tuple[Sequence[Image], int, Sequence[str]]:
        """Forget those of the images that `prune` would that are chosen; on the leader.

        Return also the names of images that stay because their configuration cannot be read.
        """
        unread, meant = [], set()
        for image in _unused(self._store.view, everything, scope_now()):
            try:
                await self._copier.bring(image)
                _, configuration = self._images.history(image.digest)
                if is_chosen(choice, image, configuration):
                    meant.add((image.id, image.digest))
            except SwarmError as error:
                unread.append(image.annotations.name)
                log.warning("images.not_pruned", reference=image.annotations.name, reason=str(error))
        # A name that got other content meanwhile is another image.
        removed, freed = await self._prune(everything, lambda image: (image.id, image.digest) in meant)
        return removed, freed, unread

    async def _prune(
        self, everything: bool, is_meant: Callable[[Image], bool]
    ) -> tuple[Sequence[Image], int]:
        scope = scope_now()

        def forget(transaction: Transaction) -> list[Image]:
            chosen = [image for image in _unused(transaction, everything, scope) if is_meant(image)]
            for image in chosen:
                transaction.remove(image)
            return chosen

        removed = await self._store.update(forget)
        kept = {blob for image in self._store.view.images for blob in image.blobs}
        gone = {blob for image in removed for blob in image.blobs} - kept
        for image in removed:
            log.info("images.image_pruned", reference=image.annotations.name, digest=image.digest)
        return removed, self._images.size(gone)


def _unused(view: ReadView, everything: bool, scope: Scope) -> list[Image]:
    unused = [one for one in unused_images(view) if is_theirs(scope, one.annotations.labels)]
    return [image for image in unused if everything or is_retained(image)]
