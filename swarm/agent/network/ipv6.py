"""IPv6 in the node's own network: which addresses, and how the node is made to forward them.

Tasks have an address of a private /64 that is this node's own, which holds their IPv4 address: nothing more
has to be remembered. What leaves the node is translated, as with IPv4.
"""

import hashlib
import socket
from ipaddress import IPv6Network
from pathlib import Path

from swarm.agent.network.netlink import Netlink
from swarm.agent.network.plumbing import underlay_mtu

MTU_MIN = 1280  # an interface that takes less has no IPv6
_SYSCTL = Path("/proc/sys/net/ipv6/conf")
_MACHINE = Path("/etc/machine-id")


def prefix_for(run_dir: Path) -> IPv6Network | None:
    """Return the /64 of this node's tasks; None where the node has no IPv6, or too small packets for it."""
    try:
        if (_SYSCTL / "all/disable_ipv6").read_text().strip() != "0":
            return None
    except OSError:  # the kernel knows nothing of it
        return None
    with Netlink() as node:
        if underlay_mtu(node) < MTU_MIN:
            return None
    return private_prefix(f"{_machine()} {run_dir}")


def private_prefix(seed: str) -> IPv6Network:
    """Return a unique local /64 that is as good as nobody else's (RFC 4193)."""
    digest = hashlib.sha256(f"node network {seed}".encode()).digest()
    return IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64))


def _machine() -> str:
    try:
        return _MACHINE.read_text().strip()
    except OSError:
        return socket.gethostname()
