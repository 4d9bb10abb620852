"""How much of anything an image may make this node hold; images come from strangers.

Imports nothing but the standard library: the unpacking process loads it as well.
"""

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for images; every one stops a known way to fill a disk or a memory."""

    # A large distribution with all its documentation has about 300,000 files.
    entries_max: int = 1_000_000
    unpacked_bytes_max: int = 64 * GIB
    archive_bytes_max: int = 64 * GIB
    blob_bytes_max: int = 64 * GIB
    # Linux accepts no longer path in one call.
    name_bytes_max: int = 4096
    # Long names and extended headers are held in memory before they can be looked at.
    header_bytes_max: int = 1 * MIB
    # What compresses better than this is a bomb, but only once it is big enough to hurt:
    # gzip reaches 1:1032 on zeros, and images with a file of zeros do exist.
    expansion_max: int = 250
    expansion_free_bytes: int = 1 * GIB
    # Manifests, indexes and configurations are read into memory.
    document_bytes_max: int = 4 * MIB
    # overlayfs takes 500; the option page of mount(2) is the narrower bound.
    layers_max: int = 250
    images_per_archive_max: int = 1000
    # The cluster takes no more images, whatever their names.
    tags_max: int = 10_000

    def inflated_bytes_max(self, compressed_bytes: int) -> int:
        """Return how large a stream of `compressed_bytes` may become."""
        by_ratio = max(self.expansion_free_bytes, compressed_bytes * self.expansion_max)
        return min(self.unpacked_bytes_max, by_ratio)
