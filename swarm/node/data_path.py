"""Which address of this node carries what its containers and those of other nodes say to each other?

None of its own as long as nobody chose one: then that at which managers see the node.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from swarm.config import Settings
from swarm.errors import InvalidArgument
from swarm.model.networks import is_reachable_address
from swarm.node.addresses import InterfaceAddress, interface_addresses
from swarm.node.state import NodeState

_IPV6_FILE = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE = "00"
_WHAT = "--data-path-addr"


def own_addresses(ipv6_file: Path = _IPV6_FILE) -> list[InterfaceAddress]:
    """Return the addresses of this machine, of IPv6 those that others could reach."""
    try:
        lines = [line.split() for line in ipv6_file.read_text().splitlines()]
    except OSError:  # a kernel without IPv6
        lines = []
    found = interface_addresses()
    for packed, _, _, scope, _, name in lines:
        if scope == _GLOBAL_SCOPE:
            found.append(InterfaceAddress(name, str(IPv6Address(bytes.fromhex(packed)))))
    return found


def choose_data_path(
    given: str, addresses: Sequence[InterfaceAddress], interfaces: Collection[str] = ()
) -> str:
    """Return the address that is meant, empty when none is given; pure.

    `given` is an address of this machine or an interface, whose IPv4 address counts before those of IPv6.
    Raises InvalidArgument for anything else, listing what there is.
    """
    if not given:
        return ""
    on_interface = sorted({one.address for one in addresses if one.interface == given})
    if on_interface or given in interfaces:
        return _only_one(given, on_interface)
    try:
        wanted = ip_address(given)
    except ValueError:
        raise InvalidArgument(
            f"{_WHAT}: {given} is neither an address nor an interface of this machine"
            f" ({_listed(addresses)}); the port is the cluster's: init --data-path-port"
        ) from None
    if not is_reachable_address(str(wanted)):
        raise InvalidArgument(f"{_WHAT}: {given} is not an address that other nodes could reach")
    if str(wanted) not in {one.address for one in addresses}:
        raise InvalidArgument(
            f"{_WHAT}: this machine has no address {given}, it has {_listed(addresses)}: choose one of these"
        )
    return str(wanted)


def data_path_chosen(
    state: NodeState, given: str, settings: Settings, addresses: Sequence[InterfaceAddress]
) -> NodeState:
    """Return the state of a node that joins now; what is `given` counts before the settings. Pure.

    Raises InvalidArgument.
    """
    chosen = given or settings.data_path_addr
    return replace(
        state,
        data_path=chosen,
        data_path_addr=choose_data_path(chosen, addresses),
        data_path_setting=settings.data_path_addr,
    )


def data_path_after_restart(
    state: NodeState,
    settings: Settings,
    addresses: Sequence[InterfaceAddress],
    interfaces: Collection[str] = (),
) -> NodeState:
    """Return the state with the address that this start asks for; pure. Raises InvalidArgument.

    A setting that is what it was at the last start changes nothing: what was chosen when joining holds. An
    interface may have another address by now.
    """
    changed = settings.data_path_addr != state.data_path_setting
    chosen = settings.data_path_addr if changed else state.data_path
    return replace(
        state,
        data_path=chosen,
        data_path_addr=choose_data_path(chosen, addresses, interfaces),
        data_path_setting=settings.data_path_addr,
    )


def _only_one(interface: str, found: Sequence[str]) -> str:
    """Return the address of an interface."""
    reachable = [one for one in found if is_reachable_address(one)]
    first = [one for one in reachable if ip_address(one).version == 4] or reachable
    if not first:
        raise InvalidArgument(f"{_WHAT}: interface {interface} has no address now that others could reach")
    if len(first) > 1:
        raise InvalidArgument(
            f"{_WHAT}: interface {interface} has several addresses ({', '.join(first)}): choose one of them"
        )
    return first[0]


def _listed(addresses: Sequence[InterfaceAddress]) -> str:
    return ", ".join(
        f"{one.address} on {one.interface}" for one in addresses if is_reachable_address(one.address)
    )
