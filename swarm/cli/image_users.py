"""Which plain containers need an image? Only their nodes know them."""

from swarm.api.v1.containers_pb2 import ContainerRequest, ListContainers
from swarm.cli.connect import Connection
from swarm.cli.container_calls import ask
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model.reference import parse_reference


def check_plain_users(conn: Connection, ref: str, *, force: bool) -> None:
    """Raise FailedPrecondition when plain containers are made of the image that `ref` names.

    What a node that cannot answer has is not known; there the content stays while a container needs it.
    """
    try:
        name = str(parse_reference(ref))
    except InvalidArgument:
        return
    request = ContainerRequest(list=ListContainers(all=True, plain=True))
    for answer in ask(conn, request, ()):
        one = answer.container
        if not answer.HasField("container") or _full_name(one.image) != name:
            continue
        runs = one.state in {"running", "paused", "restarting"}
        if runs or not force:
            hint = "" if runs else ", or remove the image by force"
            raise FailedPrecondition(
                f"image {ref} is used by container {one.name}, which is {one.state}: remove that first{hint}"
            )


def _full_name(image: str) -> str:
    try:
        return str(parse_reference(image))
    except InvalidArgument:
        return image
