"""Who carries the tunnel of a node: the kernel, or wireguard-go where the kernel cannot.

Both make a link in the namespace of the tunnel whose encrypted packets enter and leave through the
namespace of the node. Everything here blocks, and acts for the namespace of the calling thread.
"""

import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from swarm.agent.network import links, namespaces
from swarm.agent.network.netlink import Netlink, NetlinkError
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.tunnel import uapi, wireguard
from swarm.agent.tunnel.move import move_link
from swarm.agent.tunnel.plan import Device, PeerChange
from swarm.runtime.processes import Process, carriers, kill_and_wait

log = structlog.get_logger(__name__)

PROGRAM = "wireguard-go"
TUN = Path("/dev/net/tun")
MARK = "SWARM_TUNNEL"  # in its environment: by this it is found among all processes
_SOCKETS = Path("/var/run/wireguard")
_START_S, _REPLY_S, _KILL_S, _PAUSE_S = 20.0, 10.0, 5.0, 0.02
_ANY_NUMBER = 0  # older kernels want it to be free here, too
_TRIAL = 998  # below the numbers that the router gives its own links


class Carrier(Protocol):
    """Makes and changes one tunnel; raises OSError with what went wrong."""

    kind: str  # for people

    def find(self) -> bool:
        """Whether the tunnel is there, and whole."""

    def make(self, mtu: int) -> None:
        """Make the tunnel, without keys and switched off, where `find` did not find it."""

    def read(self) -> Device:
        """Return what the tunnel is now."""

    def set_own(self, private: bytes, port: int) -> None:
        """Give it this node's key and UDP port."""

    def set_peers(self, changes: Sequence[PeerChange]) -> None:
        """Change whom it knows."""

    def remove(self) -> None:
        """Remove it, whatever of it there is."""

    def process(self) -> Process | None:
        """Return the process that carries the tunnel, for the caller to close; None: there is none."""


class KernelCarrier:
    """WireGuard of the kernel."""

    kind = "WireGuard of the kernel"

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name

    def find(self) -> bool:
        """See Carrier."""
        if _link(self._path, self._name) is None:
            return False
        try:
            self.read()
        except OSError:  # it is somebody else's
            return False
        return True

    def make(self, mtu: int) -> None:
        """See Carrier."""
        with Netlink() as node, self._path.open("rb") as namespace:
            node.run(wireguard.link(self._name, _ANY_NUMBER, mtu, namespace.fileno()))

    def read(self) -> Device:
        """See Carrier."""
        with self._generic() as generic:
            return wireguard.read(generic, wireguard.family_of(generic), self._name)

    def set_own(self, private: bytes, port: int) -> None:
        """See Carrier."""
        with self._generic() as generic:
            generic.run(wireguard.set_own(wireguard.family_of(generic), self._name, private, port))

    def set_peers(self, changes: Sequence[PeerChange]) -> None:
        """See Carrier."""
        with self._generic() as generic:
            for request in wireguard.set_peers(wireguard.family_of(generic), self._name, changes):
                generic.run(request)

    def remove(self) -> None:
        """See Carrier."""
        with suppress(OSError), netlink_in(self._path) as inside:
            found = links.find_link(inside, self._name)
            if found is not None:
                inside.run(links.delete_link(found.index), ignore={errno.ENODEV})

    def process(self) -> Process | None:
        """See Carrier."""
        return None

    def _generic(self) -> Netlink:
        with namespaces.entered(self._path):
            return Netlink(wireguard.GENERIC)


