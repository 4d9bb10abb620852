"""An image made of a container: its node sends an archive, which this manager takes in as a loaded one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

import structlog

from swarm.api.v1.containers_pb2 import CommitContainer, CommittedImage, ContainerOutput
from swarm.api.v1.control_pb2 import LoadImageRequest
from swarm.api.v1.objects_pb2 import Image
from swarm.errors import FailedPrecondition, InvalidArgument, OutcomeUnknown
from swarm.model.reference import parse_reference

log = structlog.get_logger(__name__)

LoadImages = Callable[[AsyncIterator[LoadImageRequest]], Awaitable[Sequence[Image]]]


def check_commit(wanted: CommitContainer) -> None:
    """Raise InvalidArgument for a name that no image can have, before anything is done."""
    if wanted.reference and parse_reference(wanted.reference).digest:
        raise InvalidArgument(f"{wanted.reference} cannot be the name of an image: it contains a digest")


async def take_in(
    wanted: CommitContainer, answers: AsyncIterator[ContainerOutput], load: LoadImages | None
) -> AsyncIterator[ContainerOutput]:
    """Load the archive that a node sends, and yield what the image is in the cluster; raises as `load`."""
    if load is None:
        raise FailedPrecondition("this manager keeps no images")
    async with aclosing(answers):  # type: ignore[type-var]
        first = await anext(answers, ContainerOutput())
        if not first.HasField("committed"):
            raise OutcomeUnknown("the node did not say what it made of the container")
        made = first.committed
        name = wanted.reference or _nameless(made)

        async def archive() -> AsyncIterator[LoadImageRequest]:
            yield LoadImageRequest(reference=name)
            async for answer in answers:
                if answer.HasField("chunk"):
                    yield LoadImageRequest(chunk=answer.chunk.data)

        images = await load(archive())
        for image in images:
            log.info("containers.committed", reference=image.annotations.name, digest=image.digest)
            about = CommittedImage(digest=image.digest, base=made.base, reference=image.annotations.name)
            yield ContainerOutput(node_id=first.node_id, committed=about)
        yield ContainerOutput(node_id=first.node_id, done=True)


def _nameless(made: CommittedImage) -> str:
    """Return how an image without a name is listed: by its digest, as one that lost its name."""
    base = parse_reference(made.base)
    return f"{base.name}@{made.digest}"
