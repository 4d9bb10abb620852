"""What is in an image archive: an OCI layout, or what `docker save` writes?

Streamed to disk, every file hashed.

`stage` copies the files that can matter into a folder, in a thread, as the archive comes in;
`archive_images.find_images` then says which images they make up.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from swarm.errors import InvalidArgument
from swarm.runtime.images.limits import MIB, Limits
from swarm.runtime.images.shown import plain, shown
from swarm.runtime.images.tarheaders import BadArchive
from swarm.runtime.images.tarreader import TarReader
from swarm.runtime.images.tarstream import InflatedReader

V = TypeVar("V")

_DOCUMENTS = frozenset({"oci-layout", "index.json", "manifest.json"})
# Blobs of an OCI layout, configurations and layers of `docker save`; at most one folder above them.
_WANTED = re.compile(r"(?:[^/]+/)?(?:blobs/sha256/[0-9a-f]{64}|[^/]+\.json|(?:[^/]+/)?[^/]+\.tar)")
_FORMATS = (
    (b"PK\x03\x04", "a zip file"),
    (b"\xfd7zXZ\x00", "xz-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"\x7fELF", "a program"),
    (b"{", "JSON"),
    (b"FROM ", "a Dockerfile"),
)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file of the archive, copied to disk, synced and hashed."""

    path: Path
    digest: str
    size_bytes: int


@dataclass(slots=True)
class Contents:
    """What was found in an archive, by name within it."""

    compression: str = "none"
    entries: int = 0
    examples: list[str] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, StagedFile] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def file(self, name: str) -> StagedFile | None:
        """Return a file by name; `docker save` links layers that images share."""
        for _ in range(8):
            if name not in self.links:
                break
            name = self.links[name]
        return self.files.get(name)


def stage(reader: InflatedReader, start: bytes, folder: Path, limits: Limits) -> Contents:
    """Copy what matters of an archive into `folder`; blocks. `start` is how the archive begins.

    Raises InvalidArgument when it is no image archive, OSError when the disk is full.
    """
    contents = Contents(compression=reader.compression)
    try:
        tar = TarReader(reader)
        while (entry := tar.next()) is not None:
            _count(contents, limits)
            name = _normal(entry.name)
            if len(contents.examples) < 3 and not entry.isdir():
                contents.examples.append(plain(name, 80))
            if entry.issym() or entry.islnk():
                base = "" if entry.islnk() else str(PurePosixPath(name).parent)
                contents.links[name] = _normal(f"{base}/{entry.linkname}")
            elif entry.isreg() and PurePosixPath(name).name in _DOCUMENTS and name.count("/") <= 1:
                contents.documents[name] = _read_document(tar, entry.size, name, limits)
            elif entry.isreg() and _WANTED.fullmatch(name):
                contents.files[name] = _copy(tar, entry.size, folder / str(contents.entries))
        reader.drain()
    except BadArchive as error:
        raise InvalidArgument(f"not an image archive: found {_describe(start)}, {error}") from error
    return _strip_folder(contents)


def _count(contents: Contents, limits: Limits) -> None:
    contents.entries += 1
    if contents.entries > limits.entries_max:
        raise BadArchive(f"more than {limits.entries_max} entries")


def explain_refusal(contents: Contents) -> InvalidArgument:
    """Return the error for a tar that is neither form of image archive."""
    packed = "" if contents.compression == "none" else f"{contents.compression}-compressed "
    examples = ", ".join(contents.examples) or "nothing"
    return InvalidArgument(
        f"not an image archive: found a {packed}tar with {contents.entries} entries ({examples} …) "
        "without the index.json of an OCI layout or the manifest.json of `docker save`"
    )


def _describe(start: bytes) -> str:
    if not start:
        return "nothing at all"
    for magic, kind in _FORMATS:
        if start.startswith(magic):
            return kind
    return "data" if start[257:262] != b"ustar" else "a tar"


def _normal(name: str) -> str:
    # normpath cannot climb above the root.
    return os.path.normpath(f"/{name}").lstrip("/")


def _read_document(tar: TarReader, size: int, name: str, limits: Limits) -> bytes:
    if size > limits.document_bytes_max:
        raise BadArchive(f"{shown(name)} is larger than {limits.document_bytes_max} bytes")
    pieces = list(tar.pieces())
    _refuse_holes(sum(len(piece) for _, piece in pieces), size, name)
    return b"".join(piece for _, piece in pieces)


def _refuse_holes(size: int, expected: int, name: str) -> None:
    if size != expected:
        raise BadArchive(f"{shown(name)} is a sparse file, which image archives have no use for")


def _copy(tar: TarReader, expected: int, path: Path) -> StagedFile:
    digest = hashlib.sha256()
    size = 0
    with path.open("xb") as file:
        for _, piece in tar.pieces(MIB):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        _refuse_holes(size, expected, path.name)
        file.flush()
        os.fsync(file.fileno())
    return StagedFile(path, f"sha256:{digest.hexdigest()}", size)


def _strip_folder(contents: Contents) -> Contents:
    """Make names relative to the folder that holds index.json or manifest.json, if that is not the top."""
    if any("/" not in name for name in contents.documents):
        return contents
    folders = {name.partition("/")[0] for name in contents.documents}
    if len(folders) != 1:
        return contents
    prefix = folders.pop() + "/"
    contents.documents = _without(prefix, contents.documents)
    contents.files = _without(prefix, contents.files)
    contents.links = {
        name: target.removeprefix(prefix) for name, target in _without(prefix, contents.links).items()
    }
    return contents


def _without(prefix: str, named: dict[str, V]) -> dict[str, V]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
