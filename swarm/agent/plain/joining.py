"""May a plain container join or leave a network, and what has it then? Pure."""

from swarm.agent.plain.config import HOST_NETWORK, NONE_NETWORK
from swarm.api.v1.objects_pb2 import Attachment
from swarm.api.v1.plain_pb2 import PlainContainer
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.errors import FailedPrecondition, NotFound
from swarm.model.networks import BRIDGE


def check_can_connect(record: PlainContainer, wanted: NetworkAttachment) -> None:
    """Raise FailedPrecondition when a container cannot be in one more network, or is in this one."""
    name = record.spec.name
    if record.spec.network in (HOST_NETWORK, NONE_NETWORK):
        raise FailedPrecondition(
            f"container {name} was made with --network {record.spec.network} and stays so: run it anew with "
            "--network NAME"
        )
    refs = {wanted.network_id, wanted.network_name} - {""}
    if refs & {HOST_NETWORK, NONE_NETWORK}:
        raise FailedPrecondition(
            f"container {name} has a network of its own: run it anew with --network {min(refs)}"
        )
    if BRIDGE in refs and wanted.mac_address:
        raise FailedPrecondition(
            f"container {name} has its interface of network bridge since it was made: run it anew with "
            "--network bridge,mac-address=ADDRESS"
        )
    if BRIDGE in refs and not record.spec.networks:
        raise FailedPrecondition(f"container {name} is in network bridge already: it is in no other")
    for one in record.spec.networks:
        if refs & {one.network_id, one.network_name}:
            raise FailedPrecondition(
                f"container {name} is in network {one.network_name} already: take it out first (swarmctl "
                f"network disconnect {one.network_name} {name})"
            )


def network_to_leave(record: PlainContainer, ref: str) -> NetworkAttachment:
    """Return the network that a container is to leave, named by name or id; raises NotFound."""
    for one in record.spec.networks:
        if ref and ref in (one.network_id, one.network_name):
            return one
    if ref == BRIDGE and not record.spec.networks and not record.spec.network:
        raise FailedPrecondition(
            f"container {record.spec.name} is in network bridge only, which every container without another "
            "one is in: connect it to another one, or run it anew with --network none"
        )
    raise NotFound(f"container {record.spec.name} is not in network {ref}")


def without(record: PlainContainer, gone: NetworkAttachment) -> Attachment:
    """Return what a container has once it has left a network."""
    return Attachment(
        id=record.id,
        wanted=[one for one in record.spec.networks if one.network_id != gone.network_id],
        networks=[one for one in record.addresses if one.network_id != gone.network_id],
    )
