"""What does a manifest, an index or a configuration say? Pure; every field is checked, none is believed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarm.api.v1.types_pb2 import HealthConfig
from swarm.errors import InvalidArgument
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.images.digests import check_digest
from swarm.runtime.images.documents import amount_of, parse_object, string_of, strings_of
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.platforms import ImagePlatform, choose_platform
from swarm.runtime.images.settings import check_settings
from swarm.runtime.images.shown import plain, shown

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
_INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
# Those of "foreign" layers too: they come from the registry like others, never from where `urls` says.
_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?"
    r"|application/vnd\.docker\.container\.image\.rootfs\.diff\+x-gtar"
)
_MANIFESTS_MAX = 1000  # platforms, and attestations for each


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content: what it is, how large, and its digest."""

    media_type: str
    digest: str
    size_bytes: int
    platform: ImagePlatform | None = None
    annotations: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform."""

    config: Descriptor
    layers: Sequence[Descriptor]


@dataclass(frozen=True, slots=True)
class Index:
    """The same image for several platforms."""

    manifests: Sequence[Descriptor]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an image says about its containers, and what its layers are once unpacked."""

    image: ImageConfig
    diff_ids: Sequence[str]


def parse_manifest(content: bytes, layers_max: int) -> Manifest | Index:
    """Return the manifest or index in `content`; raises InvalidArgument for anything else."""
    document = parse_object(content, "manifest")
    if document.get("schemaVersion") != 2:
        raise InvalidArgument("not a manifest of schema version 2; older ones are not supported")
    is_index = document.get("manifests") is not None
    if is_index and (document.get("layers") is not None or document.get("config") is not None):
        raise InvalidArgument("the manifest is an index as well, so it could mean two things")
    _check_type(string_of(document, "mediaType"), "is said to be", is_index=is_index)
    if is_index:
        return Index(_manifests(document))
    if not isinstance(document.get("config"), dict) or not isinstance(document.get("layers"), list):
        raise InvalidArgument("the manifest names no configuration and layers: not a container image")
    if len(document["layers"]) > layers_max:
        count = len(document["layers"])
        raise InvalidArgument(f"the image has {count} layers; at most {layers_max} can be mounted")
    layers = tuple(_parse_descriptor(entry) for entry in document["layers"])
    config = _parse_descriptor(document["config"])
    if config.size_bytes > Limits().document_bytes_max:
        raise InvalidArgument(f"the configuration {config.digest} is to have {config.size_bytes} bytes")
    return Manifest(config, layers)


def _manifests(document: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    entries = document.get("manifests")
    if not isinstance(entries, list):
        raise InvalidArgument("the index lists no manifests")
    if len(entries) > _MANIFESTS_MAX:
        raise InvalidArgument(f"the index lists {len(entries)} manifests; at most {_MANIFESTS_MAX} are read")
    return tuple(_parse_descriptor(entry) for entry in entries)


def _check_type(media_type: str, how: str, *, is_index: bool) -> None:
    """Raise InvalidArgument where somebody else would take an index for a manifest, or the reverse."""
    if media_type and media_type not in MANIFEST_TYPES:
        raise InvalidArgument(f"the manifest {how} {shown(media_type)}, which is no known type of image")
    if media_type and (media_type in _INDEX_TYPES) != is_index:
        raise InvalidArgument(f"the {'index' if is_index else 'manifest'} {how} {shown(media_type)}")


def check_served(content: bytes, content_type: str) -> None:
    """Raise InvalidArgument when a registry serves a manifest as an index, or the reverse.

    Types that say nothing about images are passed over: not every server of files knows them.
    """
    media_type = content_type.partition(";")[0].strip()
    if media_type in MANIFEST_TYPES:
        document = parse_object(content, "manifest")
        _check_type(media_type, "was served as", is_index=document.get("manifests") is not None)


def check_count(manifest: Manifest, configuration: Configuration) -> None:
    """Raise InvalidArgument unless an image's configuration names as many layers as there are."""
    layers, named = len(manifest.layers), len(configuration.diff_ids)
    if layers != named:
        raise InvalidArgument(f"the image has {layers} layers but names {named}")


def check_runnable(manifest: Manifest, offered: ImagePlatform) -> None:
    """Raise InvalidArgument when what a manifest lists are no layers that Linux can mount."""
    if offered.os not in ("", "linux"):
        raise InvalidArgument(f"the image is for {plain(str(offered))}, and this is linux")
    for layer in manifest.layers:
        if layer.media_type and not _LAYER.fullmatch(layer.media_type):
            raise InvalidArgument(f"layer {layer.digest} is of the unknown type {shown(layer.media_type)}")


def parse_index(content: bytes) -> Index:
    """Return the index of an OCI layout, which may leave out its schema version; raises InvalidArgument."""
    return Index(_manifests(parse_object(content, "index")))


def parse_configuration(content: bytes, manifest_digest: str) -> Configuration:
    """Return the configuration in `content`, of the image with `manifest_digest`; raises InvalidArgument."""
    document = parse_object(content, "configuration")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list):
        raise InvalidArgument("the configuration lists no layers (rootfs.diff_ids): not a container image")
    runs = document.get("config") or {}
    if not isinstance(runs, dict):
        raise InvalidArgument("the configuration's `config` is not an object")
    check_settings(runs)
    image = ImageConfig(
        digest=manifest_digest,
        entrypoint=strings_of(runs, "Entrypoint"),
        command=strings_of(runs, "Cmd"),
        env=strings_of(runs, "Env"),
        working_dir=_absolute(string_of(runs, "WorkingDir")),
        user=string_of(runs, "User"),
        stop_signal=string_of(runs, "StopSignal"),
        healthcheck=_healthcheck(runs.get("Healthcheck")),
        architecture=string_of(document, "architecture"),
        os=string_of(document, "os"),
        exposed=tuple(runs.get("ExposedPorts") or ()),
        labels=dict(runs.get("Labels") or {}),
    )
    return Configuration(image, tuple(check_digest(diff_id) for diff_id in diff_ids))


