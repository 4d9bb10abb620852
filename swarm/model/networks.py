"""What is a network, who gives its addresses, and what does a cluster give it?"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address

from swarm.api.v1.objects_pb2 import Cluster, Network, Subnet
from swarm.api.v1.specs_pb2 import ClusterSpec, NetworkSpec, ServiceSpec, SubnetSpec
from swarm.api.v1.types_pb2 import EndpointSpec, LocalNetwork, LocalSubnet, NetworkAttachment
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model import defaults
from swarm.model.ipam import (
    DEFAULT_POOL,
    IPV6_SUBNET_LENGTH,
    SUBNET_LENGTH,
    Block,
    Pool,
    Range,
    next_subnet,
    overlapping,
    parse_address,
    parse_block,
    private_ipv6_pool,
    usable,
)
from swarm.model.network_support import ENCRYPTED

OVERLAY, BRIDGE, MACVLAN = "overlay", "bridge", "macvlan"
DRIVERS = (OVERLAY, BRIDGE, MACVLAN)
MTU_OPTIONS = ("mtu", "com.docker.network.driver.mtu")
MACVLAN_MODE = "macvlan_mode"
PARENT = "parent"  # option of macvlan: the interface of each node that leads to the LAN
OPTIONS = {OVERLAY: (ENCRYPTED, MTU_OPTIONS[0]), BRIDGE: (), MACVLAN: (PARENT, MACVLAN_MODE)}
PREDEFINED = (BRIDGE, "host", "none")  # every node has them; their id is their name, as is their driver

# Made when a service first publishes a port through it, unless somebody made an ingress network.
INGRESS_NAME = "ingress"
# Every node and every task that publishes a port has an address there: more than others need.
INGRESS_SUBNET_LENGTH = 16
INGRESS_SHARE_BITS = 4  # but at most a sixteenth of a pool

# Numbers below are left to others on the same machines, as Docker does.
FIRST_VXLAN_ID = 4096
LAST_VXLAN_ID = (1 << 24) - 1


def driver_of(spec: NetworkSpec) -> str:
    """Return what makes a network."""
    return spec.driver or OVERLAY


def is_encrypted(spec: NetworkSpec) -> bool:
    """Whether what goes from node to node in such a network is encrypted: the option needs no value."""
    return driver_of(spec) == OVERLAY and ENCRYPTED in spec.driver_options


@lru_cache(maxsize=1 << 12)
def is_reachable_address(text: str) -> bool:
    """Whether this is an address at which one node may reach another, written as all of us write it."""
    try:
        found = ip_address(text)
    except ValueError:
        return False
    special = found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast
    return str(found) == text and not special and not found.is_reserved


def carrier_port(spec: NetworkSpec, cluster: ClusterSpec) -> int:
    """Return the UDP port that carries such a network between nodes; 0 when it is in one node each."""
    if driver_of(spec) != OVERLAY:
        return 0
    if is_encrypted(spec):
        return cluster.tunnel_port or defaults.TUNNEL_PORT
    return cluster.data_path_port or defaults.DATA_PATH_PORT


def has_cluster_addresses(network: Network) -> bool:
    """Whether the cluster gives addresses in it; in that of each node's own, the node does."""
    return network.id not in PREDEFINED


def is_overlay(network: Network) -> bool:
    """Whether it spans nodes by itself, and so can have routers and virtual addresses."""
    return driver_of(network.spec) == OVERLAY


def local_network(network: Network) -> LocalNetwork:
    """Return what a node has to know of a network that it connects tasks to by itself."""
    spec = network.spec
    return LocalNetwork(
        subnets=(
            LocalSubnet(
                subnet=one.subnet,
                range=one.range,
                reserved=[text for text in (one.gateway, *one.reserved.values()) if text],
                gateway=one.gateway,
            )
            for one in network.subnets
        ),
        options=spec.driver_options,
        internal=spec.internal,
        ipv6=spec.ipv6,
        no_ipv4=spec.no_ipv4,
    )


def network_ids(attachments: Iterable[NetworkAttachment]) -> tuple[str, ...]:
    """Return the ids of the networks named, each once, in their order."""
    return tuple(dict.fromkeys(one.network_id for one in attachments))


def has_virtual_addresses(spec: ServiceSpec) -> bool:
    """Whether the service is reached at an address of its own in each network."""
    return spec.endpoint.mode == EndpointSpec.MODE_VIP


