"""Which names does a network have, and what do they lead to? Pure.

Every service and every task *says* some names. A name is all that is said of it together: two services
with one alias share it. Only what somebody asked for as a hostname gives way to whoever has the name for
good. Names are kept by who says them, so that a change costs what changed.

What is unhealthy, stopping or not up yet is said without addresses: the name is known, so that nobody
else is asked for it, and leads nowhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeAlias

from swarm.agent.overlay.state import NetworkState, OverlayState, Touched
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayNetwork, OverlayService
from swarm.api.v1.types_pb2 import PortConfig

Json: TypeAlias = Any

_SHORT_ID = 12  # characters of its id that a container without a hostname is called by

_PROTOCOLS = {
    PortConfig.PROTOCOL_TCP: "tcp",
    PortConfig.PROTOCOL_UDP: "udp",
    PortConfig.PROTOCOL_SCTP: "sctp",
}


class Said(NamedTuple):
    """What one service or task says of one name."""

    addresses: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()  # of the name of an address: what it is called
    ports: tuple[tuple[int, str], ...] = ()  # of the name of a port: number and where it is served
    weak: bool = False  # gives way to what others say of the name


Names: TypeAlias = Mapping[str, Said]


@dataclass(slots=True)
class _Network:
    head: Json
    said: dict[str, Names] = field(default_factory=dict)  # by service or task id
    sayers: dict[str, set[str]] = field(default_factory=dict)  # of each name
    tasks: dict[str, set[str]] = field(default_factory=dict)  # by service id
    service_of: dict[str, str] = field(default_factory=dict)  # by task id


class Zones:
    """The names of all networks of this node, as the name server is told of them."""

    def __init__(self) -> None:
        self._networks: dict[str, _Network] = {}

    def follow(self, state: OverlayState, touched: Iterable[Touched]) -> Json:
        """Return what to tell the name server of what was touched: zones with the names that differ."""
        changes: dict[str, Json] = {}
        for one in touched:
            now = state.networks.get(one.network_id)
            if now is None:
                if self._networks.pop(one.network_id, None) is not None:
                    changes[one.network_id] = None
                continue
            known = self._networks.get(one.network_id)
            if known is None or known.head != _head(now.network):
                known = self._networks[one.network_id] = _Network(_head(now.network))
                _say_again(known, now, now.services, now.endpoints)
                changes[one.network_id] = {
                    **known.head,
                    "whole": True,
                    "names": _merged(known, known.sayers),
                }
                continue
            names = _say_again(known, now, one.service_ids, one.task_ids)
            if names:
                changes[one.network_id] = {**known.head, "names": _merged(known, names)}
        return changes

    def withdraw(self, state: OverlayState, touched: Iterable[Touched]) -> Json:
        """Return what to tell the name server so that nothing leads any more to where it shall not.

        What `follow` would add is left out: packets may not get there yet.
        """
        changes: dict[str, Json] = {}
        for one in touched:
            now, known = state.networks.get(one.network_id), self._networks.get(one.network_id)
            if now is None or known is None or known.head != _head(now.network):
                continue
            names = _say_again(known, now, one.service_ids, one.task_ids, keep=_less)
            if names:
                changes[one.network_id] = {**known.head, "names": _merged(known, names)}
        return changes

    def everything(self) -> Json:
        """Return all zones, whole."""
        return {network_id: _whole(known) for network_id, known in self._networks.items()}


def all_of(state: OverlayState) -> tuple[Touched, ...]:
    """Return what is touched for somebody who knows nothing yet."""
    return tuple(Touched(network_id, network=True) for network_id in state.networks)


def everything_of(state: OverlayState) -> Json:
    """Return all zones, whole, of somebody who knows nothing else."""
    return Zones().follow(state, all_of(state))


def _whole(known: _Network) -> Json:
    return {**known.head, "whole": True, "names": _merged(known, known.sayers)}


def _head(network: OverlayNetwork) -> Json:
    return {
        "name": network.name.lower(),
        "subnets": [one.subnet for one in network.subnets],
        "internal": network.internal,
    }


def _all(_before: Names, after: Names) -> Names:
    return after


def _less(before: Names, after: Names) -> Names:
    """What was said before and is said after."""
    return {
        name: Said(
            tuple(one for one in before[name].addresses if one in said.addresses),
            tuple(one for one in before[name].pointers if one in said.pointers),
            tuple(one for one in before[name].ports if one in said.ports),
            before[name].weak,
        )
        for name, said in after.items()
        if name in before
    }


def _say_again(
    known: _Network,
    now: NetworkState,
    service_ids: Iterable[str],
    task_ids: Iterable[str],
    keep: Callable[[Names, Names], Names] = _all,
) -> set[str]:
    """Take in what these say now; return the names of which something else may be said than before."""

    def replace(sayer: str, names: Names) -> set[str]:
        return _replace(known, sayer, keep(known.said.get(sayer, {}), names))

    names: set[str] = set()
    tasks = set(task_ids)
    for service_id in service_ids:
        service = now.services.get(service_id)
        names |= replace(service_id, service_names(service, known.head["name"]) if service else {})
        tasks |= known.tasks.get(service_id, set())
    for task_id in tasks:
        endpoint = now.endpoints.get(task_id)
        known.tasks.get(known.service_of.pop(task_id, ""), set()).discard(task_id)
        if endpoint is None:
            names |= replace(task_id, {})
            continue
        if endpoint.service_id:
            known.service_of[task_id] = endpoint.service_id
            known.tasks.setdefault(endpoint.service_id, set()).add(task_id)
        service = now.services.get(endpoint.service_id)
        names |= replace(task_id, task_names(endpoint, service, known.head["name"]))
    return names


def _replace(known: _Network, sayer: str, names: Names) -> set[str]:
    before = known.said.pop(sayer, {})
    if names:
        known.said[sayer] = names
    for name in before.keys() - names.keys():
        known.sayers[name].discard(sayer)
    for name in names:
        known.sayers.setdefault(name, set()).add(sayer)
    return {name for name in before.keys() | names.keys() if before.get(name) != names.get(name)}


def _merged(known: _Network, names: Iterable[str]) -> Json:
    """Return what is said of each name by all together; null for what nobody says any more."""
    result: dict[str, Json] = {}
    for name in list(names):
        said = [known.said[sayer][name] for sayer in sorted(known.sayers[name])]
        if not said:
            del known.sayers[name]
            result[name] = None
            continue
        strong = [one for one in said if not one.weak] or said
        result[name] = [
            list(dict.fromkeys(address for one in strong for address in one.addresses)),
            list(dict.fromkeys(pointer for one in strong for pointer in one.pointers)),
            [list(pair) for pair in dict.fromkeys(pair for one in strong for pair in one.ports)],
        ]
    return result


def service_names(service: OverlayService, network: str) -> Names:
    """Return what a service says: its names lead to its virtual addresses, if it has some."""
    virtual = tuple(service.virtual_addresses)
    said: dict[str, Said] = {}
    for name in _names_of(service):
        said[name] = Said(virtual)
        said[f"tasks.{name}"] = Said()
        for label, port in _ports_of(service):
            said[f"{label}.{name}"] = Said(ports=((port, f"{name}.{network}"),) if virtual else ())
            said[f"{label}.tasks.{name}"] = Said()
    said.update(_reverse(virtual, f"{service.name}.{network}"))
    return said


def task_names(task: OverlayEndpoint, service: OverlayService | None, network: str) -> Names:
    """Return what a task says: its own names, and its share in those of its service."""
    own = task.name.lower()
    addresses = tuple(task.addresses) if task.serving else ()
    said = {(task.hostname or task.task_id[:_SHORT_ID]).lower(): Said(addresses, weak=True)}
    said |= {name: Said(addresses) for name in (own, *map(str.lower, task.aliases)) if name}
    if service is not None and addresses:
        for name in _names_of(service):
            shares = (f"tasks.{name}",) if service.virtual_addresses else (f"tasks.{name}", name)
            for share in shares:
                said[share] = Said(addresses)
                for label, port in _ports_of(service):
                    said[f"{label}.{share}"] = Said(ports=((port, f"{own}.{network}"),))
    said.update(_reverse(task.addresses, f"{own}.{network}"))
    return said


def _names_of(service: OverlayService) -> Iterator[str]:
    yield from dict.fromkeys(map(str.lower, (service.name, *service.aliases)))


def _ports_of(service: OverlayService) -> Iterator[tuple[str, int]]:
    for port in service.ports:
        if port.name:
            yield f"_{port.name.lower()}._{_PROTOCOLS[port.protocol]}", port.target_port


def _reverse(addresses: Iterable[str], name: str) -> Iterator[tuple[str, Said]]:
    for address in addresses:
        yield ip_address(address).reverse_pointer, Said(pointers=(name,))
