"""How do an image's documents and layers come here and get unpacked, several at a time, each one once?"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any

from swarm.errors import InvalidArgument, NotFound, Unavailable
from swarm.runtime.images.digests import short
from swarm.runtime.images.holds import Hold
from swarm.runtime.images.local import LocalImage
from swarm.runtime.images.manifest import Descriptor, Index, choose_manifest, parse_manifest
from swarm.runtime.images.meter import Meter
from swarm.runtime.images.records import Layer
from swarm.runtime.images.single_flight import SingleFlight
from swarm.runtime.images.storage import Storage

_DOWNLOADS_MAX = 4

Progress = Callable[[str], None]
FetchFrom = Callable[[str, int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Origin:
    """A place with content by digest: `document` for manifests and indexes, `blob` for the rest."""

    name: str
    document: FetchFrom
    blob: FetchFrom


async def _nothing(digest: str, offset: int) -> AsyncIterator[bytes]:
    raise NotFound(f"{short(digest)} is not on this node")
    yield b""


HERE = Origin("this node", _nothing, _nothing)


class Puller:
    """Brings images from an origin to the blobs and layers of this node."""

    def __init__(self, storage: Storage) -> None:
        self._blobs = storage.blobs
        self._layers = storage.layers
        self._records = storage.records
        self._leases = storage.leases
        self._images = storage.images
        self._layers_max = storage.limits.layers_max
        self._platform = storage.platform
        self._overlay = storage.overlay
        self._boot_id = storage.boot_id
        self._downloads = asyncio.Semaphore(_DOWNLOADS_MAX)
        self._unpacking: SingleFlight[str, None] = SingleFlight()

    async def pull(self, top: str, origin: Origin, hold: Hold, progress: Progress) -> LocalImage:
        """Return the image of a manifest or index, unpacked; raises SwarmError, OSError."""
        hold.add(top)
        await self._document(top, origin)
        document = parse_manifest(self._blobs.document(top), self._layers_max)
        if isinstance(document, Index):
            chosen = choose_manifest(document, self._platform).digest
            hold.add(chosen)
            await self._document(chosen, origin)
        _, manifest = self._images.manifest(top)
        hold.add(manifest.config.digest)
        await self._blob(manifest.config, origin, progress)
        image = self._images.image(top)
        hold.add(*image.digests)
        pairs = list(zip(manifest.layers, image.configuration.diff_ids, strict=True))
        metered = self._metered(origin, pairs, progress)
        await together(self._layer(layer, diff_id, metered, progress) for layer, diff_id in pairs)
        await self._records.save()
        return image

    def _metered(
        self, origin: Origin, pairs: Iterable[tuple[Descriptor, str]], progress: Progress
    ) -> Origin:
        """Return `origin`, which from now on says how much of what is missing has come."""
        missing = {
            layer.digest: layer.size_bytes
            for layer, diff_id in pairs
            if diff_id not in self._records.layers and not self._blobs.has(layer.digest)
        }
        meter = Meter(f"pulling from {origin.name}", sum(missing.values()), progress)

        def blob(digest: str, offset: int) -> AsyncIterator[bytes]:
            return meter.count(digest, offset, origin.blob(digest, offset))

        return replace(origin, blob=blob)

    async def _document(self, digest: str, origin: Origin) -> None:
        await self._blobs.receive(
            digest, None, lambda offset: origin.document(digest, offset), document=True
        )

    async def _blob(self, descriptor: Descriptor, origin: Origin, progress: Progress) -> None:
        digest = descriptor.digest
        await self._blobs.receive(
            digest, descriptor.size_bytes, lambda offset: origin.blob(digest, offset), progress
        )

    async def _layer(self, layer: Descriptor, diff_id: str, origin: Origin, progress: Progress) -> None:
        if diff_id in self._records.layers:
            progress(f"{short(layer.digest)}: already here")
            return
        async with self._downloads:
            if not self._blobs.has(layer.digest):
                progress(f"{short(layer.digest)}: downloading {layer.size_bytes} bytes from {origin.name}")
            await self._blob(layer, origin, progress)
        progress(f"{short(layer.digest)}: unpacking")
        await self._unpacking.run(diff_id, lambda: self._unpack(layer.digest, diff_id))
        progress(f"{short(layer.digest)}: done")

    async def _unpack(self, digest: str, diff_id: str) -> None:
        if diff_id in self._records.layers:
            return
        try:
            unpacked, outcome = await self._layers.unpack(self._blobs.path(digest), diff_id)
        except InvalidArgument:
            # Whose fault? A blob that rotted on our disk must not be believed again.
            if await self._blobs.remove_if_damaged(digest):
                raise Unavailable(
                    f"blob {short(digest)} was damaged on this node's disk; it was deleted"
                ) from None
            raise
        # Between here and the record there is no await: two layers never get the same number.
        number = self._records.free_layer_number(self._taken_numbers())
        self._layers.publish(unpacked, number)
        layer = Layer(number, outcome.size_bytes, self._overlay, self._boot_id)
        self._records.put_layer(diff_id, layer)

    def _taken_numbers(self) -> int:
        leased = (number for lease in self._leases.all.values() for number in lease.layer_numbers)
        return max([*self._layers.numbers(), *leased], default=0)


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first error cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
