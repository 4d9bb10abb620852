"""Where does a task's image come from? Tries this node, the cluster, the registry; says why each failed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog

from swarm.errors import SwarmError, TaskRejected
from swarm.model.reference import Reference
from swarm.runtime.images.base import BlobSource, Credentials, Pull
from swarm.runtime.images.digests import short
from swarm.runtime.images.holds import Hold
from swarm.runtime.images.local import LocalImage
from swarm.runtime.images.pull import HERE, Origin, Progress, Puller
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.storage import Storage

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Search:
    """One search for one image, and what came of each place so far."""

    reference: Reference
    wanted: str  # digest, empty while any will do
    hold: Hold
    progress: Progress
    pull: Pull = Pull.MISSING
    reasons: list[str] = field(default_factory=list)

    def failed(self, place: str, error: Exception | str) -> None:
        """Remember why a place did not help."""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.reasons.append(f"{place}: {reason}")
        self.progress(f"{place}: {reason}")


class Ensurer:
    """Makes images usable on this node."""

    def __init__(self, storage: Storage, registry: RegistryClient) -> None:
        self._puller = Puller(storage)
        self._blobs = storage.blobs
        self._images = storage.images
        self._records = storage.records
        self._registry = registry

    async def ensure(
        self,
        search: Search,
        credentials: Credentials | None,
        source: BlobSource | None,
        now_ns: int,
    ) -> LocalImage:
        """Return the unpacked image and remember its name; raises TaskRejected."""
        reference, pinned = search.reference, bool(search.wanted)
        image = (
            await self._by_digest(search)
            or await self._from_cluster(search, source)
            or await self._by_name(search)
            or await self._from_registry(search, credentials)
        )
        if image is None:
            raise TaskRejected(f'cannot get image "{reference.familiar}": {"; ".join(search.reasons)}')
        # A pinned task says nothing about what the tag means now.
        name = f"{reference.name}@{search.wanted}" if pinned else str(reference)
        self._records.tag(name, search.wanted, pinned=False, now_ns=now_ns)
        try:
            await self._records.save()
        except OSError as error:
            # The image is whole and known in memory; only its name would be lost.
            log.warning("images.records_not_saved", reference=name, reason=error.strerror)
        return image

    async def _by_digest(self, search: Search) -> LocalImage | None:
        if not search.wanted:
            return None
        search.hold.add(search.wanted)
        return await self._local(search, search.wanted)

    async def _by_name(self, search: Search) -> LocalImage | None:
        if search.wanted or search.pull is Pull.ALWAYS:
            return None
        known = self._records.references.get(str(search.reference))
        if known is None:
            search.failed("this node", "no image of that name")
            return None
        search.hold.add(known.digest)
        image = await self._local(search, known.digest)
        if image is not None:
            search.wanted = known.digest
        return image

    async def _local(self, search: Search, digest: str) -> LocalImage | None:
        if not self._images.available(digest):
            search.failed("this node", "not here")
            return None
        return await self._attempt(search, digest, HERE)

    async def _from_cluster(self, search: Search, source: BlobSource | None) -> LocalImage | None:
        if source is None:
            return None
        try:
            # A pinned task gets its content also after the tag has moved on.
            wanted = search.reference.with_digest(search.wanted) if search.wanted else search.reference
            found = await source.resolve(str(wanted))
        except SwarmError as error:
            search.failed("cluster", error)
            return None
        if found is None:
            search.failed("cluster", "no such image was loaded")
            return None
        if search.wanted and found[0] != search.wanted:
            search.failed("cluster", f"has {short(found[0])} instead of {short(search.wanted)}")
            return None
        search.wanted = found[0]
        search.hold.add(search.wanted)
        if self._images.available(search.wanted):
            return await self._attempt(search, search.wanted, HERE)
        return await self._attempt(search, search.wanted, Origin("cluster", source.fetch, source.fetch))

    async def _from_registry(self, search: Search, credentials: Credentials | None) -> LocalImage | None:
        place = f"registry {search.reference.registry}"
        if search.pull is Pull.NEVER:
            search.failed(place, "not asked (--pull never)")
            return None
        repository = Repository(search.reference.registry, search.reference.repository)
        tell = search.progress
        tell(f"asking {place}")
        try:
            fetched = await self._registry.manifest(
                repository, search.wanted or search.reference.tag, credentials, tell
            )
            search.hold.add(fetched.digest)
            await self._blobs.put(fetched.content)
        except (SwarmError, OSError) as error:
            search.failed(place, error)
            return None
        search.wanted = fetched.digest

        async def document(digest: str, offset: int) -> AsyncIterator[bytes]:
            inner = await self._registry.manifest(repository, digest, credentials, tell)
            yield inner.content[offset:]

        def blob(digest: str, offset: int) -> AsyncIterator[bytes]:
            return self._registry.blob(repository, digest, offset, credentials, tell)

        return await self._attempt(search, fetched.digest, Origin(place, document, blob))

    async def _attempt(self, search: Search, digest: str, origin: Origin) -> LocalImage | None:
        if origin is not HERE:
            search.progress(f"pulling {search.reference.familiar} from {origin.name}")
        try:
            image = await self._puller.pull(digest, origin, search.hold, search.progress)
        except (SwarmError, OSError) as error:
            search.failed(origin.name, error)
            return None
        log.info("images.image_ready", reference=str(search.reference), digest=digest, place=origin.name)
        return image
