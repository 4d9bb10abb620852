"""How does a whole image come from its registry as content, for several platforms, and not unpacked?"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from swarm.errors import InvalidArgument
from swarm.model.reference import Reference
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.digests import short
from swarm.runtime.images.holds import Hold
from swarm.runtime.images.manifest import (
    Descriptor,
    Index,
    Manifest,
    check_count,
    check_runnable,
    choose_manifest,
    parse_configuration,
    parse_manifest,
)
from swarm.runtime.images.meter import Meter
from swarm.runtime.images.platforms import ImagePlatform, choose_platform
from swarm.runtime.images.pull import FetchFrom, Progress, together
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.storage import Storage

_DOWNLOADS_MAX = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which platforms of an image: all there are, or some; `strictly`: each of them must be there."""

    platforms: Sequence[ImagePlatform] = ()
    strictly: bool = False
    everything: bool = False


def choose_entries(index: Index, wanted: Wanted) -> list[Descriptor]:
    """Return the manifests of `index` to fetch; raises InvalidArgument listing what there is."""
    if wanted.everything:
        return _once(index.manifests)
    found: list[Descriptor] = []
    problems: list[InvalidArgument] = []
    for platform in wanted.platforms:
        try:
            found.append(choose_manifest(index, platform))
        except InvalidArgument as problem:
            problems.append(problem)
    if problems and (wanted.strictly or not found):
        raise problems[0]
    return _once(found)


def check_platform(offered: ImagePlatform, wanted: Wanted) -> None:
    """Raise InvalidArgument unless an image without index is for each platform that is strictly wanted."""
    for platform in wanted.platforms if wanted.strictly else ():
        if choose_platform(platform, [offered]) is None:
            raise InvalidArgument(f"no image for {platform}, only for {offered}")


class Fetcher:
    """Brings the content of images from their registries to the blobs of this node."""

    def __init__(self, storage: Storage, registry: RegistryClient) -> None:
        self._blobs = storage.blobs
        self._layers_max = storage.limits.layers_max
        self._registry = registry

    async def fetch(
        self,
        reference: Reference,
        wanted: Wanted,
        credentials: Credentials | None,
        hold: Hold,
        progress: Progress,
    ) -> str:
        """Return the digest of the image's manifest or index, once all wanted content is here.

        Raises NotFound, Unauthenticated, Unavailable, InvalidArgument (no image, or not for the platform),
        OSError.
        """
        repository = Repository(reference.registry, reference.repository)
        blob: FetchFrom = lambda digest, offset: self._registry.blob(  # noqa: E731
            repository, digest, offset, credentials, progress
        )

        async def document(tag_or_digest: str) -> tuple[str, Manifest | Index]:
            fetched = await self._registry.manifest(repository, tag_or_digest, credentials, progress)
            hold.add(fetched.digest)
            await self._blobs.put(fetched.content)
            return fetched.digest, parse_manifest(fetched.content, self._layers_max)

        progress(f"Pulling {reference.familiar} from {reference.registry}")
        top, found = await document(reference.digest or reference.tag)
        manifests: list[Manifest] = []
        if isinstance(found, Manifest):
            await self._config(found, blob, hold, lambda offered: check_platform(offered, wanted))
            manifests.append(found)
        else:
            for entry in choose_entries(found, wanted):
                _, inner = await document(entry.digest)
                if isinstance(inner, Index):
                    raise InvalidArgument("the image is an index of indexes")
                # What has no platform (a signature, a list of parts) comes along with everything.
                runs = entry.platform is not None and entry.platform.os != "unknown"
                await self._config(inner, blob, hold, (lambda _: None) if runs else None)
                manifests.append(inner)
        layers = _once(layer for manifest in manifests for layer in manifest.layers)
        hold.add(*(layer.digest for layer in layers))
        await self._layers(repository.domain, layers, blob, progress)
        progress(f"Digest: {top}")
        return top

    async def _config(
        self,
        manifest: Manifest,
        blob: FetchFrom,
        hold: Hold,
        check: Callable[[ImagePlatform], None] | None,
    ) -> None:
        """Fetch a configuration before any layer: what is no container image is refused early."""
        config = manifest.config
        hold.add(config.digest)
        await self._blobs.receive(
            config.digest, config.size_bytes, lambda offset: blob(config.digest, offset)
        )
        if check is None:
            return
        parsed = parse_configuration(self._blobs.document(config.digest), "")
        check_count(manifest, parsed)
        offered = ImagePlatform(parsed.image.os, parsed.image.architecture)
        check(offered)
        check_runnable(manifest, replace(offered, os=""))  # it may be for other machines than this

    async def _layers(
        self, domain: str, layers: Sequence[Descriptor], blob: FetchFrom, progress: Progress
    ) -> None:
        missing = [layer for layer in layers if not self._blobs.has(layer.digest)]
        meter = Meter(f"Pulling from {domain}", sum(layer.size_bytes for layer in missing), progress)
        downloads = asyncio.Semaphore(_DOWNLOADS_MAX)

        async def fetch(layer: Descriptor) -> None:
            digest = layer.digest
            if self._blobs.has(digest):
                self._blobs.touch(digest)
                progress(f"{short(digest)}: already here")
                return
            async with downloads:
                await self._blobs.receive(
                    digest,
                    layer.size_bytes,
                    lambda offset: meter.count(digest, offset, blob(digest, offset)),
                    progress,
                )
            progress(f"{short(digest)}: done")

        await together(fetch(layer) for layer in layers)


def _once(descriptors: Iterable[Descriptor]) -> list[Descriptor]:
    return list({descriptor.digest: descriptor for descriptor in descriptors}.values())
