"""What do /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say? Pure texts."""

import ipaddress
from collections.abc import Mapping, Sequence

from swarm.runtime.base import Dns

_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(hostname: str, address: str, more: Sequence[tuple[str, str]] = (), domain: str = "") -> str:
    """Return /etc/hosts: localhost, when the container has an address its own name, and `more` names.

    In a `domain` the whole name stands first: that is how a program learns it.
    """
    names = f"{hostname}.{domain} {hostname}" if domain else hostname
    own = f"{address}\t{names}\n" if address else ""
    return _LOCAL + own + "".join(f"{where}\t{name}\n" for name, where in more)


def domain_of(sysctls: Mapping[str, str]) -> str:
    """Return the domain of a container that was given one."""
    return sysctls.get("kernel.domainname", "")


def resolv_conf(text: str, dns: Dns) -> str:
    """Return /etc/resolv.conf: `text` with the parts replaced that `dns` names."""
    replaced = {
        "nameserver": [f"nameserver {server}" for server in dns.nameservers],
        "search": [f"search {' '.join(dns.search)}"] if dns.search else [],
        "options": [f"options {' '.join(dns.options)}"] if dns.options else [],
    }
    without = {keyword for keyword, lines in replaced.items() if lines}
    if "search" in without:
        without.add("domain")  # an older way to say the same
    kept = [line for line in text.splitlines() if line.split()[:1] and line.split()[0] not in without]
    return "".join(f"{line}\n" for lines in (*replaced.values(), kept) for line in lines)


def only_local_servers(resolv_conf: str) -> bool:
    """Tell whether all name servers are on the node's loopback, which a container with its own network
    cannot reach."""
    servers = [
        line.split()[1]
        for line in resolv_conf.splitlines()
        if line.split()[:1] == ["nameserver"] and line.split()[1:]
    ]
    return bool(servers) and all(_is_loopback(server) for server in servers)


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
