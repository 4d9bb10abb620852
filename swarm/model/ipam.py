"""Which subnet does a network get, which address whoever joins it?

Everything is decided from what the caller says is taken: there is no other memory. Addresses go round, so
that one that just became free is the last to be given out again: whoever still talks to the task that had it
reaches nobody, not a stranger.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from swarm.errors import FailedPrecondition, InvalidArgument

Address: TypeAlias = IPv4Address | IPv6Address
Block: TypeAlias = IPv4Network | IPv6Network

SUBNET_LENGTH = 24
IPV6_SUBNET_LENGTH = 64
FEWEST_ADDRESSES = 8  # of a subnet: below it little is left beside gateway and routers
FEWEST_IN_RANGE = 2  # of a range in it: a task, and the node that runs it
DEFAULT_POOL = ip_network("10.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses of a cluster that subnets of `length` are cut from."""

    block: Block
    length: int

    @property
    def size(self) -> int:
        """How many subnets there are in it."""
        return 1 << (self.length - self.block.prefixlen)

    def __str__(self) -> str:
        """Return its name: what people gave as its address."""
        return str(self.block)


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses of one subnet that are given out, from `first` to `last`, without `reserved`."""

    first: Address
    last: Address
    reserved: frozenset[Address]

    @property
    def size(self) -> int:
        """How many addresses can be given out."""
        inside = sum(int(self.first) <= int(one) <= int(self.last) for one in self.reserved)
        return int(self.last) - int(self.first) + 1 - inside


def parse_block(text: str) -> Block:
    """Return the network that a CIDR names; raises InvalidArgument, which says what to write instead."""
    address, slash, length = text.partition("/")
    if not slash:
        raise InvalidArgument(f'"{text}" is not a subnet such as 10.1.0.0/16')
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f'"{text}" is not a subnet such as 10.1.0.0/16') from None
    raise InvalidArgument(f'"{text}": {address} is an address inside {loose.network_address}/{length}')


def parse_address(text: str) -> Address:
    """Return an address; raises InvalidArgument. One with a zone is none: it means something on one node."""
    try:
        found = ip_address(text)
    except ValueError:
        raise InvalidArgument(f'"{text}" is not an IP address') from None
    if isinstance(found, IPv6Address) and found.scope_id:
        raise InvalidArgument(f'"{text}": an address of a network has no zone')
    return found


def private_ipv6_pool(cluster_id: str) -> Pool:
    """Return the pool that a cluster has of its own: a unique local /48 (RFC 4193), always the same."""
    prefix = 0xFD << 40 | int.from_bytes(sha256(b"swarm ipv6 pool " + cluster_id.encode()).digest()[:5])
    return Pool(IPv6Network((prefix << 80, 48)), IPV6_SUBNET_LENGTH)


def next_subnet(pools: Sequence[Pool], taken: Iterable[Block]) -> tuple[Block, Pool]:
    """Return the lowest subnet of the first pool that has one which overlaps nothing of `taken`.

    Raises FailedPrecondition, with the pools and what can be done, when there is none.
    """
    spans = sorted((int(one[0]), int(one[-1]), one.version) for one in taken)
    for pool in pools:
        found = _lowest(pool, [span[:2] for span in spans if span[2] == pool.block.version])
        if found is not None:
            return found, pool
    named = ", ".join(f"{pool} ({pool.size} subnets of /{pool.length})" for pool in pools)
    raise FailedPrecondition(
        f"no subnet is free in the address pools of the cluster: {named or 'there are none'}; remove "
        "networks that nobody uses (swarmctl network prune), add a pool (swarmctl update "
        "--default-addr-pool CIDR), or say which subnet to take (--subnet CIDR)"
    )


def _lowest(pool: Pool, spans: Iterable[tuple[int, int]]) -> Block | None:
    """Return the first subnet between `spans`, which are sorted."""
    size = 1 << (pool.block.max_prefixlen - pool.length)
    candidate, end = int(pool.block[0]), int(pool.block[-1])
    for first, last in spans:
        if last < candidate:
            continue
        if first > candidate + size - 1:
            break
        candidate = (last // size + 1) * size
    if candidate + size - 1 > end:
        return None
    return type(pool.block)((candidate, pool.length))


def overlapping(block: Block, others: Iterable[tuple[Block, str]]) -> str:
    """Return the name of the first of `others` that has an address of `block`, else an empty text."""
    return next((name for other, name in others if overlap(block, other)), "")


def overlap(one: Block, other: Block) -> bool:
    """Whether two networks have an address in common."""
    return one.version == other.version and one[0] <= other[-1] and other[0] <= one[-1]  # type: ignore[operator]


def usable(subnet: Block, within: Block | None, reserved: Iterable[Address]) -> Range:
    """Return what can be given out of `subnet`, or of the part of it that is `within`.

    Never its first address, of IPv4 not the last one either: they stand for all at once.
    """
    part = within or subnet
    first, last = part[0], part[-1]
    kept = {subnet[0], *reserved}
    if subnet.version == 4:
        kept.add(subnet[-1])
    return Range(first, last, frozenset(kept))


def addresses_of(among: Range) -> Iterator[Address]:
    """Yield what can be given out, in order."""
    make = type(among.first)
    for number in range(int(among.first), int(among.last) + 1):
        if (address := make(number)) not in among.reserved:
            yield address


def next_address(
    among: Range, is_taken: Callable[[Address], bool], after: Address | None = None
) -> Address | None:
    """Return the first address behind `after` that is free, going round; None when there is none."""
    first, size = int(among.first), int(among.last) - int(among.first) + 1
    start = 0
    if after is not None and after.version == among.first.version:
        start = (int(after) + 1 - first) % size if first <= int(after) <= int(among.last) else 0
    make = type(among.first)
    for step in range(size):
        candidate = make(first + (start + step) % size)
        if candidate not in among.reserved and not is_taken(candidate):
            return candidate
    return None
