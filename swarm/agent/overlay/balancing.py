"""Which rules lead the virtual addresses of a network to the tasks that serve? Pure: scripts for `nft.run`.

They are in the router of the network on each node, and see a connection when its client opens it. It stays
with its task when the rules change: a task that drains answers whom it has, and gets nobody new. A virtual
address for which nothing serves has no rule, and no route either: the client hears so at once.

Each script is one transaction. Chains are flushed and filled: a connection sees the old rules or the new.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayService
from swarm.api.v1.types_pb2 import EndpointSpec

TABLE = "inet swarm_services"
SEED = "0x5eed"  # the same on every node: a client that moves there meets the same task
_CHAIN = re.compile(r"^\s*chain (s_\S+) \{", re.MULTILINE)
_FAMILIES = ((4, "ip", "ipv4"), (6, "ip6", "ipv6"))


@dataclass(frozen=True, slots=True)
class Balanced:
    """One service: where its clients go to, and where they are led to. Addresses of both families."""

    virtual: tuple[str, ...]
    backends: tuple[str, ...]
    by_client: bool = False  # a client is always led to the same task

    def of(self, family: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return the addresses of one family."""
        virtual = [one for one in self.virtual if _family(one) == family]
        return virtual, [one for one in self.backends if _family(one) == family]


@dataclass(frozen=True, slots=True)
class Balance:
    """All services of one network that have virtual addresses, and what of their tasks is on this node."""

    services: Mapping[str, Balanced]  # by id
    here: frozenset[str] = frozenset()  # addresses of tasks of this node: they may be led to themselves
    routers: tuple[str, ...] = ()  # addresses of this node's router


def balance_of(state: NetworkState) -> Balance:
    """Return what is to be in force."""
    backends: dict[str, list[OverlayEndpoint]] = {}
    for endpoint in state.endpoints.values():
        if endpoint.serving:
            backends.setdefault(endpoint.service_id, []).append(endpoint)
    services = {
        service.service_id: _balanced(service, backends.get(service.service_id, ()))
        for service in state.services.values()
        if service.virtual_addresses
    }
    own = (one for one in state.endpoints.values() if one.node_id not in state.peers)
    here = frozenset(address for endpoint in own for address in endpoint.addresses)
    return Balance(services, here, tuple(state.network.router_addresses))


def _balanced(service: OverlayService, endpoints: Iterable[OverlayEndpoint]) -> Balanced:
    ordered = sorted(endpoints, key=lambda one: (one.slot, one.task_id))
    return Balanced(
        virtual=tuple(service.virtual_addresses),
        backends=tuple(address for endpoint in ordered for address in endpoint.addresses),
        by_client=service.affinity == EndpointSpec.AFFINITY_CLIENT_IP,
    )


def everything(balance: Balance, there: str) -> str:
    """Return the script that puts everything in force; `there` is what `listing` printed before."""
    lines = [f"add table {TABLE}"]
    for family, _, kind in _FAMILIES:
        lines += [
            f"add map {TABLE} virtual{family} {{ type {kind}_addr : verdict; }}",
            f"flush map {TABLE} virtual{family}",
            f"add set {TABLE} here{family} {{ type {kind}_addr . {kind}_addr; }}",
            f"flush set {TABLE} here{family}",
        ]
    lines += _hook("prerouting", "-100", (f"{ip} daddr vmap @virtual{n}" for n, ip, _ in _FAMILIES))
    lines += _hook("postrouting", "100", _back_through_here(balance.routers))
    lines += changes(Balance({}), balance).splitlines()
    wanted = {_chain(service_id) for service_id in balance.services}
    for chain in dict.fromkeys(_CHAIN.findall(there)):
        if chain not in wanted:
            lines += [f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}"]
    return _script(lines)


def listing() -> str:
    """Return the script that prints the rules that are there, none when there are none."""
    return f"add table {TABLE}\nlist table {TABLE}\n"


def changes(before: Balance, after: Balance) -> str:
    """Return the script that turns one into the other, empty when they are the same.

    The router's own addresses do not count: with others everything is put in force anew.
    """
    lines: list[str] = []
    for service_id, service in after.services.items():
        if before.services.get(service_id) != service:
            lines += _change(service_id, before.services.get(service_id), service)
    for service_id, service in before.services.items():
        if service_id not in after.services:
            lines += [*_elements("delete", service_id, service.virtual), *_flush(service_id)]
            lines.append(f"delete chain {TABLE} {_chain(service_id)}")
    lines += _pairs("delete", before.here - after.here)
    lines += _pairs("add", after.here - before.here)
    return _script(lines)


def _change(service_id: str, before: Balanced | None, after: Balanced) -> Iterator[str]:
    yield f"add chain {TABLE} {_chain(service_id)}"
    yield from _flush(service_id)
    for family, ip, kind in _FAMILIES:
        virtual, backends = after.of(family)
        if virtual and backends:
            choice = _choice(backends, ip, by_client=after.by_client)
            yield f"add rule {TABLE} {_chain(service_id)} meta nfproto {kind} dnat {ip} to {choice}"
    had = before.virtual if before is not None else ()
    yield from _elements("delete", service_id, [one for one in had if one not in after.virtual])
    yield from _elements("add", service_id, [one for one in after.virtual if one not in had])


def _choice(backends: Sequence[str], ip: str, *, by_client: bool) -> str:
    if len(backends) == 1:
        return backends[0]
    numbered = ", ".join(f"{number} : {address}" for number, address in enumerate(backends))
    number = f"jhash {ip} saddr mod {len(backends)} seed {SEED}" if by_client else ""
    return f"{number or f'numgen random mod {len(backends)}'} map {{ {numbered} }}"


def _elements(verb: str, service_id: str, virtual: Iterable[str]) -> Iterator[str]:
    for address in virtual:
        value = f" : goto {_chain(service_id)}" if verb == "add" else ""
        yield f"{verb} element {TABLE} virtual{_family(address)} {{ {address}{value} }}"


def _pairs(verb: str, addresses: Iterable[str]) -> Iterator[str]:
    for address in sorted(addresses):
        yield f"{verb} element {TABLE} here{_family(address)} {{ {address} . {address} }}"


def _back_through_here(routers: Iterable[str]) -> Iterator[str]:
    """A task that was led to itself must not see its own address: it would drop that, or answer directly."""
    for address in routers:
        family, ip, _ = _FAMILIES[_family(address) == 6]
        yield f"{ip} saddr . {ip} daddr @here{family} snat {ip} to {address}"


def _hook(name: str, priority: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"add chain {TABLE} {name} {{ type nat hook {name} priority {priority}; }}"
    yield f"flush chain {TABLE} {name}"
    for rule in rules:
        yield f"add rule {TABLE} {name} {rule}"


def _flush(service_id: str) -> Iterator[str]:
    yield f"flush chain {TABLE} {_chain(service_id)}"


def _chain(service_id: str) -> str:
    return f"s_{service_id}"


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def _script(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
