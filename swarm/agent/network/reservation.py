"""Ports of the node that are held for tasks, so that no other program takes them meanwhile.

Where the kernel redirects published ports, traffic never reaches these sockets: they are there so that the
port is refused to others, and so that `ss` shows who has it.
"""

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from swarm.agent.network.base import PublishedPort
from swarm.agent.network.ports import Key, candidates, key, label, refuse_conflicts
from swarm.errors import TaskRejected

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

HolderOf = Callable[[Key], str]


@dataclass(frozen=True, slots=True)
class Held:
    """A port of the node and the socket that holds it."""

    port: PublishedPort
    socket: socket.socket


def hold_ports(
    host: str,
    wanted: Sequence[PublishedPort],
    taken: Mapping[Key, str],
    start: int,
    holder_of: HolderOf,
) -> Sequence[Held]:
    """Hold the ports at address `host`, all or none, each 0 replaced by a free port.

    `taken` names the tasks that have ports; `start` is where to begin to look for a free one.
    Raises TaskRejected for a port that a task or another program has.
    """
    refuse_conflicts(wanted, taken)
    with contextlib.ExitStack() as undo:
        held: list[Held] = []
        for port in wanted:
            held.append(_hold(host, port, taken, start, holder_of))
            undo.callback(held[-1].socket.close)
        undo.pop_all()
        return held


class PortReservations:
    """The held ports of one node, by task; they live as long as the agent does."""

    def __init__(self, host: str, holder_of: HolderOf) -> None:
        self._host = host
        self._holder_of = holder_of
        self._held: dict[str, Sequence[Held]] = {}

    def hold(
        self, task_id: str, wanted: Sequence[PublishedPort], taken: Mapping[Key, str], start: int
    ) -> Sequence[PublishedPort]:
        """Hold ports for a task, in place of what it held, and return them; see `hold_ports`."""
        self.release(task_id)
        self._held[task_id] = hold_ports(self._host, wanted, taken, start, self._holder_of)
        return [held.port for held in self._held[task_id]]

    def release(self, task_id: str) -> None:
        """Let go of the ports of a task."""
        for held in self._held.pop(task_id, ()):
            held.socket.close()

    def release_all(self) -> None:
        """Let go of every port."""
        for task_id in list(self._held):
            self.release(task_id)


def _hold(host: str, port: PublishedPort, taken: Mapping[Key, str], start: int, holder_of: HolderOf) -> Held:
    if port.published_port:
        holder = _bound(host, key(port))
        if holder is None:
            who = holder_of(key(port))
            raise TaskRejected(
                f"port {label(key(port))} is in use on this node" + (f" by {who}" if who else "")
            )
        return Held(port, holder)
    for candidate in candidates(port.protocol, taken, start):
        holder = _bound(host, (port.protocol, candidate))
        if holder is not None:
            return Held(PublishedPort(port.protocol, candidate, port.target_port), holder)
    raise TaskRejected(f"no {port.protocol} port is free on this node to publish {port.target_port}")


def _bound(host: str, port: Key) -> socket.socket | None:
    protocol, number = port
    if protocol not in _KINDS:
        raise TaskRejected(f"cannot publish a port of protocol {protocol}: only tcp and udp")
    holder = socket.socket(socket.AF_INET, _KINDS[protocol])
    try:
        if protocol == "tcp":
            # Old connections that wait for their end must not block the port, a listener must.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, number))
        if protocol == "tcp":
            holder.listen(0)
    except OSError:
        holder.close()
        return None
    return holder
