"""Images between the cluster and registries or archives: pull, push, save, and how an image was made."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from swarm.api.v1.control_pb2 import (
    PulledImage,
    PullImageRequest,
    PullImageResponse,
    PushedImage,
    PushImageRequest,
    PushImageResponse,
)
from swarm.api.v1.images_pb2 import HeldImage
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotPermitted,
    SwarmError,
    Unauthenticated,
)
from swarm.manager.images.copying import ImageCopier
from swarm.manager.images.find import find_image
from swarm.manager.images.report import HolderReports
from swarm.manager.images.resolve import credentials_of
from swarm.manager.store.store import Store
from swarm.model.reference import Reference, parse_reference, parse_repository
from swarm.runtime.images.base import LoadedImage
from swarm.runtime.images.blobs import closing
from swarm.runtime.images.fetch import Wanted
from swarm.runtime.images.history import Step
from swarm.runtime.images.parts import PlatformImage
from swarm.runtime.images.platforms import host_platform, parse_platform, platform_of
from swarm.runtime.images.pull import Progress
from swarm.runtime.images.store import LocalImageStore
from swarm.security.identity import scope_now

T = TypeVar("T")

ALL_PLATFORMS = "all"


class ImageTransfers:
    """Works on any manager: content goes through the manager that was asked."""

    def __init__(
        self, store: Store, images: LocalImageStore, reports: HolderReports, copier: ImageCopier
    ) -> None:
        self._store = store
        self._images = images
        self._reports = reports
        self._copier = copier

    async def pull(self, request: PullImageRequest) -> AsyncIterator[PullImageResponse]:
        """Fetch an image from its registry and make it known; yield how far it is, and the image last.

        What came stays here when it breaks, and is not fetched again. Raises InvalidArgument, NotFound,
        Unauthenticated, Unavailable, NotPermitted, FailedPrecondition (disk full) and as `report`.
        """
        parsed = parse_reference(request.reference)
        if not parsed.tag:
            raise InvalidArgument(
                f"image {parsed.familiar} needs a name in the cluster: pull NAME:TAG@DIGEST"
            )
        if parsed.digest and scope_now():
            raise NotPermitted(
                f"{parsed.familiar} would be called by a tag that its registry may give to other content:"
                " pull it by the tag alone, or ask an administrator"
            )
        wanted = self._wanted(request.platforms)
        auth = request.registry_auth if request.HasField("registry_auth") else None
        # Closed at once where the reader leaves: that ends the transfer.
        async with aclosing(_told(lambda progress: self._pull(parsed, wanted, auth, progress))) as events:
            async for event in events:
                if isinstance(event, str):
                    yield PullImageResponse(progress=event)
                else:
                    yield PullImageResponse(pulled=event)

    async def tags(self, reference: str, auth: RegistryAuth | None) -> Sequence[str]:
        """Return the tags that a registry has of a repository, in order.

        Raises InvalidArgument, NotFound, Unauthenticated, Unavailable, NotPermitted.
        """
        parsed = parse_repository(reference)
        try:
            tags = await self._images.tags(parsed, credentials_of(auth))
        except SwarmError as error:
            raise _explained("pull", parsed, error) from error
        if not tags:
            raise NotFound(f"cannot pull {parsed.familiar}: {parsed.registry} has no tag of it")
        return tags

    async def push(self, request: PushImageRequest) -> AsyncIterator[PushImageResponse]:
        """Give an image to the registry that its name says; yield how far it is, and the outcome last.

        Raises as `pull`, and Ambiguous.
        """
        image = find_image(self._store.view, request.ref)
        parsed = parse_reference(image.annotations.name)
        if not parsed.tag:
            raise InvalidArgument(
                f"image {parsed.familiar} has no name any more: give it one with "
                "`swarmctl image tag`, and push that"
            )
        auth = request.registry_auth if request.HasField("registry_auth") else None
        # Closed at once where the reader leaves: that ends the transfer.
        async with aclosing(_told(lambda progress: self._push(image, parsed, auth, progress))) as events:
            async for event in events:
                if isinstance(event, str):
                    yield PushImageResponse(progress=event)
                else:
                    yield PushImageResponse(pushed=event)

    async def history(self, ref: str) -> tuple[Sequence[Step], bytes]:
        """Return the steps by which an image was made, oldest first, and its configuration, JSON.

        Raises NotFound, Ambiguous.
        """
        image = find_image(self._store.view, ref)
        await self._copier.bring(image)
        return self._images.history(image.digest)

    def platforms(self, ref: str) -> Sequence[PlatformImage]:
        """Return what this manager has of an image for each of its platforms.

        Raises NotFound, Ambiguous, InvalidArgument.
        """
        return self._images.platforms(find_image(self._store.view, ref).digest)

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        """Yield a tar stream with images; raises NotFound, Ambiguous, InvalidArgument, Unavailable."""
        if not refs:
            raise InvalidArgument("no image is named: give a reference, an id or a digest")
        names: dict[str, list[str]] = {}
        for image in [find_image(self._store.view, ref) for ref in refs]:
            await self._copier.bring(image)
            known = names.setdefault(image.digest, [])
            if parse_reference(image.annotations.name).tag and image.annotations.name not in known:
                known.append(image.annotations.name)
        async with closing(self._images.save(names)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _pull(
        self, parsed: Reference, wanted: Wanted, auth: RegistryAuth | None, progress: Progress
    ) -> PulledImage:
        before = self._store.view.images.by_name(str(replace(parsed, digest="")))
        try:
            loaded = await self._images.fetch(str(parsed), wanted, credentials_of(auth), progress)
        except (SwarmError, OSError) as error:
            raise _explained("pull", parsed, error) from error
        same = before if before is not None and before.digest == loaded.digest else None
        if same is not None and not set(same.blobs) <= set(loaded.blobs):
            # The cluster has it for other platforms too, and keeps those.
            await self._copier.bring(same)
            loaded = self._images.loaded(loaded.reference, loaded.digest)
        (image,) = await self._reports.report([held_image(loaded)], loaded=True, scope=scope_now())
        changed = same is None or set(same.blobs) != set(image.blobs)
        return PulledImage(image=image, changed=changed)

    async def _push(
        self, image: Image, parsed: Reference, auth: RegistryAuth | None, progress: Progress
    ) -> PushedImage:
        await self._copier.bring(image)
        progress(f"The push refers to {parsed.name}")
        try:
            parts, sent = await self._images.push(
                str(parsed),
                image.digest,
                credentials_of(auth),
                lambda digest: self._elsewhere(parsed, digest),
                progress,
            )
        except (SwarmError, OSError) as error:
            raise _explained("push", parsed, error) from error
        return PushedImage(
            reference=str(parsed),
            digest=parts.documents[-1].digest,
            sent_bytes=sent,
            size_bytes=sum(blob.size_bytes for blob in parts.blobs),
            left_out=parts.left_out,
        )

    def _elsewhere(self, parsed: Reference, digest: str) -> str | None:
        """Return another repository of the same registry that an image with this blob is named after."""
        for image in self._store.view.images:
            other = parse_reference(image.annotations.name)
            if other.registry == parsed.registry and other.name != parsed.name and digest in image.blobs:
                return other.repository
        return None

    def _wanted(self, platforms: Sequence[str]) -> Wanted:
        if ALL_PLATFORMS in platforms:
            return Wanted(everything=True)
        if platforms:
            return Wanted([parse_platform(text) for text in platforms], strictly=True)
        described = {node.description.platform.architecture for node in self._store.view.nodes}
        found = {platform_of(architecture) for architecture in described if architecture}
        return Wanted(sorted(found | {host_platform()}, key=str))


def held_image(loaded: LoadedImage) -> HeldImage:
    """Return the report that this manager holds an image."""
    return HeldImage(
        reference=loaded.reference,
        digest=loaded.digest,
        size_bytes=loaded.size_bytes,
        blobs=loaded.blobs,
    )


async def _told(work: Callable[[Progress], Awaitable[T]]) -> AsyncGenerator[str | T, None]:
    """Yield what `work` says while it runs, then its result; who leaves early cancels it."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(lines.put_nowait))
    task.add_done_callback(lambda _: lines.put_nowait(None))
    try:
        while (line := await lines.get()) is not None:
            yield line
        yield await task
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _explained(verb: str, parsed: Reference, error: SwarmError | OSError) -> SwarmError:
    """Return the error with what was tried, and what to do now."""
    failed = f"cannot {verb} {parsed.familiar}"
    if isinstance(error, OSError):
        return FailedPrecondition(f"{failed}: this manager cannot store it: {error.strerror}")
    if isinstance(error, Unauthenticated):
        return Unauthenticated(
            f"{failed}: {error}; `swarmctl login {parsed.registry}` as somebody who may {verb} it"
        )
    if isinstance(error, NotFound):
        return NotFound(f"{failed}: {error}; check its name and tag")
    return type(error)(f"{failed}: {error}")
