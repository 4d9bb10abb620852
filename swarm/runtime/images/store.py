"""The images of one node: the ImageStore that agent, runtime and manager share.

One instance per folder and process; a lock on the folder makes a second one fail. Everything is called on
the event loop; what blocks runs in threads or in the unpacking process.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from swarm.clock import SECOND, Clock, SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, TaskRejected
from swarm.file_lock import lock_alone
from swarm.model.reference import Reference, parse_reference
from swarm.model.registries import RegistryRules
from swarm.runtime.images.archive_images import complete_blobs
from swarm.runtime.images.base import BlobSource, Credentials, ImageConfig, LoadedImage, Pull
from swarm.runtime.images.blobs import closing
from swarm.runtime.images.collect import Collector
from swarm.runtime.images.collected import Collected, ImageUsage
from swarm.runtime.images.commit import Configure, commit
from swarm.runtime.images.digests import check_digest
from swarm.runtime.images.ensure import Ensurer, Search
from swarm.runtime.images.fetch import Fetcher, Wanted
from swarm.runtime.images.history import Step, history
from swarm.runtime.images.leases import Lease
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.load import read_archive
from swarm.runtime.images.local import LocalImage
from swarm.runtime.images.manifest import Manifest, parse_configuration
from swarm.runtime.images.parts import Parts, PlatformImage, parts_of, platforms_of
from swarm.runtime.images.platforms import ImagePlatform, choose_platform, host_platform
from swarm.runtime.images.pull import together
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.registry_push import Destination, push_image
from swarm.runtime.images.registry_tags import list_tags
from swarm.runtime.images.save import SavedImage, archive, shown_manifest
from swarm.runtime.images.single_flight import SingleFlight
from swarm.runtime.images.storage import Storage
from swarm.runtime.images.usage import image_usage

log = structlog.get_logger(__name__)

_LOADS_MAX = 2
_FETCHES_MAX = 8  # a registry that keeps some of them waiting must not keep all
_COPIES_MAX = 4


class LocalImageStore:
    """Images, layers and references below one folder."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        insecure_registries: Sequence[str] = (),
        registry_rules: RegistryRules | None = None,
        overlay: bool | None = None,
        limits: Limits | None = None,
        keep_unused_s: float = 7 * 86400.0,
        keep_recent_s: float = 600.0,
    ) -> None:
        """Open the store in `directory`; raises FailedPrecondition when another process has it open.

        `overlay`: unpack for overlayfs, confined by chroot; default: when we are root. `keep_unused_s`: how
        long images pulled for tasks stay without use. `keep_recent_s`: what is younger is never deleted.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory / "lock")
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._platform = host_platform()
        storage = Storage.open(
            directory,
            self._limits,
            self._platform,
            overlay=os.geteuid() == 0 if overlay is None else overlay,
        )
        self._storage = storage
        self._blobs = storage.blobs
        self._layers = storage.layers
        self._leases = storage.leases
        self._records = storage.records
        self._images = storage.images
        self._holds = storage.holds
        self._loads = asyncio.Semaphore(_LOADS_MAX)
        self._fetches = asyncio.Semaphore(_FETCHES_MAX)
        self._copies = asyncio.Semaphore(_COPIES_MAX)
        self._commits = asyncio.Semaphore(_LOADS_MAX)  # apart: on a manager each waits for a load
        self._used_at_ns: dict[str, int] = {}
        self._registry = RegistryClient(insecure_registries, self._limits, rules=registry_rules)
        self._fetcher = Fetcher(storage, self._registry)
        self._ensurer = Ensurer(storage, self._registry)
        self._ensuring: SingleFlight[tuple[str, str, Credentials | None, Pull], LocalImage] = SingleFlight()
        self._collector = Collector(
            storage,
            keep_unused_ns=int(keep_unused_s * SECOND),
            keep_recent_ns=int(keep_recent_s * SECOND),
        )

    async def close(self) -> None:
        """Let go of connections and of the folder's lock."""
        await self._registry.close()
        os.close(self._lock)

    # For the agent.

    async def ensure(
        self,
        reference: str,
        digest: str,
        credentials: Credentials | None,
        source: BlobSource | None,
        progress: Callable[[str], None] | None = None,
        pull: Pull = Pull.MISSING,
    ) -> ImageConfig:
        """Make the image usable here: local, else the cluster's own (`source`), else its registry.

        `digest`: of the manifest or index, when the task is pinned to one, else empty: then what the cluster
        calls so wins over what is local. Tasks that need the same image share one pull.
        Raises TaskRejected with the reason of each place that was tried.
        """
        try:
            parsed = parse_reference(reference)
            wanted = check_digest(digest or parsed.digest) if digest or parsed.digest else ""
        except InvalidArgument as error:
            raise TaskRejected(str(error)) from error

        async def work() -> LocalImage:
            with self._holds.new() as hold:
                search = Search(parsed, wanted, hold, progress or _silent, pull)
                found = await self._ensurer.ensure(search, credentials, source, self._clock.now_ns())
                self._used_at_ns[found.manifest_digest] = self._clock.now_ns()
                return found

        image = await self._ensuring.run((str(parsed), wanted, credentials, pull), work)
        return image.configuration.image

    def image_of(self, container_id: str, manifest_digest: str = "") -> ImageConfig | None:
        """Return what the image of a container says; of one that is not made yet that with the digest."""
        lease = self._leases.all.get(container_id)
        digest = lease.manifest_digest if lease is not None else manifest_digest
        try:
            return self._images.image(digest).configuration.image
        except (NotFound, InvalidArgument):
            return None

    # For the runtime.

    def image_config(self, manifest_digest: str) -> ImageConfig:
        """Return what an image that `ensure` made usable says of its containers; raises NotFound."""
        return self._whole(manifest_digest).configuration.image

    def lower_dirs(self, manifest_digest: str) -> list[Path]:
        """Return the folders of an image's layers, top layer first, never empty; raises NotFound."""
        diff_ids = self._whole(manifest_digest).configuration.diff_ids
        # overlayfs refuses a folder that comes twice; the upper one shows all that the lower one would.
        numbers = dict.fromkeys(self._records.layers[diff_id].number for diff_id in reversed(diff_ids))
        return [self._layers.path(number) for number in numbers] or [self._layers.empty()]

    def lease(self, container_id: str, manifest_digest: str, more: Sequence[str] = ()) -> None:
        """Keep an image's content while a container exists, also across a restart of this process.

        `more`: those of other images that it mounts. May be repeated. Raises NotFound when one is not
        whole here.
        """
        images = [self._whole(digest) for digest in (manifest_digest, *more)]
        digests = dict.fromkeys(digest for image in images for digest in image.digests)
        diff_ids = (diff_id for image in images for diff_id in image.configuration.diff_ids)
        numbers = [self._records.layers[diff_id].number for diff_id in diff_ids]
        self._leases.take(container_id, Lease(manifest_digest, [*digests, *more], numbers))

    def release(self, container_id: str) -> None:
        """End a container's lease; nothing happens when there is none."""
        if (lease := self._leases.all.get(container_id)) is not None:
            self._used_at_ns[lease.manifest_digest] = self._clock.now_ns()
        self._leases.give_back(container_id)

    def leases(self) -> dict[str, str]:
        """Return the manifest digest of every lease by container id."""
        return {container_id: lease.manifest_digest for container_id, lease in self._leases.all.items()}

    def image_bytes(self, container_id: str) -> int:
        """Return what the image of a container takes unpacked; 0 for one that has none here."""
        lease = self._leases.all.get(container_id)
        if lease is None:
            return 0
        diff_ids = set(self._images.image(lease.manifest_digest).configuration.diff_ids)
        layers = self._records.layers
        return sum(layers[one].size_bytes for one in diff_ids if one in layers)

    @asynccontextmanager
    async def commit(
        self, container_id: str, layer: AsyncIterator[bytes], configure: Configure
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """Make an image of a container's image and a layer; yield its digest and an archive of it.

        It has no name here, and is kept for as long as the block lasts. Raises NotFound without the
        container, and as `commit.commit` and `save`.
        """
        lease = self._leases.all.get(container_id)
        if lease is None:
            raise NotFound(f"container {container_id} has no image on this node")
        async with self._commits:
            with self._holds.new() as hold:
                base = self._whole(lease.manifest_digest)
                digest = await commit(self._storage, base, layer, configure, hold)
                log.info("images.container_committed", container=container_id, digest=digest)
                yield digest, self.save({digest: ()})

    # For managers.

    async def load(self, archive: AsyncIterator[bytes], reference: str = "") -> Sequence[LoadedImage]:
        """Import an OCI layout or `docker save` archive; raises InvalidArgument for anything else.

        `reference` names an image that has no name in the archive. Nothing is kept when anything is wrong.
        """
        async with self._loads:
            with self._holds.new() as hold, self._layers.staging() as folder:
                findings = await read_archive(archive, reference, folder, self._limits)
                for image in findings.images:
                    hold.add(*image.blobs)
                for digest in dict.fromkeys(digest for image in findings.images for digest in image.blobs):
                    if self._blobs.has(digest):
                        self._blobs.touch(digest)
                    elif digest in findings.made:
                        await self._blobs.put(findings.made[digest])
                    else:
                        await self._blobs.adopt(findings.files[digest].path, digest)
                for image in findings.images:
                    self._records.tag(
                        image.reference, image.digest, pinned=True, now_ns=self._clock.now_ns()
                    )
                await self._records.save()
        for image in findings.images:
            log.info(
                "images.image_loaded", reference=image.reference, digest=image.digest, size=image.size_bytes
            )
        return [
            LoadedImage(image.reference, image.digest, image.size_bytes, image.blobs)
            for image in findings.images
        ]

    async def ingest(self, reference: str, digest: str, blobs: Sequence[str], source: BlobSource) -> None:
        """Copy all blobs of an image from `source`, checking every digest, and tag it until `remove`.

        Raises InvalidArgument when the content is not what it should be, SwarmError when it does not come.
        """
        name = str(parse_reference(reference))
        with self._holds.new() as hold:
            hold.add(digest, *(check_digest(blob) for blob in blobs))
            await together(self._copy(blob, source) for blob in dict.fromkeys((digest, *blobs)))
            for blob in blobs:
                self._blobs.touch(blob)
            # The list came from elsewhere: an image that lacks something must not look complete here.
            complete_blobs(digest, self._document, self._blobs.has, self._limits)
            self._records.tag(name, digest, pinned=True, now_ns=self._clock.now_ns())
            await self._records.save()

    async def fetch(
        self,
        reference: str,
        wanted: Wanted,
        credentials: Credentials | None,
        progress: Callable[[str], None] | None = None,
    ) -> LoadedImage:
        """Get an image from its registry as content, not unpacked, and tag it until `remove`.

        Raises InvalidArgument, NotFound, Unauthenticated, Unavailable, OSError.
        """
        parsed, tell = parse_reference(reference), progress or _silent
        if self._fetches.locked():
            tell(f"waiting: {_FETCHES_MAX} images are being pulled already")
        async with self._fetches:
            with self._holds.new() as hold:
                top = await self._fetcher.fetch(parsed, wanted, credentials, hold, tell)
                image = self.loaded(str(replace(parsed, digest="")), top)
                hold.add(*image.blobs)
                self._records.tag(image.reference, top, pinned=True, now_ns=self._clock.now_ns())
                await self._records.save()
        log.info("images.image_fetched", reference=image.reference, digest=top)
        return image

    def loaded(self, reference: str, digest: str) -> LoadedImage:
        """Return an image as far as its content is here; raises InvalidArgument when nothing is whole."""
        blobs = complete_blobs(digest, self._document, self._blobs.has, self._limits)
        return LoadedImage(reference, digest, self.size(blobs), blobs)

    async def tags(self, reference: Reference, credentials: Credentials | None) -> list[str]:
        """Return the tags that the registry has of a repository; raises as `list_tags`."""
        repository = Repository(reference.registry, reference.repository)
        return await list_tags(self._registry, repository, credentials, self._limits)

    async def push(
        self,
        reference: str,
        digest: str,
        credentials: Credentials | None,
        elsewhere: Callable[[str], str | None],
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Parts, int]:
        """Give an image to the registry that `reference` names; return what it is there, and bytes sent.

        `elsewhere` says which other repository of the registry may have a blob. Raises InvalidArgument (not
        whole here) and as `fetch`.
        """
        parsed = parse_reference(reference)
        repository = Repository(parsed.registry, parsed.repository)
        with self._holds.new() as hold:
            parts = self.parts(digest)
            hold.add(digest, *(blob.digest for blob in parts.blobs))
            destination = Destination(repository, parsed.tag, credentials, elsewhere)
            sent = await push_image(
                self._registry, destination, parts, self._blobs.read, progress or _silent
            )
        log.info("images.image_pushed", reference=str(parsed), digest=parts.documents[-1].digest, size=sent)
        return parts, sent

    def save(self, images: Mapping[str, Sequence[str]]) -> AsyncIterator[bytes]:
        """Return a tar stream with images: names by digest; raises InvalidArgument (not whole here)."""
        saved = []
        for digest, names in images.items():
            parts = self.parts(digest)
            saved.append(SavedImage(names, parts, shown_manifest(parts, self._runs_here)))
        return self._held(archive(saved, self._blobs.read), list(images))

    def history(self, digest: str) -> tuple[Sequence[Step], bytes]:
        """Return the steps by which an image was made, oldest first, and its configuration, JSON.

        Raises InvalidArgument, NotFound.
        """
        manifest = shown_manifest(self.parts(digest), self._runs_here)
        configuration = self._blobs.document(manifest.config.digest)
        return history(manifest, configuration), configuration

    def parts(self, digest: str) -> Parts:
        """Return what an image consists of; raises InvalidArgument when it is not whole here."""
        return parts_of(digest, self._document, self._blobs.has, self._limits)

    def platforms(self, digest: str) -> Sequence[PlatformImage]:
        """Return what an image has for each of its platforms; raises InvalidArgument."""
        return platforms_of(digest, self._document, self._blobs.has, self._limits)

    def size(self, blobs: Iterable[str]) -> int:
        """Return how many bytes those of `blobs` take that are here."""
        return sum(self._blobs.size(digest) for digest in blobs if self._blobs.has(digest))

    def has(self, blobs: Sequence[str]) -> bool:
        """Tell whether every blob is here."""
        return all(self._blobs.has(digest) for digest in blobs)

    def read_blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield a blob's bytes from `offset` on; raises NotFound."""
        return self._blobs.read(digest, offset)

    async def remove(self, reference: str) -> None:
        """Forget a reference; content goes when nothing uses it any more. Unknown ones are no error."""
        self._records.untag(str(parse_reference(reference)))
        await self._records.save()

    def pinned(self) -> dict[str, str]:
        """Return the digest of every reference that stays until it is removed."""
        references = self._records.references.items()
        return {name: reference.digest for name, reference in references if reference.pinned}

    # For housekeeping.

    async def gc(self, now_ns: int, needed: Iterable[str] = (), *, unused: bool = False) -> Collected:
        """Delete what no reference, container, pull or load needs and nobody used lately.

        `needed`: manifests that tasks were prepared with; they wait for a container, perhaps for hours. With
        `unused` also images pulled for tasks that are gone, however short ago.
        """
        self._used_at_ns.update(dict.fromkeys(needed, now_ns))
        return await self._collector.collect(now_ns, self._used_at_ns, unused=unused)

    def usage(self) -> ImageUsage:
        """Return what images take on the disk; blocks for some milliseconds."""
        return image_usage(self._storage)

    def unpacked_bytes(self) -> int:
        """Return the size of all unpacked layers (for metrics)."""
        return sum(layer.size_bytes for layer in self._records.layers.values())

    def image_count(self) -> int:
        """Return the number of references (for metrics)."""
        return len(self._records.references)

    def _whole(self, manifest_digest: str) -> LocalImage:
        try:
            image = self._images.image(check_digest(manifest_digest))
        except InvalidArgument as error:
            raise NotFound(f"image {manifest_digest} cannot be used: {error}") from error
        if self._images.missing(image):
            raise NotFound(f"image {manifest_digest} is not unpacked on this node")
        return image

    def _runs_here(self, manifest: Manifest) -> bool:
        image = parse_configuration(self._blobs.document(manifest.config.digest), "").image
        return choose_platform(self._platform, [ImagePlatform(image.os, image.architecture)]) is not None

    async def _held(self, chunks: AsyncIterator[bytes], digests: Sequence[str]) -> AsyncIterator[bytes]:
        with self._holds.new() as hold:
            for digest in digests:
                hold.add(digest, *(blob.digest for blob in self.parts(digest).blobs))
            async with closing(chunks) as open_chunks:
                async for chunk in open_chunks:
                    yield chunk

    async def _copy(self, digest: str, source: BlobSource) -> None:
        async with self._copies:
            await self._blobs.receive(digest, None, lambda offset: source.fetch(digest, offset))

    def _document(self, digest: str) -> bytes | None:
        try:
            return self._blobs.document(digest)
        except NotFound:
            return None


def _silent(line: str) -> None:
    """Ignore progress."""


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock_alone(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise FailedPrecondition(f"the image store {path.parent} is used by another process") from None
    return descriptor
