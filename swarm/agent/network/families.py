"""The two families of addresses, as nft spells them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One family of addresses."""

    version: int
    ip: str  # family of tables, and word for addresses in rules
    kind: str  # of the elements of sets and maps
    everywhere: str  # every address of it


IPV4 = Family(4, "ip", "ipv4_addr", "0.0.0.0/0")
IPV6 = Family(6, "ip6", "ipv6_addr", "::/0")
FAMILIES = (IPV4, IPV6)
