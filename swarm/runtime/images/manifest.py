"""What does a manifest, an index or a configuration say? Pure; every field is checked, none is believed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarm.api.v1.types_pb2 import HealthConfig
from swarm.errors import InvalidArgument
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.images.digests import check_digest
from swarm.runtime.images.platforms import ImagePlatform, choose_platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_LONGEST_NS = 2**63 - 1
_MOST_RETRIES = 2**31 - 1
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)


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
    document = _parse_object(content, "manifest")
    if document.get("schemaVersion") != 2:
        raise InvalidArgument("not a manifest of schema version 2; older ones are not supported")
    if isinstance(document.get("manifests"), list):
        return Index(tuple(_parse_descriptor(entry) for entry in document["manifests"]))
    if not isinstance(document.get("config"), dict) or not isinstance(document.get("layers"), list):
        raise InvalidArgument("the manifest names no configuration and layers: not a container image")
    layers = tuple(_parse_descriptor(entry) for entry in document["layers"])
    if len(layers) > layers_max:
        raise InvalidArgument(f"the image has {len(layers)} layers; at most {layers_max} can be mounted")
    return Manifest(_parse_descriptor(document["config"]), layers)


def parse_index(content: bytes) -> Index:
    """Return the index of an OCI layout, which may leave out its schema version; raises InvalidArgument."""
    entries = _parse_object(content, "index").get("manifests")
    if not isinstance(entries, list):
        raise InvalidArgument("the index lists no manifests")
    return Index(tuple(_parse_descriptor(entry) for entry in entries))


def parse_configuration(content: bytes, manifest_digest: str) -> Configuration:
    """Return the configuration in `content`, of the image with `manifest_digest`; raises InvalidArgument."""
    document = _parse_object(content, "configuration")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list):
        raise InvalidArgument("the configuration lists no layers (rootfs.diff_ids): not a container image")
    runs = document.get("config") or {}
    if not isinstance(runs, dict):
        raise InvalidArgument("the configuration's `config` is not an object")
    image = ImageConfig(
        digest=manifest_digest,
        entrypoint=_strings(runs, "Entrypoint"),
        command=_strings(runs, "Cmd"),
        env=_strings(runs, "Env"),
        working_dir=_string(runs, "WorkingDir"),
        user=_string(runs, "User"),
        stop_signal=_string(runs, "StopSignal"),
        healthcheck=_healthcheck(runs.get("Healthcheck")),
        architecture=_string(document, "architecture"),
        os=_string(document, "os"),
    )
    return Configuration(image, tuple(check_digest(diff_id) for diff_id in diff_ids))


def _healthcheck(entry: object) -> HealthConfig:
    """Return the health check of a configuration; durations are nanoseconds, 0 stands for the default."""
    if entry is None:
        return HealthConfig()
    if not isinstance(entry, dict):
        raise InvalidArgument("`Healthcheck` is not an object")
    return HealthConfig(
        test=_strings(entry, "Test"),
        interval_ns=_amount(entry, "Interval", _LONGEST_NS),
        timeout_ns=_amount(entry, "Timeout", _LONGEST_NS),
        start_period_ns=_amount(entry, "StartPeriod", _LONGEST_NS),
        start_interval_ns=_amount(entry, "StartInterval", _LONGEST_NS),
        retries=_amount(entry, "Retries", _MOST_RETRIES),
    )


def _amount(document: Mapping[str, Any], key: str, most: int) -> int:
    value = document.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidArgument(f"`{key}` is not a number from 0 to {most}")
    return value


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
        there = ", ".join(sorted({str(offer) for offer in offered if offer.os not in ("", "unknown")}))
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


def parse_json(content: bytes, what: str) -> Any:
    """Return the JSON in `content`; raises InvalidArgument naming `what`."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the {what} is not JSON: {error}") from error


def _parse_object(content: bytes, what: str) -> dict[str, Any]:
    document = parse_json(content, what)
    if not isinstance(document, dict):
        raise InvalidArgument(f"the {what} is not a JSON object")
    return document


def _parse_descriptor(entry: object) -> Descriptor:
    if not isinstance(entry, dict):
        raise InvalidArgument("a descriptor is not a JSON object")
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidArgument(f"a descriptor has the size {size!r}")
    annotations = entry.get("annotations")
    if not isinstance(annotations, dict):
        annotations = {}
    return Descriptor(
        media_type=_string(entry, "mediaType"),
        digest=check_digest(entry.get("digest")),
        size_bytes=size,
        platform=_parse_platform(entry.get("platform")),
        annotations={key: value for key, value in annotations.items() if isinstance(value, str)},
    )


def _parse_platform(entry: object) -> ImagePlatform | None:
    if not isinstance(entry, dict):
        return None
    return ImagePlatform(_string(entry, "os"), _string(entry, "architecture"), _string(entry, "variant"))


def _string(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidArgument(f"`{key}` is not a string")
    return value


def _strings(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidArgument(f"`{key}` is not a list of strings")
    return tuple(value)
