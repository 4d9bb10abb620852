"""May a container of no service join a network, and is what its node says of it valid?"""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Attachment, Network
from swarm.api.v1.plain_pb2 import PlainSpec
from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Annotations, NetworkAttachment
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.networks import BRIDGE, OVERLAY, checked_static, driver_of, has_cluster_addresses
from swarm.model.validate_network import attachment_problems

HOST, NONE = "host", "none"


def predefined(name: str) -> Network:
    """Return a network that every node has, which is no object of the store."""
    return Network(id=name, spec=NetworkSpec(driver=name, annotations=Annotations(name=name)))


def joining_problems(network: Network, wanted: NetworkAttachment) -> Iterator[str]:
    """Yield why a container of no service cannot be in a network as it wants to."""
    name = network.spec.annotations.name
    if network.spec.ingress:
        yield f"network {name} is what ports are published through: containers publish on their node (-p)"
        return
    if driver_of(network.spec) == OVERLAY and not network.spec.attachable:
        yield (
            f"network {name} is not attachable: only services join it; make one that containers join too "
            "(swarmctl network create --attachable NAME)"
        )
    static = [text for text in (wanted.ipv4_address, wanted.ipv6_address) if text]
    if static and not has_cluster_addresses(network):
        yield f"network {name}: its addresses are given by each node, none can be chosen"
        return
    for text in static:
        try:
            checked_static(text, network.subnets, name)
        except InvalidArgument as problem:
            yield str(problem)


def attachment_word_problems(said: Attachment) -> Iterator[str]:
    """Yield what is wrong with what a node says, whoever made it say so."""
    yield from limits.PLAIN_NAME_CHARACTERS.exceeded("the name", len(said.name))
    if not said.id or not said.name or len(said.id) > limits.PLAIN_NAME_CHARACTERS.value:
        yield "a container has an id and a name"
    if len(said.hostname) > limits.PLAIN_NAME_CHARACTERS.value:
        yield "the hostname is too long"
    service = ServiceSpec()
    service.task.networks.extend(said.wanted)
    yield from attachment_problems(service)


def in_networks_of_its_own(spec: PlainSpec) -> bool:
    """Whether a container is in other networks than those that its node has for all."""
    return any(one.network_id != BRIDGE for one in spec.networks)
