"""Which ports of the node may a task have?"""

from collections.abc import Iterator, Mapping, Sequence

from swarm.agent.network.base import PublishedPort
from swarm.errors import TaskRejected

DYNAMIC = range(30000, 32768)  # where port 0 is looked for; below the ports of outgoing connections

Key = tuple[str, int]  # protocol and port of the node: what can be held once


def key(port: PublishedPort) -> Key:
    """Return what nobody else on the node may have."""
    return port.protocol, port.published_port


def label(port: Key) -> str:
    """Return a port as people write it, e.g. 8080/tcp."""
    return f"{port[1]}/{port[0]}"


def refuse_conflicts(wanted: Sequence[PublishedPort], taken: Mapping[Key, str]) -> None:
    """Raise TaskRejected when a wanted port is one that a task of this node, named in `taken`, holds."""
    mine: set[Key] = set()
    for port in wanted:
        if not port.published_port:
            continue
        if key(port) in taken:
            holder = taken[key(port)]
            raise TaskRejected(f"port {label(key(port))} is already published on this node by task {holder}")
        if key(port) in mine:
            raise TaskRejected(f"port {label(key(port))} is published twice by the same task")
        mine.add(key(port))


def fits(wanted: Sequence[PublishedPort], granted: Sequence[PublishedPort]) -> bool:
    """Return whether `granted` is an answer to `wanted`, in which port 0 means any."""
    return len(wanted) == len(granted) and all(
        (one.protocol, one.target_port) == (other.protocol, other.target_port)
        and one.published_port in (0, other.published_port)
        for one, other in zip(wanted, granted, strict=True)
    )


def candidates(protocol: str, taken: Mapping[Key, str], start: int) -> Iterator[int]:
    """Yield the dynamic ports that no task holds, once each, beginning at the `start`-th."""
    for step in range(len(DYNAMIC)):
        port = DYNAMIC[(start + step) % len(DYNAMIC)]
        if (protocol, port) not in taken:
            yield port
