"""The sockets on which the HTTP proxy of a node accepts: the agent has them beside it.

When the proxy dies, clients wait in the sockets for the next one; when the agent ends, the proxy goes on,
and the next agent takes copies of them out of it.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from swarm.agent.network import namespaces
from swarm.agent.resolver.listening import namespace_of
from swarm.errors import Unavailable
from swarm.runtime.processes import GONE

# Named as the configuration asks for them: SWARM_HTTP4, SWARM_HTTPS4, SWARM_HTTP6, SWARM_HTTPS6.
Sockets: TypeAlias = Mapping[str, socket.socket]

_BACKLOG = 4096
_PIDFD_GETFD = 438  # the number of the system call is the same on all architectures
_FAMILIES = ((4, socket.AF_INET, "0.0.0.0"), (6, socket.AF_INET6, "::"))  # noqa: S104 -- for everybody

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a proxy listens."""

    http: int
    https: int

    def named(self) -> Iterable[tuple[str, int]]:
        """Return the ports as sockets are named, without the family."""
        return (("SWARM_HTTP", self.http), ("SWARM_HTTPS", self.https))


def open_sockets(ports: Ports) -> Sockets:
    """Listen in the node's own network; raises Unavailable when a port is taken, with which.

    Without IPv6 on this machine there are sockets of IPv4 only.
    """
    found: dict[str, socket.socket] = {}
    for name, port in ports.named():
        for version, family, anywhere in _FAMILIES:
            try:
                found[f"{name}{version}"] = _listen(family, anywhere, port)
            except OSError as error:
                if version != 4 and error.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                    continue
                close_sockets(found)
                raise Unavailable(
                    f"it cannot listen at port {port} of this node: {error.strerror}; end what does, or "
                    "choose other ports (swarmctl ingress enable --http-port … --https-port …)"
                ) from error
    return found


def _listen(family: int, address: str, port: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port))
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def sockets_of(pid: int, ports: Ports) -> Sockets:
    """Return copies of those that a proxy listens with at `ports`, where they are of this node's network.

    Empty when it does not listen at both of them.
    """
    found: dict[str, socket.socket] = {}
    names = {port: name for name, port in ports.named()}
    here = namespaces.inode(namespaces.OWN)
    for one in _copies(pid):
        if _is_listening(one) and namespace_of(one) == here:
            name = names.get(one.getsockname()[1])
            key = f"{name}{4 if one.family == socket.AF_INET else 6}"
            if name is not None and key not in found:
                found[key] = one
                continue
        one.close()
    if {"SWARM_HTTP4", "SWARM_HTTPS4"} <= found.keys():
        return found
    close_sockets(found)
    return {}


def _is_listening(one: socket.socket) -> bool:
    return one.family in {socket.AF_INET, socket.AF_INET6} and bool(
        one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )


def _copies(pid: int) -> Iterable[socket.socket]:
    """Yield copies of all sockets of a process."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno in GONE:
            return
        raise
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if str(entry.readlink()).startswith("socket:"):
                fd = _libc.syscall(_PIDFD_GETFD, pidfd, int(entry.name), 0)
                if fd >= 0:
                    os.set_inheritable(fd, False)
                    yield socket.socket(fileno=fd)
    except FileNotFoundError:
        return
    finally:
        os.close(pidfd)


def close_sockets(sockets: Sockets) -> None:
    """Let go of them; whoever else holds them goes on."""
    for one in sockets.values():
        one.close()
