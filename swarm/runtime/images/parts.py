"""Which parts of an image are here, in which order do they go elsewhere, and what is left out? Pure."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swarm.errors import InvalidArgument
from swarm.runtime.images.digests import digest_of
from swarm.runtime.images.documents import parse_object, string_of
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import (
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
    render_index,
)
from swarm.runtime.images.platforms import ImagePlatform


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index to store: its digest and type, and the bytes that have that digest."""

    digest: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes up an image: blobs first, then documents, of which the last is the image itself."""

    blobs: Sequence[Descriptor]
    documents: Sequence[Document]
    manifests: Sequence[Manifest]  # that run on a platform
    left_out: Sequence[str]  # platforms that the image has elsewhere, and that are not here


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """What an image has for a platform; `held`: all of it is here."""

    platform: str
    digest: str
    size_bytes: int  # of what is here
    held: bool


def platforms_of(
    top: str, read: Callable[[str], bytes | None], present: Callable[[str], bool], limits: Limits
) -> Sequence[PlatformImage]:
    """Return what an image has for each of its platforms; raises InvalidArgument where `top` is not here."""
    found = _read(top, read, limits)
    if isinstance(found, Manifest):
        return [_platform_image(top, _said(found, read), found, read, present)]
    return [
        _platform_image(entry.digest, str(entry.platform or ""), inner, read, present)
        for entry in found.manifests
        if _runs(entry)
        for inner in [_read(entry.digest, read, limits) if read(entry.digest) is not None else None]
    ]


def _platform_image(
    digest: str,
    platform: str,
    manifest: Manifest | Index | None,
    read: Callable[[str], bytes | None],
    present: Callable[[str], bool],
) -> PlatformImage:
    if not isinstance(manifest, Manifest):
        return PlatformImage(platform, digest, 0, held=False)
    here = [blob.size_bytes for blob in _blobs([manifest]) if present(blob.digest)]
    size_bytes = len(read(digest) or b"") + sum(here)
    return PlatformImage(platform, digest, size_bytes, held=_complete(manifest, present))


def _said(manifest: Manifest, read: Callable[[str], bytes | None]) -> str:
    """Return the platform that an image without an index says it is for."""
    configuration = read(manifest.config.digest)
    if configuration is None:
        return ""
    said = parse_object(configuration, "configuration")
    return str(ImagePlatform(*(string_of(said, key) for key in ("os", "architecture", "variant"))))


def parts_of(
    top: str, read: Callable[[str], bytes | None], present: Callable[[str], bool], limits: Limits
) -> Parts:
    """Return the parts of an image that are here, without platforms that lack content.

    An index that lacks some is replaced: by the only manifest that is left, else by an index of those that
    are left, with another digest. Raises InvalidArgument when nothing complete is here.
    """
    found = _read(top, read, limits)
    if isinstance(found, Manifest):
        if not _complete(found, present):
            raise InvalidArgument(f"the image is not complete here: {top} lacks content")
        return Parts(_blobs([found]), [_document(top, read, "")], [found], ())
    kept: list[tuple[Descriptor, Manifest]] = []
    left_out: list[Descriptor] = []
    for entry in found.manifests:
        inner = _read(entry.digest, read, limits) if read(entry.digest) is not None else None
        if isinstance(inner, Manifest) and _complete(inner, present):
            kept.append((entry, inner))
        else:
            left_out.append(entry)
    if not any(_runs(entry) for entry, _ in kept):
        raise InvalidArgument(f"the image is not complete here: no platform of {top} is")
    documents = [_document(entry.digest, read, entry.media_type) for entry, _ in kept]
    if not left_out:
        documents.append(_document(top, read, ""))
    elif len(kept) > 1:
        content = render_index([entry for entry, _ in kept])
        documents.append(Document(digest_of(content), OCI_INDEX, content))
    return Parts(
        blobs=_blobs([manifest for _, manifest in kept]),
        documents=documents,
        manifests=[manifest for entry, manifest in kept if _runs(entry)],
        left_out=[str(entry.platform) for entry in left_out if _runs(entry)],
    )


def _runs(entry: Descriptor) -> bool:
    """Tell whether an entry of an index is an image, and not something about one."""
    return entry.platform is None or entry.platform.os != "unknown"


def _read(digest: str, read: Callable[[str], bytes | None], limits: Limits) -> Manifest | Index:
    content = read(digest)
    if content is None:
        raise InvalidArgument(f"the image is not complete here: {digest} is missing")
    return parse_manifest(content, limits.layers_max)


def _complete(manifest: Manifest, present: Callable[[str], bool]) -> bool:
    return all(present(blob.digest) for blob in (manifest.config, *manifest.layers))


def _blobs(manifests: Sequence[Manifest]) -> list[Descriptor]:
    # Layers are large: they go first, and the small configuration does not wait behind another image's.
    blobs = [blob for manifest in manifests for blob in (*manifest.layers, manifest.config)]
    return list({blob.digest: blob for blob in blobs}.values())


def _document(digest: str, read: Callable[[str], bytes | None], media_type: str) -> Document:
    content = read(digest) or b""
    parsed = json.loads(content)
    default = OCI_INDEX if "manifests" in parsed else OCI_MANIFEST
    said = [known for known in (parsed.get("mediaType"), media_type) if known in MANIFEST_TYPES]
    return Document(digest, said[0] if said else default, content)