class ProcessCarrier:
    """wireguard-go: a process in the namespace of the node, which outlives the agent."""

    kind = PROGRAM

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._socket = _SOCKETS / f"{name}.sock"
        self._log = path.with_name("tunnel.log")

    def find(self) -> bool:
        """See Carrier."""
        return _link(self._path, self._name) is not None and self._answers()

    def make(self, mtu: int) -> None:
        """See Carrier."""
        self._kill()
        with Netlink() as node:
            stale = links.find_link(node, self._name)
            if stale is not None:
                node.run(links.delete_link(stale.index), ignore={errno.ENODEV})
        self._start()
        deadline = time.monotonic() + _START_S
        # It looks for its link in the namespace of the node: there the link has to stay until it answers.
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, f"{PROGRAM} started and does not answer")
            time.sleep(_PAUSE_S)
        move_link(self._name, self._path, mtu)

    def read(self) -> Device:
        """See Carrier."""
        try:
            return uapi.parse(self._ask(uapi.GET))
        except ValueError as error:
            raise OSError(errno.EIO, str(error)) from error

    def set_own(self, private: bytes, port: int) -> None:
        """See Carrier."""
        self._request(uapi.set_own(private, port))

    def set_peers(self, changes: Sequence[PeerChange]) -> None:
        """See Carrier."""
        self._request(uapi.set_peers(changes))

    def remove(self) -> None:
        """See Carrier."""
        self._kill()
        with suppress(OSError):
            _SOCKETS.rmdir()  # when nobody else has one there

    def process(self) -> Process | None:
        """See Carrier."""
        found = carriers(f"{MARK}={self._mark}")
        for other in found[1:]:
            other.close()
        return found[0] if found else None

    def _start(self) -> None:
        """Start the process; what it says goes to a file, for it never lets go of where it says it."""
        with self._log.open("wb") as log:
            try:
                done = subprocess.run(
                    [PROGRAM, self._name],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=_START_S,
                    check=False,
                    env={**os.environ, MARK: self._mark, "LOG_LEVEL": "error"},
                )
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(errno.ETIMEDOUT, f"{PROGRAM} does not start in time") from error
        if done.returncode != 0:
            reason = _reason(self._log.read_text(errors="replace"))
            raise OSError(errno.EIO, f"{PROGRAM} does not start: {reason}")

    @property
    def _mark(self) -> str:
        return str(self._path)

    def _kill(self) -> None:
        for process in carriers(f"{MARK}={self._mark}"):
            kill_and_wait(process, _KILL_S)
            process.close()
        self._socket.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)

    def _answers(self) -> bool:
        try:
            self.read()
        except OSError:
            return False
        return True

    def _request(self, message: bytes) -> None:
        number = uapi.refusal(self._ask(message))
        if number:
            raise OSError(abs(number), f"{PROGRAM} refuses: {os.strerror(abs(number))}")

    def _ask(self, message: bytes) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_REPLY_S)
            connection.connect(str(self._socket))
            connection.sendall(message)
            reply = b""
            while not reply.endswith(b"\n\n"):
                piece = connection.recv(1 << 16)
                if not piece:
                    raise ConnectionResetError(errno.ECONNRESET, f"{PROGRAM} went away")
                reply += piece
        return reply.decode()


def choose(node: Path, path: Path, name: str) -> tuple[Carrier | None, str]:
    """Return who can carry a tunnel at `path` here, and in words who it is, or why nobody can.

    What the kernel can do is found out by asking it to, in the namespace `node`; nothing is left there.
    """
    if _kernel_can(node):
        return KernelCarrier(path, name), KernelCarrier.kind
    if shutil.which(PROGRAM) is None:
        return None, f"the kernel has no WireGuard, and {PROGRAM} is not installed (apt install {PROGRAM})"
    try:
        with TUN.open("rb"):
            pass
    except OSError as error:
        return None, f"the kernel has no WireGuard, and {PROGRAM} cannot open {TUN}: {error.strerror}"
    return ProcessCarrier(path, name), PROGRAM


def _kernel_can(node: Path) -> bool:
    with netlink_in(node) as inside, node.open("rb") as namespace:
        inside.run(links.delete_link(_TRIAL), ignore={errno.ENODEV})  # of an agent that was killed over it
        try:
            inside.run(wireguard.link("probe", _TRIAL, 1420, namespace.fileno()))
        except NetlinkError:
            return False
        inside.run(links.delete_link(_TRIAL), ignore={errno.ENODEV})
    return True


def _link(path: Path, name: str) -> links.Link | None:
    if not namespaces.is_namespace(path):
        return None
    with netlink_in(path) as inside:
        return links.find_link(inside, name)


def _reason(said: str) -> str:
    """Return the last line that says something: advice in a box comes before it."""
    lines = [line.strip(" │") for line in said.splitlines()]
    return next((line for line in reversed(lines) if any(map(str.isalpha, line))), "it does not say why")
