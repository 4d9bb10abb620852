"""A cluster of managers alone, as real daemons, and what they say of their Raft group."""

import contextlib
import re
import secrets
import urllib.request
from collections.abc import Iterator

from swarm.dev.cluster import DevCluster
from swarm.dev.plan import METRICS_PORT, Node

_TERM = re.compile(r"^swarm_raft_term (\d+)", re.MULTILINE)


@contextlib.contextmanager
def managers(count: int) -> Iterator[DevCluster]:
    """Run so many managers; nothing of them is left afterwards."""
    cluster = DevCluster.create(f"bench-{secrets.token_hex(3)}", count, 0)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def term(node: Node) -> int:
    """Return the term that a manager knows of."""
    with urllib.request.urlopen(f"http://{node.address}:{METRICS_PORT}/metrics", timeout=10) as answer:
        found = _TERM.search(answer.read().decode())
    if found is None:
        raise ValueError(f"{node.name} shows no term")
    return int(found[1])


def elections_won(cluster: DevCluster) -> int:
    """Return how often any manager has become leader, by their logs."""
    return sum(node.log.read_text().count('"raft.leadership_won"') for node in cluster.plan.nodes)
