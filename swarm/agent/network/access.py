"""What may tasks that are in networks of their own do in the node's network? Rules of its router, for nft.

They are there for the way out, for published ports and for probes: tasks that share no network do not meet
here, and those whose networks are all internal begin no conversation with anybody but the router itself.
No task at all may send what another node would take for the packets of an overlay.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from swarm.agent.network.journal import Access, Ledger
from swarm.agent.network.layout import ROUTER_LINK

_TABLE = "ip swarm_access"
_SETS = (Access.OUTSIDE, Access.CLOSED)
_BETWEEN_TASKS = f'iifname != "{ROUTER_LINK}" oifname != "{ROUTER_LINK}"'
_REFUSE = "reject with icmp type admin-prohibited"


def setup(ledger: Ledger) -> str:
    """Return the script that makes these rules, for the tasks in the ledger; it may be repeated."""
    lines = [f"add table {_TABLE}"]
    for access in _SETS:
        lines += [
            f"add set {_TABLE} {access.value} {{ type ipv4_addr; }}",
            f"flush set {_TABLE} {access.value}",
            *_elements("add", access, ledger.having(access)),
        ]
    lines += [
        # Not flushed: which ports these are is heard a moment later.
        f"add set {_TABLE} tunnels {{ type inet_service; }}",
        f"add chain {_TABLE} forward {{ type filter hook forward priority 0; }}",
        f"flush chain {_TABLE} forward",
        f"add rule {_TABLE} forward udp dport @tunnels {_REFUSE}",
        f"add rule {_TABLE} forward ip saddr @{Access.CLOSED.value} ct direction original {_REFUSE}",
    ]
    for access in _SETS:
        for end in ("saddr", "daddr"):
            lines.append(f"add rule {_TABLE} forward {_BETWEEN_TASKS} ip {end} @{access.value} {_REFUSE}")
    return "\n".join(lines) + "\n"


def close(ports: Iterable[int]) -> str:
    """Return the script that keeps tasks from the UDP ports between nodes; empty for none."""
    listed = ", ".join(str(port) for port in sorted(ports))
    return f"add element {_TABLE} tunnels {{ {listed} }}" if listed else ""


def admit(access: Access, address: IPv4Address) -> str:
    """Return the script for one more task; empty when nothing holds for it."""
    return "\n".join(_elements("add", access, (address,)))


def forget(access: Access, address: IPv4Address) -> str:
    """Return the script for a task that is gone, which may be repeated; empty when nothing held."""
    return "\n".join((*_elements("add", access, (address,)), *_elements("delete", access, (address,))))


def _elements(verb: str, access: Access, addresses: Iterable[IPv4Address]) -> list[str]:
    listed = ", ".join(str(address) for address in sorted(addresses))
    if access not in _SETS or not listed:
        return []
    return [f"{verb} element {_TABLE} {access.value} {{ {listed} }}"]
