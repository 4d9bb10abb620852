"""What do tasks see as /etc/resolv.conf?"""

from collections.abc import Sequence
from ipaddress import ip_address

LOOPBACK_STUB = "127.0.0.53"  # systemd-resolved; its real servers stand in a file of its own


def name_servers(text: str) -> Sequence[str]:
    """Return the name servers of a resolv.conf, in order."""
    lines = (line.split() for line in text.splitlines())
    return [fields[1] for fields in lines if len(fields) > 1 and fields[0] == "nameserver"]


def is_loopback(server: str) -> bool:
    """Return whether a name server can be asked on the node only."""
    try:
        return ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def for_tasks(node: str, upstream: str, node_address: str) -> tuple[str, str]:
    """Return the tasks' resolv.conf, and the loopback server of the node that `node_address` must lead to.

    `node` is the node's own resolv.conf, `upstream` that of systemd-resolved (empty without it). Servers
    that only the node can reach are left out; when none remains, tasks ask the node, which passes it on.
    The second value is empty when nothing needs passing on.
    """
    for text in (node, upstream):
        usable = [server for server in name_servers(text) if not is_loopback(server)]
        if usable:
            return _render(node, usable), ""
    passed_on = next((server for server in name_servers(node) if "." in server), "")
    return _render(node, [node_address] if passed_on else []), passed_on


def _render(node: str, servers: Sequence[str]) -> str:
    kept = [
        line
        for line in node.splitlines()
        if line.split() and line.split()[0] in ("search", "options", "domain")
    ]
    return "".join(f"{line}\n" for line in [*(f"nameserver {server}" for server in servers), *kept])
