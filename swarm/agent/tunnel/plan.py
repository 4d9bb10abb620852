"""Whom must the tunnel of this node know, and by which keys; and what does it lack? Pure.

One tunnel carries all encrypted networks of a node. Other nodes have the addresses in it that they have
outside, so that what leads to a node needs no second number.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from swarm.agent.overlay.plan import TUNNEL_OVERHEAD, Address, parsed
from swarm.agent.overlay.state import NetworkState

DEFAULT_PORT = 4788
KEY_BYTES = 32
KEEPALIVE_S = 25  # what stands between the nodes remembers a flow for at least 30 s
SESSION_S = 180  # WireGuard uses nothing longer; keepalives renew it every two minutes
_MTU_MIN = 1280


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node, in the tunnel of this one."""

    address: Address  # of the node, inside the tunnel and outside
    port: int  # UDP, outside
    shared: bytes = field(default=b"", repr=False)  # key between the two nodes; empty: not known (any more)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the tunnel of this node has to be."""

    addresses: tuple[Address, ...]  # of this node
    port: int
    peers: Mapping[bytes, Peer]  # by public key

    @property
    def towards(self) -> Address | None:
        """Return some other node, which shows what the path between nodes takes."""
        return next((peer.address for peer in self.peers.values()), None)


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """Another node, as the tunnel has it."""

    endpoint: tuple[Address, int] | None = None
    shared: bytes = field(default=b"", repr=False)
    allowed: frozenset[Address] = frozenset()  # what it may send from; hosts only
    keepalive_s: int = 0
    handshake_s: float = 0.0  # when, since the epoch; 0: never
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """What the tunnel is, by the account of whoever carries it."""

    private: bytes = field(default=b"", repr=False)
    port: int = 0
    peers: Mapping[bytes, KnownPeer] = field(default_factory=dict)  # by public key


@dataclass(frozen=True, slots=True)
class PeerChange:
    """One node to set, or to remove when there is no peer."""

    key: bytes
    peer: Peer | None
    redirect: bool = True  # whether to say where it is: a running conversation knows that better


def tunnel_of(states: Iterable[NetworkState]) -> Tunnel | None:
    """Return the tunnel for these networks, None when none of them is encrypted.

    Nodes without a key are left out: nothing goes to them. Raises ValueError when it is not known which
    address this node has.
    """
    encrypted = sorted((one for one in states if one.network.encrypted), key=lambda state: state.network.id)
    if not encrypted:
        return None
    addresses = {one for state in encrypted if (one := parsed(state.network.node_address))}
    if not addresses:
        raise ValueError("the managers do not say which address this node has for others")
    port = encrypted[0].network.tunnel_port or DEFAULT_PORT
    found: dict[bytes, Peer] = {}
    taken: set[Address] = set(addresses)
    for state in encrypted:
        for _, told in sorted(state.peers.items()):
            address = parsed(told.address)
            if address is None or len(told.tunnel_key) != KEY_BYTES:
                continue
            before = found.get(told.tunnel_key)
            if before is not None and before.address == address:
                found[told.tunnel_key] = replace(before, shared=before.shared or told.preshared_key)
            elif before is None and address not in taken:
                taken.add(address)
                found[told.tunnel_key] = Peer(address, port, told.preshared_key)
    return Tunnel(tuple(sorted(addresses, key=lambda one: (one.version, one.packed))), port, found)


def differences(there: Device, wanted: Tunnel, now_s: float) -> tuple[PeerChange, ...]:
    """Return what makes the nodes that a device knows the wanted ones; those to remove first.

    A node whose shared key is not known (after a restart, before a manager spoke) stays as it is, and is not
    made: without that key nobody could tell it from a node of yesterday.
    """
    gone = [PeerChange(key, None) for key in there.peers if key not in wanted.peers]
    changed = [
        change
        for key, peer in wanted.peers.items()
        if (change := _change(key, there.peers.get(key), peer, now_s)) is not None
    ]
    return (*gone, *changed)


def after(there: Device, changes: Iterable[PeerChange]) -> Device:
    """Return what a device knows once the changes are made."""
    peers = dict(there.peers)
    for change in changes:
        if change.peer is None:
            peers.pop(change.key, None)
            continue
        known, peer = peers.get(change.key, KnownPeer()), change.peer
        peers[change.key] = replace(
            known,
            endpoint=(peer.address, peer.port) if change.redirect else known.endpoint,
            shared=peer.shared or known.shared,
            allowed=frozenset({peer.address}),
            keepalive_s=KEEPALIVE_S,
        )
    return replace(there, peers=peers)


def mtu_of(path_mtu: int, family: int) -> int:
    """Return the size of packets in the tunnel, for a path between nodes that takes `path_mtu` bytes."""
    return max(path_mtu - TUNNEL_OVERHEAD[family], _MTU_MIN)


def counters(device: Device, now_s: float) -> dict[str, float]:
    """Return what there is to say of a tunnel in numbers, by name."""
    peers = device.peers.values()
    heard = [one.handshake_s for one in peers if one.handshake_s]
    return {
        "peers": len(peers),
        "stale_peers": sum(is_stale(one, now_s) for one in peers),
        "received_bytes": sum(one.received_bytes for one in peers),
        "sent_bytes": sum(one.sent_bytes for one in peers),
        "last_handshake_seconds": max(heard, default=0.0),
    }


def is_stale(peer: KnownPeer, now_s: float) -> bool:
    """Whether there is no conversation with a node, although keepalives would have begun one."""
    return now_s - peer.handshake_s > SESSION_S


def _change(key: bytes, known: KnownPeer | None, peer: Peer, now_s: float) -> PeerChange | None:
    if known is None:
        return PeerChange(key, peer) if peer.shared else None
    moved = known.allowed != {peer.address}
    lost = known.endpoint != (peer.address, peer.port) and (moved or is_stale(known, now_s))
    if lost or moved or known.keepalive_s != KEEPALIVE_S or peer.shared not in (b"", known.shared):
        return PeerChange(key, peer, redirect=lost or moved)
    return None
