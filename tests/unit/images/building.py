"""Small images for tests, without any file of this machine."""

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from swarm.errors import NotFound

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


@dataclass
class Content:
    """An image as blobs by digest, with the digest of its manifest (or index) on top."""

    top: str
    blobs: dict[str, bytes]

    @property
    def manifest(self) -> bytes:
        return self.blobs[self.top]

    def layout(self, annotations: Mapping[str, str] | None = None) -> dict[str, bytes]:
        """The files of an OCI layout."""
        entry = {"mediaType": MANIFEST, "digest": self.top, "size": len(self.manifest)}
        entry |= {"annotations": dict(annotations)} if annotations else {}
        return {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": as_json({"schemaVersion": 2, "manifests": [entry]}),
            **{f"blobs/sha256/{name.removeprefix('sha256:')}": blob for name, blob in self.blobs.items()},
        }


def image(
    *layers: bytes, config: Mapping[str, object] | None = None, architecture: str = "amd64"
) -> Content:
    layers = layers or (tar({"hello": b"world"}),)
    configuration = as_json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": config or {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }
    )
    manifest = as_json(
        {
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, "digest": digest(configuration), "size": len(configuration)},
            "layers": [
                {"mediaType": LAYER, "digest": digest(layer), "size": len(layer)} for layer in layers
            ],
        }
    )
    blobs = {digest(blob): blob for blob in (manifest, configuration, *layers)}
    return Content(digest(manifest), blobs)


def index(platforms: Mapping[str, Content]) -> Content:
    """An index over images by architecture."""
    entries = [
        {
            "mediaType": MANIFEST,
            "digest": content.top,
            "size": len(content.manifest),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture, content in platforms.items()
    ]
    document = as_json({"schemaVersion": 2, "manifests": entries})
    blobs = {digest(document): document}
    for content in platforms.values():
        blobs |= content.blobs
    return Content(digest(document), blobs)


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


class FakeSource:
    """Images of a cluster, scriptable: what is fetched is counted, some transfers break."""

    def __init__(
        self, images: Mapping[str, Content] | None = None, blobs: Mapping[str, bytes] | None = None
    ):
        self.images = dict(images or {})
        self.blobs: dict[str, bytes] = dict(blobs or {})
        for content in self.images.values():
            self.blobs |= content.blobs
        self.fetched: list[tuple[str, int]] = []
        self.resolve_error: Exception | None = None
        self.break_after: dict[str, Sequence[tuple[int, Exception]]] = {}

    async def resolve(self, reference: str) -> tuple[str, Sequence[str]] | None:
        if self.resolve_error:
            raise self.resolve_error
        name = reference.partition("@")[0]
        content = self.images.get(name)
        return (content.top, tuple(content.blobs)) if content else None

    async def fetch(self, blob: str, offset: int) -> AsyncIterator[bytes]:
        self.fetched.append((blob, offset))
        if blob not in self.blobs:
            raise NotFound(f"no blob {blob}")
        rest = self.blobs[blob][offset:]
        broken = self.break_after.get(blob)
        if broken:
            (size, error), *self.break_after[blob] = broken
            yield rest[:size]
            raise error
        async for piece in pieces(rest):
            yield piece
