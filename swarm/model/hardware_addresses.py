"""Which hardware address (MAC) has an interface, and which may somebody choose?"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from swarm.errors import InvalidArgument

# What all containers see as their next hop; it is at the other end of each of their cables.
GATEWAY_MAC = "ee:ee:ee:ee:ee:ee"
_WRITTEN = re.compile(
    r"(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2})|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}"
)
_OF_MANY = 0x01


def parse_mac(text: str) -> str:
    """Return a hardware address as six bytes with colons; raises InvalidArgument.

    Written as aa:bb:cc:dd:ee:ff, aa-bb-cc-dd-ee-ff or aabb.ccdd.eeff.
    """
    if not _WRITTEN.fullmatch(text.strip().lower()):
        raise InvalidArgument(f'"{text[:40]}" is not a hardware address: write six bytes, 02:42:ac:11:00:02')
    packed = bytes.fromhex(re.sub(r"[:.-]", "", text.strip()))
    found = packed.hex(":")
    if packed[0] & _OF_MANY:
        raise InvalidArgument(f"the hardware address {found} is one of groups: its first byte is to be even")
    if not any(packed) or found == GATEWAY_MAC:
        raise InvalidArgument(f"the hardware address {found} is not for containers: take another one")
    return found


def mac_of(value: IPv4Address | IPv6Address) -> str:
    """Return a hardware address for an address: locally administered, as unique as its last four bytes."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in value.packed[-4:])


def mac_in_force(chosen: str, addresses: Iterable[str]) -> str:
    """Return the hardware address of an interface: the one chosen, else that of its first address."""
    known = [text for text in addresses if text]
    return chosen or (mac_of(ip_address(known[0])) if known else "")
