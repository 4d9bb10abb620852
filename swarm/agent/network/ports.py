"""Which ports of the node may a task have?"""

from collections.abc import Iterator, Mapping, Sequence

from swarm.agent.network.base import PublishedPort
from swarm.errors import TaskRejected
from swarm.model.host_addresses import host_prefix, overlap, spelled

DYNAMIC = range(30000, 32768)  # where port 0 is looked for; below the ports of outgoing connections

Key = tuple[str, int, str]  # protocol, port and addresses of the node (empty: all): what can be held once


def key(port: PublishedPort) -> Key:
    """Return what nobody else on the node may have."""
    return port.protocol, port.published_port, spelled(port.host_ip)


def label(port: Key) -> str:
    """Return a port as people write it, e.g. 8080/tcp or 192.0.2.4:8080/tcp."""
    protocol, number, host_ip = port
    return f"{host_prefix(host_ip)}{number}/{protocol}"


def refuse_conflicts(wanted: Sequence[PublishedPort], taken: Mapping[Key, str]) -> None:
    """Raise TaskRejected when a wanted port is one that a task of this node, named in `taken`, holds."""
    mine: list[Key] = []
    for port in map(key, wanted):
        if not port[1]:
            continue
        for other, holder in taken.items():
            if _collide(port, other):
                raise TaskRejected(f"port {label(port)} is already published on this node by task {holder}")
        if any(_collide(port, other) for other in mine):
            raise TaskRejected(f"port {label(port)} is published twice by the same task")
        mine.append(port)


def _collide(one: Key, other: Key) -> bool:
    return one[:2] == other[:2] and overlap(one[2], other[2])


def fits(wanted: Sequence[PublishedPort], granted: Sequence[PublishedPort]) -> bool:
    """Return whether `granted` is an answer to `wanted`, in which port 0 means any."""
    return len(wanted) == len(granted) and all(
        (one.protocol, one.target_port, one.host_ip) == (other.protocol, other.target_port, other.host_ip)
        and one.published_port in (0, other.published_port)
        for one, other in zip(wanted, granted, strict=True)
    )


def candidates(protocol: str, taken: Mapping[Key, str], start: int) -> Iterator[int]:
    """Yield the dynamic ports that no task holds, once each, beginning at the `start`-th."""
    ports = {(one, number) for one, number, _ in taken}
    for step in range(len(DYNAMIC)):
        port = DYNAMIC[(start + step) % len(DYNAMIC)]
        if (protocol, port) not in ports:
            yield port
