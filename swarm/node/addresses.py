"""At which address do other nodes reach this one, and where does it listen?"""

import array
import asyncio
import fcntl
import socket
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from swarm.config import DEFAULT_PORT, split_address
from swarm.errors import InvalidArgument

_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40
_INTERFACES_MAX = 4096  # addresses; a node with more names the one it wants

_ANY = "0.0.0.0"  # noqa: S104 - compared with


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An IPv4 address of this machine and the interface it is on."""

    interface: str
    address: str


def interface_addresses() -> list[InterfaceAddress]:
    """Return the IPv4 addresses of this machine, loopback included."""
    buffer = array.array("B", bytes(_INTERFACES_MAX * _IFREQ_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        size = struct.unpack("iL", fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, request))[0]
    found = []
    for start in range(0, size, _IFREQ_BYTES):
        name = bytes(buffer[start : start + 16]).split(b"\0", 1)[0].decode()
        address = socket.inet_ntoa(bytes(buffer[start + 20 : start + 24]))
        found.append(InterfaceAddress(name, address))
    return found


def choose_listen(given: str, default: str) -> str:
    """Return the listen address HOST:PORT; a HOST alone gets the default port."""
    return _with_port(given, DEFAULT_PORT) if given else default


def interface_names() -> frozenset[str]:
    """Return the names of this machine's interfaces, also of those without an address."""
    return frozenset(name for _, name in socket.if_nameindex())


def choose_advertise(
    given: str, listen_addr: str, addresses: Sequence[InterfaceAddress], interfaces: Collection[str] = ()
) -> str:
    """Return HOST:PORT at which others reach this node.

    `given` is HOST, HOST:PORT, an interface or INTERFACE:PORT; without a port it is that of `listen_addr`.
    Without anything given, the address that is listened on counts, else the only one of the machine.
    Raises InvalidArgument, listing the addresses when there are several, and for one of the `interfaces`
    that has none.
    """
    listen_host, port = split_address(listen_addr)
    if given:
        return _given(given, port, addresses, interfaces)
    if listen_host != _ANY:
        return f"{listen_host}:{port}"
    candidates = [item for item in addresses if not _is_local(item.address)]
    distinct = sorted({item.address for item in candidates})
    if len(distinct) == 1:
        return f"{distinct[0]}:{port}"
    if not distinct:
        raise InvalidArgument(
            "this machine has no address that others could reach: give one with --advertise-addr"
        )
    listed = ", ".join(f"{item.address} on {item.interface}" for item in candidates)
    raise InvalidArgument(f"this machine has several addresses ({listed}): choose one with --advertise-addr")


async def local_address_towards(remote: str, listen_addr: str) -> str:
    """Return this machine's address on the way to `remote` (HOST[:PORT]); empty if it listens on one only.

    Nothing is sent: the system's routing table answers.
    """
    if split_address(listen_addr)[0] != _ANY:
        return ""
    host, port = split_address(choose_listen(remote, ""))
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host, port), family=socket.AF_INET
        )
    except OSError:
        return ""  # not reachable or not a name; the attempt to join says so better
    try:
        return str(transport.get_extra_info("sockname")[0])
    finally:
        transport.close()


def _given(given: str, port: int, addresses: Sequence[InterfaceAddress], interfaces: Collection[str]) -> str:
    host, _, given_port = given.partition(":")
    on_interface = sorted({item.address for item in addresses if item.interface == host})
    if len(on_interface) > 1:
        raise InvalidArgument(
            f"interface {host} has several addresses ({', '.join(on_interface)}): choose one of them"
        )
    if host in interfaces and not on_interface:
        raise InvalidArgument(f"interface {host} has no IPv4 address now")
    if on_interface:
        host = on_interface[0]
    result = _with_port(f"{host}:{given_port}" if given_port else host, port)
    if split_address(result)[0] == _ANY:
        raise InvalidArgument("0.0.0.0 is not an address that others could reach")
    return result


def _with_port(text: str, port: int) -> str:
    result = text if ":" in text else f"{text}:{port}"
    split_address(result)
    return result


def _is_local(address: str) -> bool:
    parsed = IPv4Address(address)
    return parsed.is_loopback or parsed.is_link_local
