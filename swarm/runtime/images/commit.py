"""A container's files and settings as an image of one layer more than that which it was made of."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.runtime.images.archive import StagedFile
from swarm.runtime.images.blobs import closing
from swarm.runtime.images.holds import Hold
from swarm.runtime.images.local import LocalImage
from swarm.runtime.images.manifest import (
    DOCKER_LAYER,
    OCI_CONFIG,
    OCI_LAYER,
    Descriptor,
    parse_configuration,
    render_manifest,
)
from swarm.runtime.images.storage import Storage

# From the base's configuration (JSON) and the digest of the new layer to the new configuration.
Configure = Callable[[bytes, str], bytes]


async def commit(
    storage: Storage, base: LocalImage, layer: AsyncIterator[bytes], configure: Configure, hold: Hold
) -> str:
    """Store the image of `layer` on top of `base`; return the digest of its manifest, which `hold` keeps.

    Raises InvalidArgument for a configuration that no node would take, FailedPrecondition for what is too
    large, OSError (the disk is full), and as `layer`.
    """
    if len(base.manifest.layers) >= storage.limits.layers_max:
        raise FailedPrecondition(
            f"the image would have more than {storage.limits.layers_max} layers: build it from a Dockerfile"
        )
    with storage.layers.staging() as folder:
        staged = await _staged(layer, folder / "layer", storage.limits.archive_bytes_max)
        hold.add(staged.digest)
        config = configure(storage.blobs.document(base.manifest.config.digest), staged.digest)
        if len(config) > storage.limits.document_bytes_max:
            raise InvalidArgument(f"the configuration of the image has {len(config)} bytes")
        parse_configuration(config, "")  # what every node would refuse is refused here
        if storage.blobs.has(staged.digest):
            storage.blobs.touch(staged.digest)
        else:
            await storage.blobs.adopt(staged.path, staged.digest)
    config_digest = await storage.blobs.put(config)
    manifest = render_manifest(
        Descriptor(OCI_CONFIG, config_digest, len(config)),
        [
            *(replace(one, media_type=_oci(one.media_type)) for one in base.manifest.layers),
            Descriptor(OCI_LAYER, staged.digest, staged.size_bytes),
        ],
    )
    digest = await storage.blobs.put(manifest)
    hold.add(config_digest, digest)
    return digest


def new_configuration(
    base: bytes, diff_id: str, runs: Mapping[str, object], step: Mapping[str, object]
) -> bytes:
    """Return a configuration like that of the base, with other settings, one more layer and one more step.

    `runs` are the settings for containers, `step` says how the layer came to be. Pure.
    """
    document = json.loads(base)
    document["config"] = {key: value for key, value in runs.items() if value}
    below = document["rootfs"]["diff_ids"]
    document["rootfs"] = {"type": "layers", "diff_ids": [*below, diff_id]}
    told = document.get("history")
    told = told if isinstance(told, list) and all(isinstance(one, dict) for one in told) else []
    untold = len(below) - sum(one.get("empty_layer") is not True for one in told)
    document["history"] = [*told, *[{} for _ in range(untold)], step]  # steps and layers go in pairs
    document["created"] = step["created"]
    for key in ("container", "container_config", "author"):
        document.pop(key, None)
    if step.get("author"):
        document["author"] = step["author"]
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _oci(media_type: str) -> str:
    """Return how a layer is called in a manifest of OCI; what Docker calls otherwise is the same."""
    if not media_type.startswith(DOCKER_LAYER):
        return media_type
    return OCI_LAYER + media_type.removeprefix(DOCKER_LAYER).replace(".", "+")


async def _staged(chunks: AsyncIterator[bytes], path: Path, most: int) -> StagedFile:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        async with closing(chunks) as open_chunks:
            async for chunk in open_chunks:
                size += len(chunk)
                if size > most:
                    raise FailedPrecondition(f"the container has changed more than {most} bytes")
                await asyncio.to_thread(_add, file, digest.update, chunk)
        await asyncio.to_thread(_sync, file)
    return StagedFile(path, f"sha256:{digest.hexdigest()}", size)


def _add(file: BinaryIO, update: Callable[[bytes], object], chunk: bytes) -> None:
    update(chunk)
    file.write(chunk)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
