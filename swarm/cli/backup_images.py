"""The images of a cluster in its backup: which ones, as which archives, and back into a cluster.

Images are kept by the managers, and lost with them. What goes into a file are those that the state in it
names, so that both fit together; an image that was removed meanwhile is left out.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from swarm.api.v1 import backup_pb2 as b
from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.store_pb2 import SnapshotRecord
from swarm.cli.connect import Connection
from swarm.model.reference import parse_reference

ARCHIVE_BYTES_MAX = 16 << 30  # far below what a manager takes at once
ARCHIVE_IMAGES_MAX = 500


@dataclass(slots=True)
class HeldImages:
    """The images that are named by the state of a backup, seen as it passes."""

    images: list[Image] = field(default_factory=list)

    def watch(self, parts: Iterable[b.BackupPart]) -> Iterator[b.BackupPart]:
        """Yield the parts as they come, and remember their images."""
        for part in parts:
            for record in part.records.records:
                found = SnapshotRecord.FromString(record).object
                if found.WhichOneof("object") == "image":
                    self.images.append(found.image)
            yield part


def archives(images: Iterable[Image]) -> list[tuple[b.BackupArchive, list[str]]]:
    """Return the archives to make, each with the ids of its images; pure.

    Images with names share archives, and so the layers that they have in common. One whose name has moved
    on, and that services still use under its digest, has an archive of its own: it has no name in there.
    """
    made: list[tuple[b.BackupArchive, list[str]]] = []
    size = 0
    for image in sorted(images, key=lambda one: (_unnamed(one), one.annotations.name)):
        name = image.annotations.name
        full = size + image.size_bytes > ARCHIVE_BYTES_MAX or (
            made and len(made[-1][1]) >= ARCHIVE_IMAGES_MAX
        )
        if not made or full or _unnamed(image):
            made.append((b.BackupArchive(reference=name if _unnamed(image) else ""), []))
            size = 0
        made[-1][0].names.append(name)
        made[-1][1].append(image.id)
        size += image.size_bytes
    return made


def _unnamed(image: Image) -> bool:
    return bool(parse_reference(image.annotations.name).digest)


def saved(conn: Connection, images: Sequence[Image]) -> Iterator[b.BackupPart]:
    """Yield the archives of images as parts of a backup; raises as SaveImages."""
    there = {image.id for image in conn.control.ListImages(c.ListImagesRequest()).images}
    for gone in (image for image in images if image.id not in there):
        click.echo(f"Note: image {gone.annotations.name} was removed meanwhile and is left out.", err=True)
    for archive, ids in archives(image for image in images if image.id in there):
        yield b.BackupPart(archive=archive)
        for answer in conn.control.SaveImages(c.SaveImagesRequest(refs=ids), timeout=None):
            yield b.BackupPart(archive_chunk=answer.chunk)


def load(conn: Connection, parts: Iterable[b.BackupPart]) -> list[str]:
    """Give the images of a backup to the cluster; return their names. Raises as LoadImage."""
    waiting = (part for part in parts if part.WhichOneof("part") in ("archive", "archive_chunk"))
    loaded: list[str] = []
    following = next(waiting, None)
    while following is not None:
        chunks = _Chunks(waiting, following.archive.reference)
        conn.control.LoadImage(chunks, timeout=None)
        loaded += following.archive.names
        following = chunks.leave()
    return loaded


class _Chunks:
    """One archive as LoadImage takes it, for a thread that sends; it may stop before the end."""

    def __init__(self, parts: Iterator[b.BackupPart], reference: str) -> None:
        self._parts, self._reference = parts, reference
        self._lock = threading.Lock()
        self._over = False
        self._following: b.BackupPart | None = None

    def __iter__(self) -> Iterator[c.LoadImageRequest]:
        return self

    def __next__(self) -> c.LoadImageRequest:
        with self._lock:
            return self._next()

    def leave(self) -> b.BackupPart | None:
        """Pass over what was not sent; return the beginning of the next archive."""
        with self._lock:
            for _ in iter(self._next_or_none, None):
                pass
            return self._following

    def _next_or_none(self) -> c.LoadImageRequest | None:
        try:
            return self._next()
        except StopIteration:
            return None

    def _next(self) -> c.LoadImageRequest:
        part = None if self._over else next(self._parts, None)
        if part is None or part.WhichOneof("part") == "archive":
            self._over, self._following = True, self._following or part
            raise StopIteration
        return c.LoadImageRequest(chunk=part.archive_chunk, reference=self._reference)
