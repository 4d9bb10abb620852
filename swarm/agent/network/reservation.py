"""Ports of the node that are held for tasks, so that no other program takes them meanwhile.

Where the kernel redirects published ports, traffic never reaches these sockets: they are there so that the
port is refused to others, and so that `ss` shows who has it. A kernel without sockets of SCTP has no
program that could take such a port.
"""

import contextlib
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from swarm.agent.network import links
from swarm.agent.network.base import PublishedPort
from swarm.agent.network.netlink import Netlink
from swarm.agent.network.ports import Key, candidates, key, label, refuse_conflicts
from swarm.errors import TaskRejected
from swarm.model.host_addresses import block_of, holds

_SCTP = 132
_KINDS = {
    "tcp": (socket.SOCK_STREAM, 0),
    "udp": (socket.SOCK_DGRAM, 0),
    "sctp": (socket.SOCK_STREAM, _SCTP),
}
_ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104 a published port is the node's

HolderOf = Callable[[Key], str]


@dataclass(frozen=True, slots=True)
class Held:
    """A port of the node and the sockets that hold it, one for each of its addresses."""

    port: PublishedPort
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Let go of it."""
        for one in self.sockets:
            one.close()


def hold_ports(
    hosts: Sequence[str],
    wanted: Sequence[PublishedPort],
    taken: Mapping[Key, str],
    start: int,
    holder_of: HolderOf,
) -> Sequence[Held]:
    """Hold the ports at addresses `hosts`, or those they say, all or none, each 0 replaced by a free port.

    `taken` names the tasks that have ports; `start` is where to begin to look for a free one.
    Raises TaskRejected for a port that a task or another program has, or an address that is not the node's.
    """
    refuse_conflicts(wanted, taken)
    with contextlib.ExitStack() as undo:
        held: list[Held] = []
        for port in wanted:
            held.append(_hold(_places(hosts, port), port, taken, start, holder_of))
            undo.callback(held[-1].close)
        undo.pop_all()
        return held


class PortReservations:
    """The held ports of one node, by task; they live as long as the agent does."""

    def __init__(self, hosts: Sequence[str], holder_of: HolderOf) -> None:
        self._hosts = hosts
        self._holder_of = holder_of
        self._held: dict[str, Sequence[Held]] = {}

    def hold(
        self, task_id: str, wanted: Sequence[PublishedPort], taken: Mapping[Key, str], start: int
    ) -> Sequence[PublishedPort]:
        """Hold ports for a task, in place of what it held, and return them; see `hold_ports`."""
        self.release(task_id)
        self._held[task_id] = hold_ports(self._hosts, wanted, taken, start, self._holder_of)
        return [held.port for held in self._held[task_id]]

    def release(self, task_id: str) -> None:
        """Let go of the ports of a task."""
        for held in self._held.pop(task_id, ()):
            held.close()

    def release_all(self) -> None:
        """Let go of every port."""
        for task_id in list(self._held):
            self.release(task_id)


def _places(hosts: Sequence[str], port: PublishedPort) -> Sequence[str]:
    """Return the addresses of the node at which the port is to be held."""
    if not port.host_ip:
        return hosts
    block = block_of(port.host_ip)
    if not block.prefixlen:
        return [_ANY[block.version]]
    with Netlink() as node:
        found = [str(one) for one in links.list_own_addresses(node) if holds(port.host_ip, one)]
    # All of 127.0.0.0/8 is the node's.
    if not found and block.prefixlen == block.max_prefixlen and block.is_loopback:
        found = [str(block.network_address)]
    if not found:
        raise TaskRejected(
            f"no address of this node is {'in ' if block.num_addresses > 1 else ''}{port.host_ip}, at which "
            f"port {port.published_port or port.target_port}/{port.protocol} is to be published"
        )
    return found


def _hold(
    hosts: Sequence[str], port: PublishedPort, taken: Mapping[Key, str], start: int, holder_of: HolderOf
) -> Held:
    if port.published_port:
        holders = _bound(hosts, port.protocol, port.published_port)
        if holders is None:
            who = holder_of(key(port))
            raise TaskRejected(
                f"port {label(key(port))} is in use on this node" + (f" by {who}" if who else "")
            )
        return Held(port, holders)
    for candidate in candidates(port.protocol, taken, start):
        holders = _bound(hosts, port.protocol, candidate)
        if holders is not None:
            return Held(replace(port, published_port=candidate), holders)
    raise TaskRejected(f"no {port.protocol} port is free on this node to publish {port.target_port}")


def _bound(hosts: Sequence[str], protocol: str, number: int) -> tuple[socket.socket, ...] | None:
    with contextlib.ExitStack() as undo:
        found: list[socket.socket] = []
        for host in hosts:
            try:
                holder = _socket(ip_address(host).version, protocol)
            except OSError as error:
                if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT):
                    continue
                raise
            undo.callback(holder.close)
            try:
                _take(holder, host, protocol, number)
            except OSError:
                return None
            found.append(holder)
        undo.pop_all()
        return tuple(found)


def _socket(version: int, protocol: str) -> socket.socket:
    kind, number = _KINDS[protocol]
    holder = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, kind, number)
    if version == 6:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return holder


def _take(holder: socket.socket, host: str, protocol: str, number: int) -> None:
    if protocol == "udp":
        holder.bind((host, number))
        return
    # Old connections that wait for their end must not block the port, a listener must.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, number))
    holder.listen(0)
    if host == _ANY[6]:
        # Nobody leads ::1 to the task: programs of the node are to hear so at once and take 127.0.0.1.
        holder.shutdown(socket.SHUT_RDWR)
