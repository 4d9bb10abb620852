"""Images of the node's store in an engine's: copied when a container needs them, gone when those go."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import structlog

from swarm.errors import NotFound, SwarmError, TaskRejected
from swarm.runtime.docker.archive import archive_of
from swarm.runtime.docker.client import EngineClient, EngineError
from swarm.runtime.oci.layers import LayerSource
from swarm.runtime.oci.selftest import HostPrograms

log = structlog.get_logger(__name__)

REPOSITORY = "swarm.local/images"
HOST_PROGRAMS = "host-programs"  # digest of the image that consists of the node's own programs
_CHUNK = 1 << 20


class EngineImages:
    """What of the images of `source` an engine has."""

    def __init__(self, engine: EngineClient, source: LayerSource, directory: Path) -> None:
        """`directory` is for the node's own programs, which an engine has as an image too."""
        self._engine = engine
        self._source = source
        self._host_programs = directory / "host-programs"
        self._loading: dict[str, asyncio.Lock] = {}

    async def ensure(self, digest: str) -> str:
        """Return the engine's name for an image, which it has then; raises TaskRejected, Unavailable."""
        name = name_of(digest)
        async with self._loading.setdefault(digest, asyncio.Lock()):
            if not await self._has(name):
                await self._load(digest, name)
        return name

    async def forget_unused(self) -> None:
        """Remove what the node's store does not have any more, unless a container still uses it."""
        filters = f'{{"reference":["{REPOSITORY}"]}}'
        for image in await self._engine.request("GET", "/images/json", {"filters": filters}):
            for name in image.get("RepoTags") or ():
                if not self._is_known(name):
                    try:
                        await self._engine.request("DELETE", f"/images/{name}")
                    except EngineError as error:
                        log.info("runtime.engine_image_kept", image=name, reason=str(error))

    def _is_known(self, name: str) -> bool:
        digest = name.rpartition(":")[2]
        if digest == HOST_PROGRAMS:
            return True
        for candidate in (f"sha256:{digest}", digest):
            try:
                self._source.image_config(candidate)
            except NotFound:
                continue
            return True
        return False

    async def _has(self, name: str) -> bool:
        try:
            await self._engine.request("GET", f"/images/{name}/json")
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def _load(self, digest: str, name: str) -> None:
        try:
            archive = self._archive(digest, name)
            async with self._engine.stream("POST", "/images/load", upload=archive) as answer:
                said = await answer.body()
        except SwarmError as error:
            raise TaskRejected(f"the container engine cannot load the image: {error}") from error
        if not await self._has(name):
            text = said.decode("utf-8", "replace")[-300:]
            raise TaskRejected(f"the container engine cannot load the image: {text}")
        log.info("runtime.engine_image_loaded", image=name)

    def _archive(self, digest: str, name: str) -> AsyncIterator[bytes]:
        if digest == HOST_PROGRAMS:
            return HostProgramsImage(self._host_programs).save({digest: [name]})
        return self._source.save({digest: [name]})


def name_of(digest: str) -> str:
    """Return an engine's name for the image of a manifest."""
    return f"{REPOSITORY}:{digest.removeprefix('sha256:')}"


class HostProgramsImage(HostPrograms):
    """The node's own programs as an image that an engine can load."""

    def __init__(self, layer: Path) -> None:
        super().__init__(layer)
        self._directory = layer

    def save(self, images: Mapping[str, Sequence[str]]) -> AsyncIterator[bytes]:
        """Return an archive of the image."""
        ((digest, names),) = images.items()
        return in_chunks(archive_of([self._directory], self.image_config(digest), names[0]))


async def in_chunks(data: bytes) -> AsyncIterator[bytes]:
    """Yield data that is all there."""
    for at in range(0, len(data), _CHUNK):
        yield data[at : at + _CHUNK]
