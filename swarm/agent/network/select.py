"""Which network does this node get?"""

import os
import socket
from ipaddress import IPv4Address, IPv4Network

from swarm.agent.network import nft
from swarm.agent.network.base import NodeNetwork
from swarm.agent.network.loopback import LoopbackNetwork
from swarm.agent.network.router import RouterNetwork
from swarm.config import Settings
from swarm.errors import FailedPrecondition, InvalidArgument

_ANY = "0.0.0.0"  # noqa: S104 compared with, not bound


def open_network(settings: Settings) -> NodeNetwork:
    """Return the network for this node: namespaces for root, loopback addresses for everybody else.

    Tasks that are plain processes cannot join a namespace and so get loopback addresses too.
    Raises InvalidArgument for a malformed node_subnet, FailedPrecondition when root lacks nftables.
    """
    if not has_namespaces(settings):
        return LoopbackNetwork(settings.run_dir, own_address(settings))
    if not nft.available():
        raise FailedPrecondition("nftables is missing on this node; install the package nftables")
    try:
        subnet = IPv4Network(settings.node_subnet)
    except ValueError as error:
        raise InvalidArgument(f"node_subnet {settings.node_subnet!r} is not a network: {error}") from error
    return RouterNetwork(settings.run_dir, subnet)


def has_namespaces(settings: Settings) -> bool:
    """Return whether tasks of this node have a network of their own."""
    return os.geteuid() == 0 and settings.runtime != "process"


def own_address(settings: Settings) -> IPv4Address:
    """Return where ports are published: at the advertised address, else the listened-to, else 127.0.0.1."""
    for setting in (settings.advertise_addr, settings.listen_addr):
        host = setting.rpartition(":")[0] or setting
        if host and host != _ANY:
            try:
                return IPv4Address(socket.gethostbyname(host))
            except OSError:  # the name of an interface, or of another family
                continue
    return IPv4Address("127.0.0.1")
