"""The tunnel of a node: a namespace in which other nodes are reached through encryption, or not at all.

    router of an encrypted network ── VXLAN ── namespace of the tunnel ══ the node's namespace ══ other nodes

There is no other way out of that namespace. So nothing of an encrypted network can leave in clear: not
before there are keys, not while they change, and not when whoever encrypts has died. Its private key is made
by the agent and is nowhere but in memory: the agent's, and that of whoever carries the tunnel, from where
the next agent has it again. For the one thread that works on the network of the node.
"""

import errno
import socket
from collections.abc import Collection, Mapping
from ipaddress import ip_network
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from swarm.agent.network import links, namespaces, vxlan
from swarm.agent.network.netlink import Netlink
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.overlay.kernel import path_mtu
from swarm.agent.overlay.state import NetworkState
from swarm.agent.tunnel.carrier import Carrier, KernelCarrier, ProcessCarrier, choose
from swarm.agent.tunnel.plan import Device, Tunnel, counters, differences, mtu_of, tunnel_of
from swarm.clock import SECOND, Clock, SystemClock
from swarm.errors import Unavailable
from swarm.runtime.processes import Process

log = structlog.get_logger(__name__)

_LO = 1
_SYSCTL = Path("/proc/sys/net")
_EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


class NodeTunnel:
    """Carries the encrypted networks of this node; there only while there are some."""

    def __init__(self, path: Path, name: str, clock: Clock | None = None) -> None:
        """`path` is the namespace, `name` that of the link in it: unique on this machine."""
        self._clock = clock or SystemClock()
        self.path, self._name = path, name
        self.way = "not looked at yet"  # who carries it, or why nobody can, for people
        self._carrier: Carrier | None = None
        self._private = b""
        self._states: dict[str, NetworkState] = {}  # of encrypted networks, by id
        self._wanted: Tunnel | None = None  # as it was brought about last; None: look at everything

    def setup(self, node: Path) -> None:
        """Find out what is possible, by trying in the namespace `node`, and take over what is there."""
        self._carrier, self.way = choose(node, self.path, self._name)
        adopted = b""
        if self._carrier is not None and self._carrier.find():
            adopted = self._carrier.read().private
        else:
            self._remove_any()  # perhaps made in a way that is not that of today
        self._private = adopted or _new_private_key()
        log.info("tunnel.possible", way=self.way, adopted=bool(adopted))

    @property
    def key(self) -> bytes:
        """Return the public key by which other nodes know this one; empty where nobody can encrypt."""
        return public_key(self._private) if self._carrier is not None else b""

    @property
    def states(self) -> Mapping[str, NetworkState]:
        """Return the encrypted networks of this node."""
        return self._states

    def hear(self, states: Mapping[str, NetworkState], gone: Collection[str]) -> None:
        """Take in what is known of networks now, encrypted or not."""
        self._states.update(states)
        self._states = {
            key: state for key, state in self._states.items() if state.network.encrypted and key not in gone
        }

    def follow(self, *, check: bool) -> bool:
        """Be what the networks need, if there are any; with `check` the kernel is looked at.

        Returns whether the namespace is a new one: links into the one before are dead. Raises OSError,
        ValueError and Unavailable with what cannot be; the next call looks at everything.
        """
        wanted = tunnel_of(self._states.values())
        if wanted is None or (wanted == self._wanted and not check):
            return False
        carrier = self._carrier
        if carrier is None:
            raise Unavailable(f"this node cannot encrypt: {self.way}")
        before, self._wanted = self._wanted, None
        made = False
        if check or before is None or (before.addresses, before.port) != (wanted.addresses, wanted.port):
            made = self._ensure(carrier, wanted)
        changes = differences(carrier.read(), wanted, self._now_s())
        if changes:
            carrier.set_peers(changes)
            gone = sum(change.peer is None for change in changes)
            log.info("tunnel.peers_changed", changed=len(changes) - gone, removed=gone)
        self._wanted = wanted
        return made

    def mend(self) -> bool:
        """Make again what has died; see `follow`."""
        self._wanted = None
        return self.follow(check=True)

    def remove_unused(self) -> None:
        """Leave nothing of the tunnel when no network needs it."""
        if not self._states and self.path.exists():
            self.teardown()

    def teardown(self) -> None:
        """Leave nothing of the tunnel."""
        self._wanted = None
        self._states = {}
        self._remove_any()
        namespaces.remove(self.path)

    def device(self) -> Device | None:
        """Return what the tunnel is now; None while there is none."""
        if self._carrier is None or not self._carrier.find():
            return None
        return self._carrier.read()

    def counters(self) -> dict[str, float]:
        """Return what there is to say of the tunnel in numbers; nothing while there is none."""
        device = self.device()
        return counters(device, self._now_s()) if device is not None else {}

    def process(self) -> Process | None:
        """Return the process that carries the tunnel, for the caller to close; None: there is none."""
        return self._carrier.process() if self._carrier and self._states else None

    def _remove_any(self) -> None:
        for carrier in (KernelCarrier(self.path, self._name), ProcessCarrier(self.path, self._name)):
            carrier.remove()

    def _now_s(self) -> float:
        return self._clock.now_ns() / SECOND

    def _ensure(self, carrier: Carrier, wanted: Tunnel) -> bool:
        made = namespaces.create(self.path)
        with namespaces.entered(self.path):
            _set_sysctls()
        with Netlink() as node:
            outside = path_mtu(node, wanted.towards)
        towards = wanted.towards or wanted.addresses[0]
        mtu = mtu_of(outside, towards.version)
        if not carrier.find():
            carrier.remove()
            _refuse_taken(wanted.port)
            carrier.make(mtu)
            log.info("tunnel.made", way=self.way, port=wanted.port, mtu=mtu)
        there = carrier.read()
        if (there.private, there.port) != (self._private, wanted.port):
            carrier.set_own(self._private, wanted.port)
        self._connect(wanted, mtu)
        return made

    def _connect(self, wanted: Tunnel, mtu: int) -> None:
        """Have everything in the namespace go through the tunnel."""
        with netlink_in(self.path) as inside:
            link = links.find_link(inside, self._name)
            if link is None:
                raise FileNotFoundError(errno.ENOENT, "the tunnel is gone again")
            if link.mtu != mtu:
                inside.run(vxlan.set_mtu(link.index, mtu))
            inside.run(links.set_up(_LO), links.set_up(link.index))
            stale = set(links.list_addresses(inside, link.index)) - set(wanted.addresses)
            for address in stale:
                inside.run(links.delete_address(link.index, address), ignore={errno.EADDRNOTAVAIL})
            for address in wanted.addresses:
                inside.run(
                    vxlan.address6(link.index, address)
                    if address.version == 6
                    else links.address(link.index, address, 32),
                    links.route(_EVERYWHERE[address.version], link.index),
                )


def public_key(private: bytes) -> bytes:
    """Return the public half of a private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _new_private_key() -> bytes:
    """Return a key in the form in which it is read back."""
    key = bytearray(X25519PrivateKey.generate().private_bytes_raw())
    key[0] &= 248
    key[31] = (key[31] & 127) | 64
    return bytes(key)


def _set_sysctls() -> None:
    """Pass nothing on, and take what comes whatever way an answer would go."""
    for name in ("all", "default"):
        (_SYSCTL / "ipv4/conf" / name / "rp_filter").write_text("0")
        ipv6 = _SYSCTL / "ipv6/conf" / name
        if ipv6.is_dir():
            (ipv6 / "disable_ipv6").write_text("0")
            (ipv6 / "forwarding").write_text("0")
    (_SYSCTL / "ipv4/ip_forward").write_text("0")


def _refuse_taken(port: int) -> None:
    """Raise OSError when another program has the UDP port: wireguard-go would keep that to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"UDP port {port} of this node is another program's: end that, or make the cluster with "
                "another --encrypted-data-path-port",
            ) from error
