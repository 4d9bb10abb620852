"""At which address do other nodes reach this one, and where does it listen?"""

import array
import asyncio
import fcntl
import re
import socket
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from swarm.config import DEFAULT_PORT, split_address
from swarm.errors import InvalidArgument
from swarm.model.networks import is_reachable_address

_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40
_INTERFACES_MAX = 4096  # addresses; a node with more names the one it wants

_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with
_IPV6_FILE = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE = "00"


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of this machine and the interface it is on."""

    interface: str
    address: str


def interface_addresses(ipv6_file: Path = _IPV6_FILE) -> list[InterfaceAddress]:
    """Return the addresses of this machine, loopback included, of IPv6 those that others could reach."""
    buffer = array.array("B", bytes(_INTERFACES_MAX * _IFREQ_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
        size = struct.unpack("iL", fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, request))[0]
    found = []
    for start in range(0, size, _IFREQ_BYTES):
        name = bytes(buffer[start : start + 16]).split(b"\0", 1)[0].decode()
        address = socket.inet_ntoa(bytes(buffer[start + 20 : start + 24]))
        found.append(InterfaceAddress(name, address))
    try:
        lines = [line.split() for line in ipv6_file.read_text().splitlines()]
    except OSError:  # a kernel without IPv6
        lines = []
    for packed, _, _, scope, _, name in lines:
        if scope == _GLOBAL_SCOPE:
            found.append(InterfaceAddress(name, str(IPv6Address(bytes.fromhex(packed)))))
    return found


def choose_listen(given: str, default: str, addresses: Sequence[InterfaceAddress] = ()) -> str:
    """Return the listen address HOST:PORT; a HOST alone gets the default port, an interface is its address.

    Raises InvalidArgument.
    """
    if not given:
        return default
    host, port = _parted(given)
    if host in {item.interface for item in addresses}:
        host = address_of_interface(host, addresses)
    return _checked(_joined(host, port or DEFAULT_PORT))


def interface_names() -> frozenset[str]:
    """Return the names of this machine's interfaces, also of those without an address."""
    return frozenset(name for _, name in socket.if_nameindex())


def choose_advertise(
    given: str, listen_addr: str, addresses: Sequence[InterfaceAddress], interfaces: Collection[str] = ()
) -> str:
    """Return HOST:PORT at which others reach this node.

    `given` is HOST, HOST:PORT, an interface or INTERFACE:PORT; without a port it is that of `listen_addr`.
    Without anything given, the address that is listened on counts, else the only one of the machine; those
    of IPv4 before those of IPv6. Raises InvalidArgument, listing the addresses when there are several, and
    for one of the `interfaces` that has none.
    """
    listen_host, port = split_address(listen_addr)
    if given:
        return _given(given, port, addresses, interfaces)
    if listen_host not in _ANY:
        return _joined(listen_host, port)
    candidates = _best([item for item in addresses if is_reachable_address(item.address)])
    distinct = sorted({item.address for item in candidates})
    if len(distinct) == 1:
        return _joined(distinct[0], port)
    if not distinct:
        raise InvalidArgument(
            "this machine has no address that others could reach: give one with --advertise-addr"
        )
    listed = ", ".join(f"{item.address} on {item.interface}" for item in candidates)
    raise InvalidArgument(f"this machine has several addresses ({listed}): choose one with --advertise-addr")


def address_of_interface(name: str, addresses: Sequence[InterfaceAddress]) -> str:
    """Return the one address of an interface, that of IPv4 if it has both; raises InvalidArgument."""
    own = [item for item in addresses if item.interface == name and is_reachable_address(item.address)]
    found = sorted({item.address for item in _best(own)})
    if not found:
        raise InvalidArgument(f"interface {name} has no address now that others could reach")
    if len(found) > 1:
        raise InvalidArgument(
            f"interface {name} has several addresses ({', '.join(found)}): choose one of them"
        )
    return found[0]


async def local_address_towards(remote: str, listen_addr: str) -> str:
    """Return this machine's address on the way to `remote` (HOST[:PORT]); empty if it listens on one only.

    Nothing is sent: the system's routing table answers.
    """
    if split_address(listen_addr)[0] not in _ANY:
        return ""
    host, port = split_address(choose_listen(remote, ""))
    loop = asyncio.get_running_loop()
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=(host, port), family=family
            )
        except OSError:
            continue  # not reachable or not a name; the attempt to join says so better
        try:
            return str(transport.get_extra_info("sockname")[0])
        finally:
            transport.close()
    return ""


async def check_known(addr: str) -> None:
    """Raise InvalidArgument when the host of HOST:PORT is a name that leads nowhere: nobody could join."""
    host, _ = split_address(addr)
    try:
        await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as problem:
        raise InvalidArgument(
            f"{host} is neither an interface of this machine nor a name that leads to an address: "
            "see --advertise-addr"
        ) from problem


def _best(found: Sequence[InterfaceAddress]) -> Sequence[InterfaceAddress]:
    """Return those of IPv4, if there are any."""
    return [item for item in found if ip_address(item.address).version == 4] or found


def _given(given: str, port: int, addresses: Sequence[InterfaceAddress], interfaces: Collection[str]) -> str:
    host, given_port = _parted(given)
    if host in interfaces or host in {item.interface for item in addresses}:
        host = address_of_interface(host, addresses)
    if host in _ANY:
        raise InvalidArgument(f"{host} is not an address that others could reach")
    return _checked(_joined(host, given_port or port))


def _parted(text: str) -> tuple[str, str]:
    """Return the host and the port, if there is one; an address of IPv6 with a port is in brackets."""
    try:
        return str(ip_address(text)), ""
    except ValueError:
        pass
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([^:]+))?", text)
    if found is None:
        raise InvalidArgument(f"{text!r} is not HOST:PORT")
    return found[1] or found[2], found[3] or ""


def _joined(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _checked(address: str) -> str:
    split_address(address)
    return address
