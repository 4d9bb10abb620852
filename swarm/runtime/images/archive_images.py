"""Which images do the files of an archive make up? Pure but for reading the staged documents.

Nothing is believed: a blob must have the digest in its name, and what an image needs must be there.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarm.errors import InvalidArgument
from swarm.model.reference import parse_reference
from swarm.runtime.images.archive import Contents, StagedFile, explain_refusal
from swarm.runtime.images.digests import digest_of
from swarm.runtime.images.documents import parse_json
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import (
    OCI_CONFIG,
    OCI_LAYER,
    Descriptor,
    Index,
    Manifest,
    check_count,
    check_runnable,
    parse_configuration,
    parse_index,
    parse_manifest,
    render_index,
    render_manifest,
)
from swarm.runtime.images.platforms import ImagePlatform
from swarm.runtime.images.shown import shown

NAME_ANNOTATION = "io.containerd.image.name"
TAG_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image of the archive, ready to be stored."""

    reference: str  # in normal form
    digest: str
    blobs: Sequence[str]
    size_bytes: int


@dataclass(slots=True)
class Findings:
    """The images of an archive, and where the content of every blob is: a file, or made here."""

    images: list[ArchivedImage] = field(default_factory=list)
    files: dict[str, StagedFile] = field(default_factory=dict)
    made: dict[str, bytes] = field(default_factory=dict)

    def read(self, digest: str, limits: Limits) -> bytes | None:
        """Return a document of the archive, None when it is not there."""
        if digest in self.made:
            return self.made[digest]
        staged = self.files.get(digest)
        if staged is None:
            return None
        if staged.size_bytes > limits.document_bytes_max:
            raise InvalidArgument(f"{digest} is larger than {limits.document_bytes_max} bytes")
        return staged.path.read_bytes()

    def size(self, digest: str) -> int:
        """Return the size of a blob of the archive in bytes."""
        return len(self.made[digest]) if digest in self.made else self.files[digest].size_bytes


def find_images(contents: Contents, reference: str, limits: Limits) -> Findings:
    """Return the images of an archive; `reference` names one that has no name. Raises InvalidArgument."""
    findings = Findings()
    if "index.json" in contents.documents:
        _find_in_layout(contents, findings, reference, limits)
    elif "manifest.json" in contents.documents:
        _find_in_docker_archive(contents, findings, reference, limits)
    else:
        raise explain_refusal(contents)
    if not findings.images:
        raise InvalidArgument("the archive contains no image")
    if len(findings.images) > limits.images_per_archive_max:
        raise InvalidArgument(f"the archive has more than {limits.images_per_archive_max} images")
    return findings


def _find_in_layout(contents: Contents, findings: Findings, reference: str, limits: Limits) -> None:
    for name, staged in contents.files.items():
        folder, _, digits = name.rpartition("/")
        if folder == "blobs/sha256":
            if staged.digest != f"sha256:{digits}":
                raise InvalidArgument(
                    f"{name} in the archive has the digest {staged.digest}: damaged or forged"
                )
            findings.files[staged.digest] = staged
    named: dict[str, list[Descriptor]] = {}
    for descriptor in parse_index(contents.documents["index.json"]).manifests:
        named.setdefault(_layout_name(descriptor, reference), []).append(descriptor)
    for name, descriptors in named.items():
        top = descriptors[0].digest
        if len({descriptor.digest for descriptor in descriptors}) > 1:
            # The same name for several platforms, without an index over them.
            top = _make(findings, render_index(descriptors))
        _check_name(name, reference, top)
        _add_image(findings, name, top, limits)


def _layout_name(descriptor: Descriptor, reference: str) -> str:
    annotations = descriptor.annotations or {}
    if full := annotations.get(NAME_ANNOTATION):
        return str(parse_reference(full))
    tag = annotations.get(TAG_ANNOTATION, "")
    if "/" in tag or ":" in tag:
        return str(parse_reference(tag))
    # A bare word may be a tag or a name, depending on who wrote the archive.
    return _given_name(reference, f"only the tag {shown(tag)}" if tag else "no name")


def _given_name(reference: str, found: str) -> str:
    if not reference:
        raise InvalidArgument(f"the archive has {found} for its image: say how to call it")
    return str(parse_reference(reference))


def _find_in_docker_archive(contents: Contents, findings: Findings, reference: str, limits: Limits) -> None:
    entries = parse_json(contents.documents["manifest.json"], "manifest.json")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidArgument("manifest.json of the archive is not a list of images")
    for entry in entries:
        top = _convert(contents, findings, entry, limits)
        tags = entry.get("RepoTags") or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise InvalidArgument("manifest.json of the archive has malformed RepoTags")
        for name in tags or [_given_name(reference, "no name")]:
            full_name = str(parse_reference(name))
            _check_name(full_name, reference, top)
            _add_image(findings, full_name, top, limits)


