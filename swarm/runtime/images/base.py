"""The contract of a node's image store: content by digest, unpacked layers, references."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from swarm.api.v1.types_pb2 import HealthConfig
from swarm.runtime.images.collected import Collected, ImageUsage


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a registry may ask for."""

    server: str = ""
    username: str = ""
    password: str = field(default="", repr=False)  # never in a log or a traceback
    identity_token: str = field(default="", repr=False)


class Pull(Enum):
    """When is a registry asked for an image?"""

    MISSING = "missing"  # it is nowhere else
    ALWAYS = "always"  # also when this node has one of that name; what the cluster was given wins
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about the containers made of it."""

    digest: str  # of the manifest for this platform
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Sequence[str] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    healthcheck: HealthConfig = field(default_factory=HealthConfig, hash=False)
    architecture: str = ""
    os: str = ""
    exposed: Sequence[str] = ()  # PORT[-PORT][/PROTOCOL]
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """One image found in an archive."""

    reference: str
    digest: str
    size_bytes: int
    blobs: Sequence[str]


class BlobSource(Protocol):
    """Somewhere else that has blobs: the managers of the cluster."""

    async def resolve(self, reference: str) -> tuple[str, Sequence[str]] | None:
        """Return (digest, all blob digests) of an image loaded into the cluster, None when unknown."""

    def fetch(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on."""


class ImageStore(Protocol):
    """Images of one node."""

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

        Raises TaskRejected with the reason of each place that was tried.
        """

    def image_of(self, container_id: str, manifest_digest: str = "") -> ImageConfig | None:
        """Return what the image of a container says; of one that is not made yet that with the digest.

        None when it is not here.
        """

    def image_bytes(self, container_id: str) -> int:
        """Return what the image of a container takes unpacked; 0 for one that has none here."""

    def commit(
        self, container_id: str, layer: AsyncIterator[bytes], configure: Callable[[bytes, str], bytes]
    ) -> AbstractAsyncContextManager[tuple[str, AsyncIterator[bytes]]]:
        """Make an image of a container's image and a layer; give its digest and an archive of it.

        `configure` makes its configuration of that of the image and the digest of the layer. Raises
        NotFound, InvalidArgument, FailedPrecondition, OSError.
        """

    async def load(self, archive: AsyncIterator[bytes], reference: str = "") -> Sequence[LoadedImage]:
        """Import an OCI layout or `docker save` archive; raises InvalidArgument for anything else."""

    async def ingest(self, reference: str, digest: str, blobs: Sequence[str], source: BlobSource) -> None:
        """Copy all blobs of an image from `source`, checking every digest, and tag it."""

    def has(self, blobs: Sequence[str]) -> bool:
        """Tell whether every blob is here."""

    def read_blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield a blob's bytes from `offset` on; raises NotFound."""

    async def remove(self, reference: str) -> None:
        """Forget a reference; content goes when nothing uses it any more."""

    def usage(self) -> ImageUsage:
        """Return what images take on the disk; blocks."""

    async def gc(self, now_ns: int, needed: Iterable[str] = (), *, unused: bool = False) -> Collected:
        """Delete what nothing needs and nobody used lately; with `unused` also images pulled for tasks that
        are gone, however short ago.
        """
