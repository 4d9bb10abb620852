"""Which content does an image's name stand for now? Asked once, so that every task runs the same."""

import asyncio

import structlog

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.errors import NotPermitted, SwarmError, TaskFailure, TransientError, Unauthenticated
from swarm.manager.controlapi.ports import ResolveImage
from swarm.manager.store.tables import ReadView
from swarm.model.reference import parse_reference

log = structlog.get_logger(__name__)

RESOLVE_S = 2.0  # a registry that needs longer is left to the nodes


async def pin_image(
    container: ContainerSpec, view: ReadView, ask_registry: ResolveImage | None
) -> list[str]:
    """Set `container.image_digest`, or leave it empty and return the warning that says so.

    An image loaded into the cluster wins over a registry. Raises NotFound when the registry knows that
    there is no such image.
    """
    reference = parse_reference(container.image)
    container.image_digest = reference.digest
    if reference.digest:
        return []
    loaded = view.images.by_name(str(reference))
    if loaded is not None:
        container.image_digest = loaded.digest
        return []
    if ask_registry is None:
        return [_unpinned(container.image, "it is not loaded into the cluster")]
    auth = container.registry_auth if container.HasField("registry_auth") else None
    try:
        container.image_digest = await asyncio.wait_for(ask_registry(str(reference), auth), RESOLVE_S)
    except (TransientError, NotPermitted, Unauthenticated, TaskFailure, TimeoutError) as error:
        why = str(error) if isinstance(error, SwarmError) else f"no answer within {RESOLVE_S:g} s"
        log.info("controlapi.image_not_resolved", image=str(reference), reason=why)
        return [_unpinned(container.image, f"its registry could not be asked ({why})")]
    return []


def _unpinned(image: str, why: str) -> str:
    return (
        f"image {image} has no fixed digest: {why}; nodes may run different versions of it, or not find it"
    )
