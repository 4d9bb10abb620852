"""Move an interface into another namespace."""

import struct
from pathlib import Path

from swarm.agent.network import links, vxlan
from swarm.agent.network.netlink import Netlink, Request, attributes, u32

_NEW_LINK, _NS_FD = 16, 28
_LINK = struct.Struct("=BxHiII")


def move_link(name: str, path: Path, mtu: int) -> None:
    """Move the interface of that name from here into a namespace; raises OSError when there is none."""
    with Netlink() as here, path.open("rb") as namespace:
        found = links.find_link(here, name)
        if found is None:
            raise FileNotFoundError(f"there is no interface {name}")
        move = _LINK.pack(0, 0, found.index, 0, 0) + attributes({_NS_FD: u32(namespace.fileno())})
        here.run(
            vxlan.set_mtu(found.index, mtu),
            Request(_NEW_LINK, 0, move, f"move the interface {name}"),
        )
