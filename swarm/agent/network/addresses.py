"""Which address does the next task get?"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

from swarm.errors import TaskRejected

RESERVED = 16  # the first addresses of a subnet: network, node, router, and what later needs one


def next_address(
    subnet: IPv4Network, taken: Collection[IPv4Address], after: IPv4Address | None
) -> IPv4Address:
    """Return the first free address behind `after`, starting over at the end of the subnet.

    Going round, instead of taking the lowest free one, keeps an address unused for as long as possible:
    whoever still talks to the task that had it before does not reach a stranger.
    Raises TaskRejected when every address is taken.
    """
    first = int(subnet.network_address) + RESERVED
    size = int(subnet.broadcast_address) - first
    start = int(after) + 1 - first if after is not None and after in subnet else 0
    for step in range(size):
        candidate = IPv4Address(first + (start + step) % size)
        if candidate not in taken:
            return candidate
    raise TaskRejected(f"no free address in {subnet} for another task on this node")
