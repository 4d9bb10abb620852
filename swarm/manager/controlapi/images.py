"""What people do with images. Content is not sent on: it goes through the manager that is asked."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.manager.controlapi.ports import ImageControl, ImageStep
from swarm.manager.controlapi.routing import Router

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


class ImagesServicer(ControlBase):
    """The part of service Control that is about images."""

    _images: ImageControl
    _router: Router

    async def LoadImage(
        self, request_iterator: AsyncIterator[control.LoadImageRequest], context: Context
    ) -> control.LoadImageResponse:
        """Take an image archive into this manager; the others copy it from here."""
        return control.LoadImageResponse(images=await self._images.load(request_iterator))

    async def PullImage(
        self, request: control.PullImageRequest, context: Context
    ) -> AsyncIterator[control.PullImageResponse]:
        """Fetch an image from its registry into this manager; the others copy it from here."""
        async for event in _closed(self._images.pull(request)):
            yield event

    async def ListRegistryTags(
        self, request: control.ListRegistryTagsRequest, context: Context
    ) -> control.ListRegistryTagsResponse:
        """Return the tags that a registry has of a repository."""
        auth = request.registry_auth if request.HasField("registry_auth") else None
        return control.ListRegistryTagsResponse(tags=await self._images.tags(request.reference, auth))

    async def PushImage(
        self, request: control.PushImageRequest, context: Context
    ) -> AsyncIterator[control.PushImageResponse]:
        """Give an image to its registry."""
        async for event in _closed(self._images.push(request)):
            yield event

    async def SaveImages(
        self, request: control.SaveImagesRequest, context: Context
    ) -> AsyncIterator[control.SaveImagesResponse]:
        """Send an archive with images."""
        async for chunk in _closed(self._images.save(list(request.refs))):
            yield control.SaveImagesResponse(chunk=chunk)

    async def GetImageHistory(
        self, request: control.GetImageHistoryRequest, context: Context
    ) -> control.GetImageHistoryResponse:
        """Return the steps by which an image was made, and what it says of itself."""
        steps, configuration = await self._images.history(request.ref)
        platforms = [
            control.PlatformImage(
                platform=one.platform, digest=one.digest, size_bytes=one.size_bytes, held=one.held
            )
            for one in self._images.platforms(request.ref)
        ]
        return control.GetImageHistoryResponse(
            entries=[_entry(step) for step in steps], configuration=configuration, platforms=platforms
        )

    async def ListImages(
        self, request: control.ListImagesRequest, context: Context
    ) -> control.ListImagesResponse:
        """Return the images loaded into the cluster."""

        def answer() -> control.ListImagesResponse:
            return control.ListImagesResponse(images=self._images.list(request.filters))

        return await self._router.read("ListImages", request, context, answer)

    async def RemoveImage(
        self, request: control.RemoveImageRequest, context: Context
    ) -> control.RemoveImageResponse:
        """Forget an image."""

        async def commit(timeout_s: float) -> control.RemoveImageResponse:
            return control.RemoveImageResponse(
                id=await self._images.remove(request.ref, force=request.force)
            )

        return await self._router.write("RemoveImage", request, context, commit)

    async def TagImage(self, request: control.TagImageRequest, context: Context) -> control.TagImageResponse:
        """Give an image another name."""

        async def commit(timeout_s: float) -> control.TagImageResponse:
            return control.TagImageResponse(image=await self._images.tag(request.source, request.target))

        return await self._router.write("TagImage", request, context, commit)

    async def PruneImages(
        self, request: control.PruneImagesRequest, context: Context
    ) -> control.PruneImagesResponse:
        """Forget the images that no service needs."""

        async def commit(timeout_s: float) -> control.PruneImagesResponse:
            removed, freed_bytes = await self._images.prune(everything=request.all)
            return control.PruneImagesResponse(images=removed, freed_bytes=freed_bytes)

        return await self._router.write("PruneImages", request, context, commit)

    async def PruneChosenImages(
        self, request: control.PruneChosenImagesRequest, context: Context
    ) -> control.PruneImagesResponse:
        """Forget those of the images that no service needs that are chosen."""

        async def commit(timeout_s: float) -> control.PruneImagesResponse:
            removed, freed_bytes, unread = await self._images.prune_chosen(request, everything=request.all)
            return control.PruneImagesResponse(images=removed, freed_bytes=freed_bytes, unread=unread)

        return await self._router.write("PruneChosenImages", request, context, commit)


async def _closed(stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield what `stream` yields, and end it at once when the reader leaves."""
    async with aclosing(cast("AsyncGenerator[T, None]", stream)) as events:
        async for event in events:
            yield event


def _entry(step: ImageStep) -> control.ImageHistoryEntry:
    entry = control.ImageHistoryEntry(
        created_by=step.created_by, comment=step.comment, layer=step.layer, size_bytes=step.size_bytes
    )
    created = Timestamp()
    try:
        created.FromJsonString(step.created)
    except ValueError:
        return entry  # builders may leave it out, or write what they like
    entry.created_at.CopyFrom(created)
    return entry
