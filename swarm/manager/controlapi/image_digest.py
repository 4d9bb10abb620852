"""Which content does an image's name stand for now? Asked once, so that every task runs the same."""

import asyncio

import structlog

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.errors import FailedPrecondition, NotPermitted, TaskFailure, TransientError, Unauthenticated
from swarm.manager.controlapi.ports import ResolveImage
from swarm.manager.store.tables import ReadView
from swarm.model.reference import parse_reference

log = structlog.get_logger(__name__)

RESOLVE_S = 3.0  # leaves the commit its share of the 5 s in which a request is answered


async def pin_image(container: ContainerSpec, view: ReadView, ask_registry: ResolveImage | None) -> None:
    """Set `container.image_digest` to what the image's name stands for now.

    An image loaded into the cluster wins over a registry. Raises NotFound when there is no such image, and
    FailedPrecondition when nobody can tell: a service without an image would only fail later, on every node.
    """
    reference = parse_reference(container.image)
    container.image_digest = reference.digest
    if reference.digest:
        return
    loaded = view.images.by_name(str(reference))
    if loaded is not None:
        container.image_digest = loaded.digest
        return
    if ask_registry is None:
        raise _unknown(container.image, "this manager asks no registries")
    auth = container.registry_auth if container.HasField("registry_auth") else None
    try:
        container.image_digest = await asyncio.wait_for(ask_registry(str(reference), auth), RESOLVE_S)
    except (TransientError, NotPermitted, Unauthenticated, TaskFailure) as error:
        log.info("controlapi.image_not_resolved", image=str(reference), reason=str(error))
        raise _unknown(container.image, str(error)) from error
    except TimeoutError as error:
        raise _unknown(container.image, f"its registry did not answer within {RESOLVE_S:g} s") from error


def _unknown(image: str, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"image {image} is not loaded into the cluster, and its registry could not be asked: {why}. "
        "Load it with `swarmctl image load`, or let every node look for it by itself with "
        "--no-resolve-image (of a stack: --resolve-image never)"
    )
