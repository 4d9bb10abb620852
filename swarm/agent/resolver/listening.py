"""The sockets on which tasks ask: opened where tasks reach them, held by agent and name server together."""

import fcntl
import os
import socket
from pathlib import Path
from typing import TypeAlias

from swarm.agent.network import namespaces

Sockets: TypeAlias = tuple[socket.socket, socket.socket]  # UDP, TCP

_NAMESPACE_OF_SOCKET = 0x894C  # SIOCGSKNS
_FORCED_RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE
# Questions wait here while one name server follows another: some thousands, each counted as 768 bytes.
_WAITING_BYTES = 4 << 20
_BACKLOG = 256


def open_sockets(namespace: Path, address: str, port: int) -> Sockets:
    """Listen at an address of that network namespace; raises OSError, e.g. when it is taken."""
    with namespaces.entered(namespace):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        udp.setsockopt(socket.SOL_SOCKET, _FORCED_RECEIVE_BUFFER, _WAITING_BYTES)
        udp.bind((address, port))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, udp.getsockname()[1]))
        tcp.listen(_BACKLOG)
    except OSError:
        close_sockets((udp, tcp))
        raise
    return udp, tcp


def are_in(sockets: Sockets, namespace: Path) -> bool:
    """Return whether the sockets are of this network namespace, not of one that was there before it."""
    return namespace_of(sockets[0]) == namespaces.inode(namespace)


def namespace_of(one: socket.socket) -> int:
    """Return the number of the network namespace that a socket is of; 0 when the kernel does not say."""
    try:
        there = fcntl.ioctl(one, _NAMESPACE_OF_SOCKET)
    except OSError:
        return 0
    try:
        return os.fstat(there).st_ino
    finally:
        os.close(there)


def close_sockets(sockets: Sockets) -> None:
    """Let go of them; whoever else holds them goes on."""
    for one in sockets:
        one.close()
