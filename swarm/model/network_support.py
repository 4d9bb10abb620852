"""What kinds of networks can nodes give to their tasks? The one gate before services that ask for some.

The control API refuses a service that no node could run, the scheduler the nodes that cannot run it.

A node says it in its description (`runtime_info`, key `network_drivers`: names of drivers with commas
between them, `encrypted` for overlays with that option). A node that says nothing gives its tasks the
network of the node only: what such a task is told to join it would not join, silently.
"""

from collections.abc import Iterable

from swarm.api.v1.objects_pb2 import Node
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model.ipam import Block, parse_block

KEY = "network_drivers"
INGRESS = "ingress"  # ports that are published on every node
SCTP = "sctp"  # published ports of that protocol
ENCRYPTED = "encrypted"  # an option of overlays, and what a node says that can do it
NODE_SUBNET = "node_subnet"  # key in `runtime_info`: out of which a node gives all its tasks an address
ENCRYPTION = "encryption"  # key in `runtime_info`: how a node encrypts, or why it cannot
_REASONS_SHOWN = 3


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
    if driver == SCTP:
        raise FailedPrecondition(
            f"{what} needs a node whose kernel follows connections of SCTP, and no node of the cluster says "
            "that its does (module nf_conntrack with CONFIG_NF_CT_PROTO_SCTP): publish another protocol"
        )
    raise FailedPrecondition(
        f"{what} needs a node whose agent can do {driver} networks, and no node of the cluster says that it "
        "can: services without --network run, and reach each other at the ports they publish (mode=host)"
    )


def node_subnet(node: Node) -> Block | None:
    """Return where all tasks of a node have an address besides those in networks; None: it did not say."""
    try:
        return parse_block(node.description.runtime_info.get(NODE_SUBNET, ""))
    except InvalidArgument:
        return None


def encrypts(node: Node) -> bool:
    """Whether a node can take part in encrypted networks."""
    return ENCRYPTED in drivers_of(node)


def why_not_encrypted(node: Node) -> str:
    """Return why a node cannot encrypt, as it says itself."""
    return node.description.runtime_info.get(ENCRYPTION, "") or "its agent does not say that it can"


def check_encrypts(what: str, nodes: Iterable[Node], *, everywhere: bool = False) -> None:
    """Raise FailedPrecondition when no node can encrypt, or one cannot and it has to be `everywhere`."""
    nodes = tuple(nodes)
    unable = [node for node in nodes if not encrypts(node)]
    if len(unable) < len(nodes) and not (everywhere and unable):
        return
    reasons = [f"{one.description.hostname or one.id}: {why_not_encrypted(one)}" for one in unable]
    listed = "; ".join(reasons[:_REASONS_SHOWN]) + ("; …" if len(reasons) > _REASONS_SHOWN else "")
    all_or_any = (
        "every node has to be able to encrypt" if everywhere else "no node of the cluster can encrypt"
    )
    raise FailedPrecondition(
        f"{what} is to be encrypted between nodes, and {all_or_any} ({listed or 'there are no nodes'}): "
        "make that possible there, or leave out --opt encrypted"
    )