def _absolute(folder: str) -> str:
    return f"/{folder}" if folder and not folder.startswith("/") else folder


def _healthcheck(entry: object) -> HealthConfig:
    """Return the health check of a configuration; durations are nanoseconds, 0 stands for the default."""
    if entry is None:
        return HealthConfig()
    if not isinstance(entry, dict):
        raise InvalidArgument("`Healthcheck` is not an object")
    return HealthConfig(
        test=strings_of(entry, "Test"),
        interval_ns=amount_of(entry, "Interval", _INT64_MAX),
        timeout_ns=amount_of(entry, "Timeout", _INT64_MAX),
        start_period_ns=amount_of(entry, "StartPeriod", _INT64_MAX),
        start_interval_ns=amount_of(entry, "StartInterval", _INT64_MAX),
        retries=amount_of(entry, "Retries", _INT32_MAX),
    )


def choose_manifest(index: Index, wanted: ImagePlatform) -> Descriptor:
    """Return the manifest of `index` for a platform; raises InvalidArgument listing what there is."""
    offered = [entry.platform or ImagePlatform() for entry in index.manifests]
    if len(offered) == 1 and index.manifests[0].platform is None:
        return index.manifests[0]
    usable = [
        offer if index.manifests[at].platform else ImagePlatform("unknown")
        for at, offer in enumerate(offered)
    ]
    position = choose_platform(wanted, usable)
    if position is None:
        there = plain(
            ", ".join(sorted({str(offer) for offer in offered if offer.os not in ("", "unknown")}))
        )
        raise InvalidArgument(f"no image for {wanted}, only for {there or 'nothing that runs'}")
    return index.manifests[position]


def render_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """Return an OCI manifest; the same input gives the same bytes, hence the same digest."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _render_descriptor(config),
        "layers": [_render_descriptor(layer) for layer in layers],
    }
    return _render(document)


def render_index(manifests: Sequence[Descriptor]) -> bytes:
    """Return an OCI index; the same input gives the same bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_render_descriptor(manifest) for manifest in manifests],
    }
    return _render(document)


def _render(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _render_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size_bytes,
    }
    if descriptor.platform is not None:
        platform = {"os": descriptor.platform.os, "architecture": descriptor.platform.architecture}
        if descriptor.platform.variant:
            platform["variant"] = descriptor.platform.variant
        rendered["platform"] = platform
    return rendered


def _parse_descriptor(entry: object) -> Descriptor:
    if not isinstance(entry, dict):
        raise InvalidArgument("a descriptor is not a JSON object")
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _INT64_MAX:
        raise InvalidArgument(f"a descriptor has the size {shown(size)}")
    annotations = entry.get("annotations")
    if not isinstance(annotations, dict):
        annotations = {}
    return Descriptor(
        media_type=string_of(entry, "mediaType"),
        digest=check_digest(entry.get("digest")),
        size_bytes=size,
        platform=_parse_platform(entry.get("platform")),
        annotations={key: string_of(annotations, key) for key in annotations},
    )


def _parse_platform(entry: object) -> ImagePlatform | None:
    if not isinstance(entry, dict):
        return None
    return ImagePlatform(
        string_of(entry, "os"), string_of(entry, "architecture"), string_of(entry, "variant")
    )
