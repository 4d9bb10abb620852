"""Does the control API answer during the largest placement? `python -m bench.placement_load`. Needs root.

Three real managers, each a daemon in a network namespace of its own; 10,000 simulated nodes join them
(bench/placement/simulated_nodes.py). Then services of 1,000 replicas each are created all at once, and two
clients ask through the sockets of the leader and of a follower until every task has a node.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from bench.placement.load import Placement, place, simulated_nodes
from bench.raft.managers import managers

REPLICAS = 1000
P99_MAX_S = 1.0
NODES = 10_000 - 4  # as many as a cluster may have, without the three managers and the one that is simulated


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return the time that this share of the answers did not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def summary(seen: Placement) -> dict[str, object]:
    """Return what is printed."""
    return {
        "nodes": seen.nodes,
        "tasks": seen.tasks,
        "seconds": round(seen.seconds, 1),
        "tasks_per_s": round(seen.tasks / seen.seconds),
        "elections": seen.elections,
        "raft_delay_max_s": round(seen.raft_delay_s, 3),
        "loop_delay_max_s": round(seen.loop_delay_s, 3),
        "failures": list(seen.failures),
        "answers": [
            {
                "request": method,
                "count": len(seconds),
                "p50_s": round(percentile(seconds, 0.5), 3),
                "p90_s": round(percentile(seconds, 0.9), 3),
                "p99_s": round(percentile(seconds, 0.99), 3),
                "max_s": round(max(seconds, default=0.0), 3),
            }
            for method, seconds in seen.asked.items()
        ],
    }


def main() -> int:
    """Return 0 if everything was answered in time, and nobody called an election."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print an object")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--tasks", type=int, default=100_000)
    given = parser.parse_args()
    replicas = min(REPLICAS, given.tasks)
    with managers(3) as cluster, simulated_nodes(cluster, given.nodes):
        seen = place(cluster, given.nodes, given.tasks // replicas, replicas)
    shown = summary(seen)
    if given.json:
        print(json.dumps(shown, indent=2))
    else:
        for name, value in shown.items():
            for line in value if isinstance(value, list) else [value]:
                print(f"{name}: {line}")
    slow = max(percentile(seconds, 0.99) for seconds in seen.asked.values()) > P99_MAX_S
    return 1 if seen.elections or seen.failures or slow else 0


if __name__ == "__main__":
    sys.exit(main())
