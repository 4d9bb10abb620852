"""What do the images of a node take on its disk, and how much of it is needed?"""

from collections.abc import Sequence

from swarm.errors import SwarmError
from swarm.runtime.images.collected import ImageItem, ImageUsage
from swarm.runtime.images.garbage import reachable
from swarm.runtime.images.storage import Storage


def image_usage(storage: Storage) -> ImageUsage:
    """Return what is there; reads every manifest, so it blocks for some milliseconds."""
    users: dict[str, list[str]] = {}
    for container_id, lease in storage.leases.all.items():
        users.setdefault(lease.manifest_digest, []).append(container_id)
    items = []
    needed = [digest for lease in storage.leases.all.values() for digest in lease.digests]
    needed += [lease.manifest_digest for lease in storage.leases.all.values()]
    for name, reference in sorted(storage.records.references.items()):
        inside = _reachable(storage, [reference.digest])
        using = sorted(one for digest in inside for one in users.get(digest, ()))
        items.append(ImageItem(name, reference.digest, _size(storage, inside), using, reference.pinned))
        if reference.pinned:
            needed.append(reference.digest)
    total = sum(storage.blobs.size(digest) for digest in storage.blobs.digests())
    total += sum(layer.size_bytes for layer in storage.records.layers.values())
    return ImageUsage(items, total, max(0, total - _size(storage, _reachable(storage, needed))))


def _reachable(storage: Storage, roots: Sequence[str]) -> set[str]:
    def read(digest: str) -> bytes | None:
        try:
            return storage.blobs.document(digest)
        except (SwarmError, OSError):
            return None

    return reachable(roots, read, storage.limits.layers_max)


def _size(storage: Storage, digests: set[str]) -> int:
    layers = storage.records.layers
    blobs = sum(storage.blobs.size(one) for one in digests if storage.blobs.has(one))
    return blobs + sum(layers[one].size_bytes for one in digests if one in layers)
