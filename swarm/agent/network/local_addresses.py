"""Which subnet and which address has a task in a network that its node makes for itself?

Pure: what is in use is said by what was granted to other tasks.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from swarm.agent.network.base import LocalSubnet, TaskNetwork
from swarm.errors import TaskRejected

POOL = IPv4Network("172.29.0.0/16")  # out of which a node cuts subnets that nobody asked for
_PREFIX = 24
_CANDIDATES_MAX = 1 << 16  # of one subnet: more than there can be tasks on a node

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network
Granted = Mapping[str, Sequence[TaskNetwork]]  # by task


def completed(network: TaskNetwork, granted: Granted) -> TaskNetwork:
    """Return the network with its subnets and an address in each.

    Raises TaskRejected when there is none left, which names the subnet.
    """
    asked = {ip_network(one.subnet).version for one in network.subnets}
    chosen = (
        _chosen(network.network_id, family, granted) for family in network.families if family not in asked
    )
    subnets = (*network.subnets, *chosen)
    taken = {
        ip_address(address)
        for several in granted.values()
        for other in several
        if other.network_id == network.network_id
        for address in other.addresses
    }
    addresses = tuple(str(_free(subnet, taken)) for subnet in subnets)
    return replace(network, subnets=subnets, addresses=addresses)


def subnets_of(network: TaskNetwork) -> tuple[Subnet, ...]:
    """Return the subnets of a completed network."""
    return tuple(ip_network(one.subnet) for one in network.subnets)


def _chosen(network_id: str, family: int, granted: Granted) -> LocalSubnet:
    """Return the subnet that tasks of the network have, or else one that no other network has."""
    if family == 6:  # so many that those of two networks are never the same
        digest = hashlib.sha256(network_id.encode()).digest()
        return LocalSubnet(str(IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64))))
    others: set[IPv4Network] = set()
    for several in granted.values():
        for other in several:
            found = {one: ip_network(one.subnet) for one in other.subnets}
            mine = [one for one, subnet in found.items() if subnet.version == 4]
            if other.network_id == network_id and mine:
                return mine[0]
            others |= {subnet for subnet in found.values() if isinstance(subnet, IPv4Network)}
    for candidate in _candidates(network_id):
        if not any(candidate.overlaps(other) for other in others):
            return LocalSubnet(str(candidate))
    raise TaskRejected(f"no /{_PREFIX} of {POOL} is free on this node: create the network with --subnet")


def _candidates(network_id: str) -> Iterator[IPv4Network]:
    """Yield the subnets of the pool, beginning where the network's id says."""
    size = 1 << (_PREFIX - POOL.prefixlen)
    start = int.from_bytes(hashlib.sha256(network_id.encode()).digest()[:4])
    for step in range(size):
        first = int(POOL.network_address) + ((start + step) % size << (32 - _PREFIX))
        yield IPv4Network((first, _PREFIX))


def _free(subnet: LocalSubnet, taken: Collection[Address]) -> Address:
    whole = ip_network(subnet.subnet)
    given = ip_network(subnet.range or subnet.subnet)
    first, last = int(given.network_address), int(given.broadcast_address)
    reserved = {ip_address(one) for one in subnet.reserved}
    # As everywhere the first address is the network's and the second its gateway's.
    reserved |= {whole.network_address, whole.broadcast_address, whole.network_address + 1}
    for number in range(first, min(last + 1, first + _CANDIDATES_MAX)):
        address = ip_address(number) if given.version == 4 else IPv6Address(number)
        if address not in taken and address not in reserved:
            return address
    raise TaskRejected(f"no address of {given} is left on this node")
