"""What do /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say? Pure texts."""

import ipaddress

_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(hostname: str, address: str) -> str:
    """Return /etc/hosts: localhost and, when the container has an address, its own name."""
    return f"{_LOCAL}{address}\t{hostname}\n" if address else _LOCAL


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
