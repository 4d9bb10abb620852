"""Which image of the cluster does a person mean?"""

from swarm.api.v1.objects_pb2 import Image
from swarm.errors import Ambiguous, InvalidArgument, NotFound
from swarm.manager.store.tables import ReadView
from swarm.model.reference import begins_digest, parse_reference


def find_image(view: ReadView, ref: str, *, names_one: bool = False) -> Image:
    """Return the image that a person means; raises NotFound, Ambiguous, InvalidArgument.

    Names of the same content are one image, unless it is the name that counts (`names_one`).
    """
    if not ref:
        raise InvalidArgument("no image is named: give a reference, an id or a digest")
    if (by_id := view.images.get(ref)) is not None:
        return by_id
    try:
        by_name = view.images.by_name(str(parse_reference(ref)))
    except InvalidArgument:
        by_name = None
    if by_name is not None:
        return by_name
    found = [image for image in view.images if image.id.startswith(ref) or begins_digest(image.digest, ref)]
    if not found:
        raise NotFound(
            f"no image {ref} was loaded into the cluster: `swarmctl image ls` lists those that are there"
        )
    if len(found) > 1 and (names_one or len({image.digest for image in found}) > 1):
        names = ", ".join(sorted(image.annotations.name for image in found)[:5])
        raise Ambiguous(f"{ref} may be any of {len(found)} images: {names}")
    return min(found, key=lambda image: image.annotations.name)
