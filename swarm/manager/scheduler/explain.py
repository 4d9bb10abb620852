"""Why does a task wait for a node? In a sentence that counts, and that changes only when the reason does."""

from collections import Counter
from collections.abc import Generator, Iterable

from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.detail import Details
from swarm.manager.scheduler.filters import FILTERS, Filter, first_failure
from swarm.manager.scheduler.node_view import NodeView

# Nodes looked at between two yields: a millisecond or two.
NODES_PER_STEP = 1000

# Why a node is refused: the filter, and what exactly where the filter says so.
Failure = tuple[Filter, str]

NO_NODE = "no suitable node"


def explain(
    nodes: Iterable[NodeView], demand: Demand, details: Details | None = None
) -> Generator[None, None, str]:
    """Return why none of `nodes` takes a task of this demand, the most frequent reason first.

    `details` hears of every node and what it fails at.
    """
    failures: Counter[Failure] = Counter()
    for looks, node in enumerate(tuple(nodes)):
        failure = first_failure(node, demand)
        if failure is not None:
            failures[failure, failure.detail(node, demand) if failure.detail else ""] += 1
            if details is not None:
                details.note(node, failure)
        if looks % NODES_PER_STEP == NODES_PER_STEP - 1:
            yield
    return sentence(failures)


def sentence(failures: Counter[Failure]) -> str:
    """Return the reasons, with the number of nodes each holds for, as people read them."""
    ordered = sorted(failures, key=lambda one: (-failures[one], FILTERS.index(one[0]), one[1]))
    reasons = "; ".join(one.explain(failures[one, detail], detail) for one, detail in ordered)
    return f"{NO_NODE} ({reasons})" if reasons else NO_NODE