def pools_of(cluster: Cluster) -> tuple[Pool, ...]:
    """Return the address pools of a cluster, IPv4 and IPv6; it always has one of IPv6."""
    spec = cluster.spec
    found = [_pool(parse_block(text), spec) for text in spec.default_address_pools]
    if not any(pool.block.version == 4 for pool in found):
        found.append(_pool(DEFAULT_POOL, spec))
    if not any(pool.block.version != 4 for pool in found):
        found.append(private_ipv6_pool(cluster.id))
    return tuple(found)


def _pool(block: Block, spec: ClusterSpec) -> Pool:
    if block.version == 4:
        return Pool(block, spec.subnet_length or SUBNET_LENGTH)
    return Pool(block, IPV6_SUBNET_LENGTH)


def ingress_pools(pools: Iterable[Pool]) -> tuple[Pool, ...]:
    """Return the pools as the ingress network is cut from them: a larger subnet, where there is room."""

    def length(pool: Pool) -> int:
        least = max(INGRESS_SUBNET_LENGTH, pool.block.prefixlen + INGRESS_SHARE_BITS)
        return min(pool.length, least) if pool.block.version == 4 else pool.length

    return tuple(Pool(pool.block, length(pool)) for pool in pools)


def blocks_of(network: Network) -> tuple[Block, ...]:
    """Return the subnets that the cluster gave to a network."""
    return tuple(parse_block(one.subnet) for one in network.subnets)


def decide_subnets(
    spec: NetworkSpec, pools: Sequence[Pool], others: Sequence[tuple[Block, str]], avoid: Iterable[Block]
) -> list[Subnet]:
    """Return the subnets of a new overlay network with a valid spec, IPv4 first.

    `others` are subnets of networks with their names: asking for one that overlaps them is refused. `avoid`
    is only kept clear of where nobody asked for a subnet. Raises InvalidArgument and FailedPrecondition.
    """
    taken = [*(block for block, _ in others), *avoid]
    found: list[Subnet] = []
    for version in (4, 6):
        if (version == 4 and spec.no_ipv4) or (version == 6 and not spec.ipv6):
            continue
        wanted = next((one for one in spec.subnets if one.subnet and _version(one) == version), None)
        if wanted is not None:
            found.append(_asked_for(wanted, others))
            continue
        block, pool = next_subnet([one for one in pools if one.block.version == version], taken)
        found.append(_resolved(SubnetSpec(), block, str(pool)))
    return found


def _version(wanted: SubnetSpec) -> int:
    return parse_block(wanted.subnet).version


def _asked_for(wanted: SubnetSpec, others: Sequence[tuple[Block, str]]) -> Subnet:
    block = parse_block(wanted.subnet)
    name = overlapping(block, others)
    if name:
        raise FailedPrecondition(
            f"subnet {block} overlaps that of network {name}: a container in both could reach one only; "
            "take another one, or none: then a free one is chosen"
        )
    return _resolved(wanted, block, "")


def _resolved(wanted: SubnetSpec, block: Block, pool: str) -> Subnet:
    found = Subnet(subnet=str(block), range=wanted.range, pool=pool, reserved=wanted.reserved)
    found.gateway = str(parse_address(wanted.gateway)) if wanted.gateway else str(block[1])
    return found


def range_of(subnet: Subnet) -> Range:
    """Return what can be given out of a subnet."""
    within = parse_block(subnet.range) if subnet.range else None
    reserved = map(parse_address, (subnet.gateway, *subnet.reserved.values()))
    return usable(parse_block(subnet.subnet), within, reserved)


def vxlan_id(network_id: str, is_taken: Callable[[int], bool]) -> int:
    """Return the VXLAN number of a new network.

    It depends on the id, which is random: a number that was in use before, somewhere, comes back by chance
    only, once in sixteen million times.
    """
    size = LAST_VXLAN_ID - FIRST_VXLAN_ID + 1
    start = int.from_bytes(sha256(network_id.encode()).digest()[:8]) % size
    for step in range(size):
        number = FIRST_VXLAN_ID + (start + step) % size
        if not is_taken(number):
            return number
    raise FailedPrecondition("all VXLAN numbers are in use")


def checked_static(text: str, subnets: Iterable[Subnet], network: str) -> str:
    """Return an address that a task asks for as it is written everywhere.

    Raises InvalidArgument when nobody may have it in that network.
    """
    address = parse_address(text)
    blocks = [parse_block(one.subnet) for one in subnets]
    inside = next((one for one in subnets if address in parse_block(one.subnet)), None)
    if inside is None:
        where = " and ".join(map(str, blocks)) or "no subnet"
        raise InvalidArgument(f"address {address} is not in network {network}, which has {where}")
    kept = range_of(inside).reserved
    if address in kept:
        raise InvalidArgument(f"address {address} of network {network} is reserved: take another one")
    return str(address)
