"""At which addresses of a node is a port published? One address, those in a CIDR, or, empty, all of them.

0.0.0.0 and :: stand for every address of their family, as programs say it.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from swarm.errors import InvalidArgument

_WILDCARDS = {"0.0.0.0": "0.0.0.0/0", "::": "::/0"}  # noqa: S104 written by people, not bound


@lru_cache(maxsize=1 << 12)
def block_of(host_ip: str) -> IPv4Network | IPv6Network:
    """Return the addresses meant by a text that is not empty; raises InvalidArgument when it means none."""
    text = host_ip.removeprefix("[").removesuffix("]")
    try:
        return ip_network(_WILDCARDS.get(text, text))
    except ValueError as error:
        raise InvalidArgument(
            f'"{host_ip}" is no address to publish a port at: give one of the node, e.g. 192.0.2.4, or a '
            "CIDR that it is in, e.g. 192.0.2.0/24"
        ) from error


def spelled(host_ip: str) -> str:
    """Return the text as it is written everywhere: an address, or a CIDR; empty stays empty."""
    if not host_ip:
        return ""
    block = block_of(host_ip)
    return str(block.network_address if block.prefixlen == block.max_prefixlen else block)


def host_prefix(host_ip: str) -> str:
    """Return what people write before a port: `192.0.2.4:`, `[2001:db8::1]:`, or nothing."""
    return "" if not host_ip else f"[{host_ip}]:" if ":" in host_ip else f"{host_ip}:"


def is_of(host_ip: str, version: int) -> bool:
    """Return whether addresses of family 4 or 6 are meant."""
    return not host_ip or block_of(host_ip).version == version


def overlap(one: str, other: str) -> bool:
    """Return whether an address of a node can be meant by both."""
    if not one or not other:
        return True
    here, there = block_of(one), block_of(other)
    return here.version == there.version and here.overlaps(there)


def holds(host_ip: str, address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address of a node is meant."""
    return not host_ip or address in block_of(host_ip)
