"""Which address of this node carries what its containers and those of other nodes say to each other?

None of its own as long as nobody chose one: then that at which managers see the node.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from ipaddress import ip_address

from swarm.config import Settings
from swarm.errors import InvalidArgument
from swarm.model.networks import is_reachable_address
from swarm.node.addresses import InterfaceAddress, address_of_interface
from swarm.node.state import NodeState

_WHAT = "--data-path-addr"


def choose_data_path(
    given: str, addresses: Sequence[InterfaceAddress], interfaces: Collection[str] = ()
) -> str:
    """Return the address that is meant, empty when none is given; pure.

    `given` is an address of this machine or an interface, whose IPv4 address counts before those of IPv6.
    Raises InvalidArgument for anything else, listing what there is.
    """
    if not given:
        return ""
    if given in interfaces or given in {one.interface for one in addresses}:
        return address_of_interface(given, addresses)
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


def _listed(addresses: Sequence[InterfaceAddress]) -> str:
    return ", ".join(
        f"{one.address} on {one.interface}" for one in addresses if is_reachable_address(one.address)
    )
