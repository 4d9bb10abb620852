"""What may tasks that are in networks of their own do in the node's network? Rules of its router, for nft.

They are there for the way out, for published ports and for probes: tasks that share no network do not meet
here, and those whose networks are all internal begin no conversation with anybody but the router itself.
No task at all may send what another node would take for the packets of an overlay.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from swarm.agent.network.families import IPV4, Family
from swarm.agent.network.journal import Access, Ledger
from swarm.agent.network.layout import ROUTER_LINK, Layout

_SETS = (Access.OUTSIDE, Access.CLOSED)
_BETWEEN_TASKS = f'iifname != "{ROUTER_LINK}" oifname != "{ROUTER_LINK}"'


def setup(layout: Layout, ledger: Ledger) -> str:
    """Return the script that makes these rules, for the tasks in the ledger; it may be repeated."""
    return "".join(f"{line}\n" for family in layout.families for line in _frame(layout, ledger, family))


def close(layout: Layout, ports: Iterable[int]) -> str:
    """Return the script that keeps tasks from the UDP ports between nodes; empty for none."""
    listed = ", ".join(str(port) for port in sorted(ports))
    tables = [_table(family) for family in layout.families] if listed else []
    return "\n".join(f"add element {table} tunnels {{ {listed} }}" for table in tables)


def admit(layout: Layout, access: Access, address: IPv4Address) -> str:
    """Return the script for one more task; empty when nothing holds for it."""
    return "\n".join(_elements(layout, ("add",), access, (address,)))


def forget(layout: Layout, access: Access, address: IPv4Address) -> str:
    """Return the script for a task that is gone, which may be repeated; empty when nothing held."""
    return "\n".join(_elements(layout, ("add", "delete"), access, (address,)))


def _table(family: Family) -> str:
    return f"{family.ip} swarm_access"


def _frame(layout: Layout, ledger: Ledger, family: Family) -> Iterator[str]:
    table, ip = _table(family), family.ip
    refuse = f"reject with {'icmp' if family is IPV4 else 'icmpv6'} type admin-prohibited"
    yield f"add table {table}"
    for access in _SETS:
        yield f"add set {table} {access.value} {{ type {family.kind}; }}"
        yield f"flush set {table} {access.value}"
        yield from _listed(layout, "add", access, ledger.having(access), family)
    # Not flushed: which ports these are is heard a moment later.
    yield f"add set {table} tunnels {{ type inet_service; }}"
    yield f"add chain {table} forward {{ type filter hook forward priority 0; }}"
    yield f"flush chain {table} forward"
    yield f"add rule {table} forward udp dport @tunnels {refuse}"
    yield f"add rule {table} forward {ip} saddr @{Access.CLOSED.value} ct direction original {refuse}"
    for access in _SETS:
        for end in ("saddr", "daddr"):
            yield f"add rule {table} forward {_BETWEEN_TASKS} {ip} {end} @{access.value} {refuse}"


def _elements(
    layout: Layout, verbs: Iterable[str], access: Access, addresses: Iterable[IPv4Address]
) -> list[str]:
    here = list(addresses)
    return [
        line
        for verb in verbs
        for family in layout.families
        for line in _listed(layout, verb, access, here, family)
    ]


def _listed(
    layout: Layout, verb: str, access: Access, addresses: Iterable[IPv4Address], family: Family
) -> Iterator[str]:
    listed = ", ".join(str(layout.of_family(address, family)) for address in sorted(addresses))
    if access in _SETS and listed:
        yield f"{verb} element {_table(family)} {access.value} {{ {listed} }}"
