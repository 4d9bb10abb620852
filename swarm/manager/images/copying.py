"""How does the content of an image of the cluster come to this manager? From another one that has it."""

from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from swarm.api.v1.objects_pb2 import Image
from swarm.errors import SwarmError, Unavailable
from swarm.manager.images.plan import places_to_ask
from swarm.manager.images.report import Dial
from swarm.manager.images.source import ManagerSource
from swarm.runtime.images.base import BlobSource
from swarm.runtime.images.store import LocalImageStore

log = structlog.get_logger(__name__)

Peers = Callable[[], Sequence[tuple[str, str]]]


class ImageCopier:
    """Copies images from other managers."""

    def __init__(self, images: LocalImageStore, peers: Peers, dial: Dial) -> None:
        """`peers` returns (node id, address) of the other managers."""
        self._images = images
        self._peers = peers
        self._dial = dial

    async def bring(self, image: Image) -> None:
        """Return once every blob of `image` is here; raises Unavailable with what each manager said."""
        if not self._images.has(image.blobs):
            await self.copy(image)

    async def copy(self, image: Image) -> None:
        """Copy what is missing, and tag the image here; raises Unavailable with what each manager said."""
        reasons: list[str] = []
        name = image.annotations.name
        # Once without asking anybody when all blobs are here and only the name is missing.
        for node_id, addr in places_to_ask(image, self._peers()) or [("", "")]:
            try:
                await self._images.ingest(name, image.digest, image.blobs, self._source(addr))
            except (SwarmError, OSError) as error:
                reasons.append(f"{node_id}: {error}" if node_id else str(error))
            else:
                log.info("images.image_replicated", reference=name, digest=image.digest, node_id=node_id)
                return
        raise Unavailable(f"no manager could send image {name} ({'; '.join(reasons)})")

    def _source(self, addr: str) -> BlobSource:
        return ManagerSource(lambda: self._dial(addr)) if addr else _Nobody()


class _Nobody:
    """Where a manager without others looks for images, such as the first one after a restore."""

    async def resolve(self, reference: str) -> tuple[str, Sequence[str]] | None:
        return None

    async def fetch(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        raise Unavailable("there is no other manager: load or pull it again")
        yield b""
