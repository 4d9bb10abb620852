"""Which images are whole on this node, and what do they need?"""

from dataclasses import dataclass

from swarm.errors import InvalidArgument, SwarmError
from swarm.runtime.images.blobs import BlobDirectory
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import (
    Configuration,
    Manifest,
    check_count,
    check_runnable,
    choose_manifest,
    parse_configuration,
    parse_manifest,
)
from swarm.runtime.images.platforms import ImagePlatform
from swarm.runtime.images.records import ImageRecords


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image whose documents are here, for this node's platform."""

    manifest_digest: str
    manifest: Manifest
    configuration: Configuration

    @property
    def digests(self) -> tuple[str, ...]:
        """Every blob digest and diff id."""
        layers = (layer.digest for layer in self.manifest.layers)
        return (self.manifest_digest, self.manifest.config.digest, *layers, *self.configuration.diff_ids)


class LocalImages:
    """Reads images from the blobs of this node."""

    def __init__(
        self, blobs: BlobDirectory, records: ImageRecords, limits: Limits, platform: ImagePlatform
    ) -> None:
        self._blobs = blobs
        self._records = records
        self._limits = limits
        self._platform = platform
        self._parsed: dict[str, LocalImage] = {}

    def image(self, top: str) -> LocalImage:
        """Return the image of a manifest or index; raises NotFound, InvalidArgument."""
        if top not in self._parsed:
            self._parsed[top] = self._read(top)
        return self._parsed[top]

    def missing(self, image: LocalImage) -> list[str]:
        """Return the diff ids of layers that are not unpacked."""
        return [diff_id for diff_id in image.configuration.diff_ids if diff_id not in self._records.layers]

    def available(self, top: str) -> bool:
        """Tell whether the image can be used without any other place: all is unpacked or here as blobs."""
        try:
            image = self.image(top)
        except SwarmError:
            return False
        pairs = zip(image.manifest.layers, image.configuration.diff_ids, strict=True)
        return all(
            diff_id in self._records.layers or self._blobs.has(layer.digest) for layer, diff_id in pairs
        )

    def manifest(self, top: str) -> tuple[str, Manifest]:
        """Return the manifest for this node's platform with its digest; raises NotFound, InvalidArgument."""
        document = parse_manifest(self._blobs.document(top), self._limits.layers_max)
        if isinstance(document, Manifest):
            return top, document
        chosen = choose_manifest(document, self._platform).digest
        inner = parse_manifest(self._blobs.document(chosen), self._limits.layers_max)
        if not isinstance(inner, Manifest):
            raise InvalidArgument(f"{top} is an index of indexes")
        return chosen, inner

    def forget(self) -> None:
        """Forget what was read: content was deleted."""
        self._parsed.clear()

    def _read(self, top: str) -> LocalImage:
        digest, manifest = self.manifest(top)
        configuration = parse_configuration(self._blobs.document(manifest.config.digest), digest)
        check_count(manifest, configuration)
        check_runnable(manifest, ImagePlatform(configuration.image.os, configuration.image.architecture))
        return LocalImage(digest, manifest, configuration)
