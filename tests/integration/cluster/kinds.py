"""Every kind of network and of publishing, a row each: tested in test_kinds.py, shown in docs."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

FAMILIES = (4, 6)
PROTOCOLS = ("tcp", "udp", "sctp")

PORT_OF_ITS_NODES = "the port is of the nodes that run the service"
OTHER_ADDRESS = "it is not published at that address"
NODES_OWN = "each node has this network for itself"
NO_ROUTER = "there is no router that could lead: the name leads to the tasks"
ALONE = "the task has nobody to talk to"


@dataclass(frozen=True, slots=True)
class Kind:
    """Who asks a task over what, where, and how."""

    driver: str
    family: int
    protocol: str
    place: str  # of who asks: at the task's node, at another node, or a host that is no node
    way: str
    refused: str = ""  # why not

    def __str__(self) -> str:
        """Return it as the name of a test."""
        return f"{self.driver}-ipv{self.family}-{self.protocol}-{self.place}-{self.way}".replace(" ", "_")


def kinds() -> Iterator[Kind]:
    """Yield every row."""
    for family, protocol, place in product(FAMILIES, PROTOCOLS, ("local", "remote")):
        far = place == "remote"
        yield Kind("overlay", family, protocol, place, "vip")
        yield Kind("overlay", family, protocol, place, "direct")
        yield Kind("any", family, protocol, place, "ingress")
        yield Kind("any", family, protocol, place, "host", PORT_OF_ITS_NODES if far else "")
        yield Kind("macvlan", family, protocol, place, "direct")
        yield Kind("bridge", family, protocol, place, "direct", NODES_OWN if far else "")
        yield Kind("host", family, protocol, place, "direct")
    for family, protocol in product(FAMILIES, PROTOCOLS):
        yield Kind("default", family, protocol, "local", "direct")
        yield Kind("macvlan", family, protocol, "outside", "direct")
        yield Kind("any", family, protocol, "local", "host at an address")
        yield Kind("any", family, protocol, "local", "host at another", OTHER_ADDRESS)
        yield Kind("any", family, protocol, "remote", "ingress at a CIDR")
        yield Kind("any", family, protocol, "remote", "ingress at another", OTHER_ADDRESS)
    for driver in ("macvlan", "bridge"):
        yield Kind(driver, 4, "tcp", "local", "vip", NO_ROUTER)
    yield Kind("none", 4, "tcp", "local", "direct", ALONE)


WAYS = {
    "vip": "at the address of its service",
    "direct": "at its own address",
    "ingress": "at a port of all nodes",
    "host": "at a port of its node",
    "host at an address": "at a port of its node, published at this address",
    "host at another": "at a port of its node, published at another address",
    "ingress at a CIDR": "at a port of all nodes, published at these addresses",
    "ingress at another": "at a port of all nodes, published at other addresses",
}
DRIVERS = {"any": "any but host, none", "default": "none named, or `bridge`"}
PLACES = {"local": "its node", "remote": "another node", "outside": "a host of the LAN"}


def table() -> str:
    """Return the rows for people: those that differ in family and protocol alone stand together."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for one in sorted(
        kinds(), key=lambda kind: (list(_ORDER).index(kind.driver), list(WAYS).index(kind.way))
    ):
        key = (one.driver, one.way, one.place, one.refused)
        found.setdefault(key, []).append(f"{one.protocol}{'6' if one.family == 6 else ''}")
    lines = ["| network | asked | from | over | |", "|---|---|---|---|---|"]
    for (driver, way, place, refused), over in found.items():
        name = DRIVERS.get(driver, driver)
        result = f"no: {refused}" if refused else "works"
        lines.append(f"| {name} | {WAYS[way]} | {PLACES[place]} | {' '.join(over)} | {result} |")
    return "\n".join(lines)


_ORDER = ("default", "overlay", "macvlan", "bridge", "host", "none", "any")
