"""Which references and layers does this node have? One JSON file, replaced as a whole at every change.

All reads are from memory. Nothing is lost when the file is: blobs are found by their names, managers tag
their images again, and everything else is pulled again.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from swarm.runtime.images.durable import write_durably

log = structlog.get_logger(__name__)

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reference:
    """A name for a manifest or index."""

    digest: str
    # Kept until removed: the image was loaded into the cluster. Others go when long unused.
    pinned: bool
    used_at_ns: int


@dataclass(frozen=True, slots=True)
class Layer:
    """An unpacked layer, in the folder `layers/<number>`."""

    number: int
    size_bytes: int
    overlay: bool  # whiteouts in the form of overlayfs
    # The boot during which it was unpacked: after another boot it counts only if it was synced.
    boot_id: str = ""


class ImageRecords:
    """The references by name and the layers by diff id."""

    def __init__(self, path: Path, boot_id: str, *, overlay: bool) -> None:
        """Read `path`; a file that cannot be read is put aside, and the records start empty.

        `overlay`: which form of layers counts; those of the other form are unpacked again.
        """
        self._path = path
        self._boot_id = boot_id
        self._overlay = overlay
        self._lock = asyncio.Lock()
        self._changes = 0
        self._saved_changes = 0
        self._references: dict[str, Reference] = {}
        self._layers: dict[str, Layer] = {}
        self._load()

    @property
    def references(self) -> Mapping[str, Reference]:
        """References by name."""
        return self._references

    @property
    def layers(self) -> Mapping[str, Layer]:
        """Layers by diff id."""
        return self._layers

    async def save(self) -> None:
        """Return once every change made so far is on the disk; several callers share one write.

        After an OSError the change counts in memory and is written with the next one.
        """
        mine = self._changes
        async with self._lock:
            if self._saved_changes >= mine:
                return
            written = self._changes
            await asyncio.to_thread(write_durably, self._path, self._render())
            self._saved_changes = written

    def tag(self, name: str, digest: str, *, pinned: bool, now_ns: int) -> None:
        """Let `name` mean `digest`, used now."""
        before = self._references.get(name)
        pinned = pinned or (before is not None and before.pinned and before.digest == digest)
        self._references[name] = after = Reference(digest, pinned, now_ns)
        # The time alone is worth a write only now and then: it decides about days.
        if (
            before is None
            or replace(before, used_at_ns=0) != replace(after, used_at_ns=0)
            or now_ns - before.used_at_ns > _USED_AT_PRECISION_NS
        ):
            self._changes += 1

    def untag(self, name: str) -> None:
        """Forget a name; nothing happens when it is unknown."""
        if self._references.pop(name, None) is not None:
            self._changes += 1

    def put_layer(self, diff_id: str, layer: Layer) -> None:
        """Let a layer be here."""
        self._layers[diff_id] = layer
        self._changes += 1

    def drop_layer(self, diff_id: str) -> None:
        """Let a layer be here no more."""
        del self._layers[diff_id]
        self._changes += 1

    def free_layer_number(self, taken: int) -> int:
        """Return a number that no layer has, and that is above `taken`."""
        return max([taken, *(layer.number for layer in self.layers.values())]) + 1

    def _load(self) -> None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            self._parse(json.loads(content))
        except (ValueError, TypeError, KeyError, AttributeError):
            aside = self._path.with_suffix(".damaged")
            self._path.rename(aside)
            self._references, self._layers = {}, {}
            log.exception("images.records_damaged", put_aside=str(aside))

    def _parse(self, document: Mapping[str, Any]) -> None:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}")
        self._references = {name: Reference(**fields) for name, fields in document["references"].items()}
        layers = {diff_id: Layer(**fields) for diff_id, fields in document["layers"].items()}
        # What the page cache held when the power failed may be missing; the blob is still there.
        self._layers = {
            diff_id: layer
            for diff_id, layer in layers.items()
            if layer.boot_id in ("", self._boot_id) and layer.overlay == self._overlay
        }

    def _render(self) -> bytes:
        document = {
            "format": _FORMAT,
            "references": {name: asdict(reference) for name, reference in self.references.items()},
            "layers": {diff_id: asdict(layer) for diff_id, layer in self.layers.items()},
        }
        return json.dumps(document, indent=1, sort_keys=True).encode()


_USED_AT_PRECISION_NS = 3600 * 1_000_000_000


def current_boot_id() -> str:
    """Return what the kernel calls this boot, empty when it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
