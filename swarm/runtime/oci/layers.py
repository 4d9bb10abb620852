"""What the driver needs from the node's image store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from swarm.errors import NotFound
from swarm.runtime.images.base import ImageConfig


class LayerSource(Protocol):
    """Unpacked images of this node, by the digest of their manifest. Called on the event loop."""

    def lower_dirs(self, manifest_digest: str) -> Sequence[Path]:
        """Return the directories of an image's unpacked layers, top layer first; raises NotFound."""

    def image_config(self, manifest_digest: str) -> ImageConfig:
        """Return what the image says about containers made of it; raises NotFound."""

    def save(self, images: Mapping[str, Sequence[str]]) -> AsyncIterator[bytes]:
        """Return an archive with images for `docker load`: names by digest of the manifest.

        Raises InvalidArgument, NotFound for what is not whole here.
        """

    def lease(self, container_id: str, manifest_digest: str) -> None:
        """Keep the image's content as long as this container exists; may be repeated."""

    def release(self, container_id: str) -> None:
        """Give up a container's lease; an unknown one is no error."""

    def leases(self) -> Mapping[str, str]:
        """Return the manifest digest of every lease by container id."""


class NoImages:
    """A source for drivers that only tear down."""

    def lower_dirs(self, manifest_digest: str) -> Sequence[Path]:
        """Raise NotFound."""
        raise NotFound(f"no image {manifest_digest} here")

    def image_config(self, manifest_digest: str) -> ImageConfig:
        """Raise NotFound."""
        raise NotFound(f"no image {manifest_digest} here")

    def save(self, images: Mapping[str, Sequence[str]]) -> AsyncIterator[bytes]:
        """Raise NotFound."""
        raise NotFound(f"no images {', '.join(images)} here")

    def lease(self, container_id: str, manifest_digest: str) -> None:
        """Hold nothing."""

    def release(self, container_id: str) -> None:
        """Hold nothing."""

    def leases(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}
