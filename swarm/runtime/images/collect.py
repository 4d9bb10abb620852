"""Deletes what nothing needs (the decision is in `garbage`), and brings new layers to the disk.

Marks are made and names taken away without an await in between, so that nothing can start to count on
what is about to go; the deleting itself comes after.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from swarm.errors import SwarmError
from swarm.runtime.images.collected import Collected
from swarm.runtime.images.garbage import expired_references, reachable
from swarm.runtime.images.records import Layer
from swarm.runtime.images.storage import Storage

log = structlog.get_logger(__name__)

# A broken transfer is worth keeping for a while: the next attempt goes on from there.
_KEEP_PARTIAL_NS = 24 * 3600 * 1_000_000_000


class Collector:
    """Garbage collection of one image store."""

    def __init__(self, storage: Storage, *, keep_unused_ns: int, keep_recent_ns: int) -> None:
        self._blobs = storage.blobs
        self._layers = storage.layers
        self._records = storage.records
        self._leases = storage.leases
        self._holds = storage.holds
        self._images = storage.images
        self._layers_max = storage.limits.layers_max
        self._keep_unused_ns = keep_unused_ns
        self._keep_recent_ns = keep_recent_ns

    async def collect(self, now_ns: int, used_at_ns: dict[str, int], *, unused: bool = False) -> Collected:
        """Delete, and return what was deleted.

        `used_at_ns`: when images were last used, by manifest digest; old entries are dropped. `unused`: what
        was pulled for tasks goes when it is no longer young, instead of long unused.
        """
        young_ns = now_ns - self._keep_recent_ns
        for digest in [digest for digest, used in used_at_ns.items() if used < young_ns]:
            del used_at_ns[digest]
        keep_ns = self._keep_recent_ns if unused else self._keep_unused_ns
        references = expired_references(self._records.references, now_ns, keep_ns)
        for name in references:
            self._records.untag(name)
        marked = self._marked(used_at_ns)
        layers = self._forget_layers(marked, young_ns)
        blob_count, blob_bytes = self._withdraw_blobs(marked, young_ns)
        self._images.forget()
        await self._layers.delete_leftovers()  # first: where the disk is full, nothing can be written down
        await self._records.save()
        self._withdraw_layers(young_ns)
        for path in self._blobs.abandoned_transfers(now_ns - _KEEP_PARTIAL_NS):
            path.unlink(missing_ok=True)
        await self._layers.delete_leftovers()
        await self._sync_layers()
        collected = Collected(
            references=len(references),
            layers=len(layers),
            blobs=blob_count,
            bytes=blob_bytes + sum(layer.size_bytes for layer in layers),
        )
        if collected != Collected():
            log.info(
                "images.garbage_collected", layers=collected.layers, blobs=blob_count, bytes=collected.bytes
            )
        return collected

    def _marked(self, used_at_ns: Mapping[str, int]) -> set[str]:
        roots = [reference.digest for reference in self._records.references.values()]
        for lease in self._leases.all.values():
            roots += [lease.manifest_digest, *lease.digests]
        return reachable([*roots, *used_at_ns, *self._holds], self._read, self._layers_max)

    def _read(self, digest: str) -> bytes | None:
        try:
            return self._blobs.document(digest)
        except (SwarmError, OSError):
            return None  # a layer, or not here

    def _leased_numbers(self) -> set[int]:
        return {number for lease in self._leases.all.values() for number in lease.layer_numbers}

    def _forget_layers(self, marked: set[str], young_ns: int) -> list[Layer]:
        leased = self._leased_numbers()
        gone = {
            diff_id: layer
            for diff_id, layer in self._records.layers.items()
            if diff_id not in marked
            and layer.number not in leased
            and self._layers.is_older(layer.number, young_ns)
        }
        for diff_id in gone:
            self._records.drop_layer(diff_id)
        return list(gone.values())

    def _withdraw_layers(self, young_ns: int) -> None:
        """Take away the folders that no record and no lease names: forgotten above, or left by a crash."""
        known = {layer.number for layer in self._records.layers.values()} | self._leased_numbers()
        for number in self._layers.numbers():
            if number not in known and self._layers.is_older(number, young_ns):
                self._layers.withdraw(self._layers.path(number))

    def _withdraw_blobs(self, marked: set[str], young_ns: int) -> tuple[int, int]:
        count = size = 0
        for digest in self._blobs.digests():
            path: Path = self._blobs.path(digest)
            found = path.stat()
            if digest not in marked and found.st_mtime_ns < young_ns:
                self._layers.withdraw(path)
                count += 1
                size += found.st_size
        return count, size

    async def _sync_layers(self) -> None:
        """Make layers count after a power failure too."""
        waiting = {diff_id: layer for diff_id, layer in self._records.layers.items() if layer.boot_id}
        if not waiting:
            return
        await self._layers.sync()
        for diff_id, layer in waiting.items():
            if self._records.layers.get(diff_id) == layer:
                self._records.put_layer(diff_id, replace(layer, boot_id=""))
        await self._records.save()