def _convert(contents: Contents, findings: Findings, entry: dict[str, Any], limits: Limits) -> str:
    """Make an OCI manifest of one entry of manifest.json, and return its digest."""
    layer_names = entry.get("Layers") or []
    if not isinstance(layer_names, list):
        raise InvalidArgument("manifest.json of the archive has malformed Layers")
    names = [entry.get("Config"), *layer_names]
    staged = [_named_file(contents, name) for name in names]
    config, *layers = staged
    findings.files.update({file.digest: file for file in staged})
    content = findings.read(config.digest, limits)
    diff_ids = parse_configuration(content or b"", "").diff_ids
    if len(diff_ids) != len(layers):
        raise InvalidArgument(
            f"the archive has {len(layers)} layers where the configuration names {len(diff_ids)}"
        )
    descriptors = [
        Descriptor(
            OCI_LAYER if layer.digest == diff_id else f"{OCI_LAYER}+gzip", layer.digest, layer.size_bytes
        )
        for layer, diff_id in zip(layers, diff_ids, strict=True)
    ]
    return _make(
        findings, render_manifest(Descriptor(OCI_CONFIG, config.digest, config.size_bytes), descriptors)
    )


def _named_file(contents: Contents, name: object) -> StagedFile:
    staged = contents.file(name) if isinstance(name, str) else None
    if staged is None:
        raise InvalidArgument(f"the archive names {shown(name)} in manifest.json but does not contain it")
    return staged


def _make(findings: Findings, content: bytes) -> str:
    digest = digest_of(content)
    findings.made[digest] = content
    return digest


def _check_name(name: str, reference: str, top: str) -> None:
    """Raise InvalidArgument for a name with a digest, unless it was asked for and is the image's own.

    So an image comes back from a backup that has no other name, for services that use it still.
    """
    parsed = parse_reference(name)
    asked_for = bool(reference) and str(parse_reference(reference)) == name and parsed.digest == top
    if parsed.digest and not asked_for:
        raise InvalidArgument(f"{name} cannot be the name of a loaded image: it contains a digest")


def _add_image(findings: Findings, name: str, top: str, limits: Limits) -> None:
    present = lambda digest: digest in findings.files or digest in findings.made  # noqa: E731
    blobs = complete_blobs(top, lambda digest: findings.read(digest, limits), present, limits)
    _check_configurations(top, findings, blobs, limits)
    size = sum(findings.size(digest) for digest in blobs)
    findings.images.append(ArchivedImage(name, top, blobs, size))


def _check_configurations(top: str, findings: Findings, blobs: Collection[str], limits: Limits) -> None:
    """Raise InvalidArgument now for what every node would refuse when it is to run the image."""
    read: Callable[[str], bytes | None] = lambda digest: findings.read(digest, limits)  # noqa: E731
    document = _document(top, read, limits)
    entries = [] if isinstance(document, Manifest) else document.manifests
    manifests = [document] if isinstance(document, Manifest) else []
    for entry in entries:
        runs = entry.platform is None or entry.platform.os != "unknown"
        if (
            runs
            and entry.digest in blobs
            and isinstance(inner := _document(entry.digest, read, limits), Manifest)
        ):
            manifests.append(inner)
    for manifest in manifests:
        configuration = parse_configuration(read(manifest.config.digest) or b"", "")
        check_count(manifest, configuration)
        check_runnable(manifest, ImagePlatform())


def complete_blobs(
    top: str, read: Callable[[str], bytes | None], present: Callable[[str], bool], limits: Limits
) -> tuple[str, ...]:
    """Return the digests of an image, `top` first, without platforms whose content is not there.

    Raises InvalidArgument when no platform is complete.
    """
    document = _document(top, read, limits)
    if isinstance(document, Manifest):
        missing = [digest for digest in _below(document) if not present(digest)]
        if missing:
            raise InvalidArgument(f"the image is not complete: {missing[0]} is missing")
        return tuple(dict.fromkeys((top, *_below(document))))
    found: list[str] = [top]
    for entry in document.manifests:
        if read(entry.digest) is None:
            continue
        child = _document(entry.digest, read, limits)
        if isinstance(child, Manifest) and all(present(digest) for digest in _below(child)):
            found += [entry.digest, *_below(child)]
    if len(found) == 1:
        raise InvalidArgument(f"the image is not complete: {top} lists platforms, and all lack content")
    return tuple(dict.fromkeys(found))


def _document(digest: str, read: Callable[[str], bytes | None], limits: Limits) -> Manifest | Index:
    content = read(digest)
    if content is None:
        raise InvalidArgument(f"the image is not complete: {digest} is missing")
    return parse_manifest(content, limits.layers_max)


def _below(manifest: Manifest) -> Iterator[str]:
    yield manifest.config.digest
    for layer in manifest.layers:
        yield layer.digest
