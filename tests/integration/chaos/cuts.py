"""Links that carry nothing, in one direction or both: packets dropped where they arrive."""

from collections.abc import Iterable
from itertools import permutations

from swarm.agent.network import namespaces, nft
from swarm.dev.plan import Node, Plan

_TABLE = "ip chaos_cuts"


def apart(one: Iterable[Node], other: Iterable[Node]) -> set[tuple[Node, Node]]:
    """Return the cuts that keep two groups apart."""
    return {
        pair
        for left in one
        for right in other
        for pair in ((left, right), (right, left))
        if left != right
    }  # fmt: skip


def alone(nodes: Iterable[Node]) -> set[tuple[Node, Node]]:
    """Return the cuts that leave everybody alone."""
    return set(permutations(nodes, 2))


def make(plan: Plan, cuts: Iterable[tuple[Node, Node]]) -> None:
    """Let nothing get from the first to the second of each pair; links that are not named work again."""
    sources: dict[Node, list[str]] = {node: [] for node in plan.nodes}
    for source, target in cuts:
        sources[target].append(str(source.address))
    for target, addresses in sources.items():
        script = f"add table {_TABLE}\ndelete table {_TABLE}\n"
        if addresses:
            script += (
                f"table {_TABLE} {{ chain input {{ type filter hook input priority -300; "
                f"ip saddr {{ {', '.join(sorted(addresses))} }} drop; }}\n}}\n"
            )
        with namespaces.entered(plan.namespace(target)):
            nft.run(script)


def heal(plan: Plan) -> None:
    """Let every link work again."""
    make(plan, ())
