"""Images for tests that run no real containers: every image is there."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from swarm.api.v1.types_pb2 import HealthConfig
from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.images.base import BlobSource, Credentials, ImageConfig, LoadedImage, Pull
from swarm.runtime.images.collected import Collected, ImageUsage

_BASE = b'{"config": {"Env": ["FROM=image"], "Cmd": ["serve"]}, "rootfs": {"diff_ids": []}}'


class FakeImages:
    """An ImageStore that has every image, unless told otherwise. Its content is the reference itself."""

    def __init__(self) -> None:
        self.pull_s = 0.0
        self.errors: dict[str, list[Exception]] = {}  # by reference: what the next pulls raise
        self.healthchecks: dict[str, HealthConfig] = {}  # by reference: what the image says
        self.missing: dict[str, str] = {}  # by reference: the TaskRejected text of every pull
        self.pulls: Counter[str] = Counter()
        self.says: dict[str, ImageConfig] = {}  # by container id: what its image says
        self.wanted: dict[str, Pull] = {}  # by reference: when the last one wanted a registry to be asked
        self.exposed: Sequence[str] = ()  # what every image says
        self.collections: list[bool] = []  # each with whether what is unused was to go at once
        self.credentials: dict[str, Credentials | None] = {}  # by reference: what the last pull brought

    async def ensure(
        self,
        reference: str,
        digest: str,
        credentials: Credentials | None,
        source: BlobSource | None,
        progress: Callable[[str], None] | None = None,
        pull: Pull = Pull.MISSING,
    ) -> ImageConfig:
        """Pretend to pull."""
        self.pulls[reference] += 1
        self.wanted[reference] = pull
        self.credentials[reference] = credentials
        if progress is not None:
            progress(f"pulling {reference}")
        await asyncio.sleep(self.pull_s)
        if reference in self.missing:
            raise TaskRejected(self.missing[reference])
        if self.errors.get(reference):
            raise self.errors[reference].pop(0)
        return ImageConfig(
            digest=digest or f"sha256:{reference}",
            healthcheck=self.healthchecks.get(reference) or HealthConfig(),
            exposed=self.exposed,
        )

    def image_bytes(self, container_id: str) -> int:
        """Take a kilobyte."""
        return 1000

    @asynccontextmanager
    async def commit(
        self, container_id: str, layer: AsyncIterator[bytes], configure: Callable[[bytes, str], bytes]
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """Give the configuration of the image as its archive, and what the layer says as its digest."""
        diff_id = b"".join([chunk async for chunk in layer]).decode()

        async def archive() -> AsyncIterator[bytes]:
            yield configure(_BASE, diff_id)

        yield f"sha256:{diff_id}", archive()

    def image_of(self, container_id: str, manifest_digest: str = "") -> ImageConfig | None:
        """Return what was put into `says`."""
        return self.says.get(container_id)

    async def load(self, archive: AsyncIterator[bytes], reference: str = "") -> Sequence[LoadedImage]:
        """Refuse: there is nothing to unpack into."""
        raise InvalidArgument("the fake image store cannot load archives")

    async def ingest(self, reference: str, digest: str, blobs: Sequence[str], source: BlobSource) -> None:
        """Pretend to copy."""

    def has(self, blobs: Sequence[str]) -> bool:
        """Have everything."""
        return True

    async def read_blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the digest as content."""
        yield digest.encode()[offset:]

    def usage(self) -> ImageUsage:
        """Take no room."""
        return ImageUsage()

    async def gc(self, now_ns: int, needed: Iterable[str] = (), *, unused: bool = False) -> Collected:
        """Remember that garbage was collected."""
        self.collections.append(unused)
        return Collected()

    async def remove(self, reference: str) -> None:
        """Pretend to forget."""
