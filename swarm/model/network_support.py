"""What kinds of networks can nodes give to their tasks? The one gate before services that ask for some.

The control API refuses a service that no node could run, the scheduler the nodes that cannot run it.

A node says it in its description (`runtime_info`, key `network_drivers`: names of drivers with commas
between them, `encrypted` for overlays with that option). A node that says nothing gives its tasks the
network of the node only: what such a task is told to join it would not join, silently.
"""

from collections.abc import Iterable

from swarm.api.v1.objects_pb2 import Node
from swarm.errors import FailedPrecondition

KEY = "network_drivers"
INGRESS = "ingress"  # ports that are published on every node
ENCRYPTED = "encrypted"  # an option of overlays, and what a node says that can do it


def drivers_of(node: Node) -> frozenset[str]:
    """Return the drivers of networks that a node can give to tasks."""
    return frozenset(node.description.runtime_info.get(KEY, "").split(",")) - {""}


def check_supported(what: str, driver: str, nodes: Iterable[Node]) -> None:
    """Raise FailedPrecondition when no node can do `driver`, which `what` asks for."""
    if any(driver in drivers_of(node) for node in nodes):
        return
    if driver == INGRESS:
        raise FailedPrecondition(
            f"{what} is to be published on every node, and no node of the cluster says that its agent can: "
            "publish it on the nodes that run the service (mode=host)"
        )
    raise FailedPrecondition(
        f"{what} needs a node whose agent can do {driver} networks, and no node of the cluster says that it "
        "can: services without --network run, and reach each other at the ports they publish (mode=host)"
    )
