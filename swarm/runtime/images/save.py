"""How does an image become an archive? A tar stream: an OCI layout that `docker load` reads as well."""

import json
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from swarm.model.reference import parse_reference
from swarm.runtime.images.archive_images import NAME_ANNOTATION, TAG_ANNOTATION
from swarm.runtime.images.blobs import closing
from swarm.runtime.images.digests import hexadecimal
from swarm.runtime.images.manifest import OCI_INDEX, Manifest
from swarm.runtime.images.parts import Parts
from swarm.runtime.images.registry_push import ReadBlob

_END = b"\0" * 2 * tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image with its names; `shown` is the manifest that docker gets, which knows one platform."""

    names: Sequence[str]
    parts: Parts
    shown: Manifest


async def archive(images: Sequence[SavedImage], read: ReadBlob) -> AsyncIterator[bytes]:
    """Yield a tar stream with `images`; the same images give the same bytes. Raises as `read`."""
    sizes = {blob.digest: blob.size_bytes for image in images for blob in image.parts.blobs}
    documents = {document.digest: document for image in images for document in image.parts.documents}
    for folder in ("blobs", "blobs/sha256"):
        yield _header(f"{folder}/", 0, tarfile.DIRTYPE)
    for digest, size in sizes.items():
        yield _header(_path(digest), size)
        async with closing(read(digest, 0)) as chunks:
            async for chunk in chunks:
                yield chunk
        yield _padding(size)
    for digest, document in documents.items():
        yield _file(_path(digest), document.content)
    yield _file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield _file("index.json", _json(_index(images)))
    yield _file("manifest.json", _json([_entry(image) for image in images]))
    yield _END


def shown_manifest(parts: Parts, runs_here: Callable[[Manifest], bool]) -> Manifest:
    """Return the manifest of the platform of this machine, else the first one."""
    return next((manifest for manifest in parts.manifests if runs_here(manifest)), parts.manifests[0])


def _index(images: Sequence[SavedImage]) -> dict[str, object]:
    entries = []
    for image in images:
        top = image.parts.documents[-1]
        descriptor = {"mediaType": top.media_type, "digest": top.digest, "size": len(top.content)}
        entries += [
            descriptor | {"annotations": {NAME_ANNOTATION: name, TAG_ANNOTATION: parse_reference(name).tag}}
            for name in image.names
        ] or [descriptor]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}


def _entry(image: SavedImage) -> dict[str, object]:
    return {
        "Config": _path(image.shown.config.digest),
        "RepoTags": [parse_reference(name).familiar for name in image.names],
        "Layers": [_path(layer.digest) for layer in image.shown.layers],
    }


def _path(digest: str) -> str:
    return f"blobs/sha256/{hexadecimal(digest)}"


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _file(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + _padding(len(content))


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)  # which knows files of any size


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)
