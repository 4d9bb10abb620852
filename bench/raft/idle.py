"""Three real managers with nothing to do: does anybody call an election?

    python -m bench.raft.idle [--minutes 10] [--hogs]

With --hogs, one process per processor does nothing but compute meanwhile. Needs root.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from bench.raft.managers import elections_won, managers, term
from swarm.dev.cluster import DevCluster

SETTLE_S = 5.0


def compute() -> None:
    """Keep a processor busy."""
    number = 1
    while True:
        number = number * 1103515245 % 2147483648


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """Keep so many processors busy."""
    running = [multiprocessing.Process(target=compute, daemon=True) for _ in range(count)]
    for process in running:
        process.start()
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.join()


def watch(cluster: DevCluster, seconds: float) -> int:
    """Return how many elections there were, won or only begun."""
    nodes = cluster.plan.nodes
    terms, won = [term(node) for node in nodes], elections_won(cluster)
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(left_s, 60.0))
        now = [term(node) for node in nodes]
        print(f"{max(0.0, end - time.monotonic()):4.0f} s left, terms {now}", flush=True)
    return max(max(now) - max(terms), elections_won(cluster) - won)


def main() -> int:
    """Return 0 if there was no election."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--hogs", action="store_true", help="keep every processor busy")
    options = parser.parse_args()
    busy = os.cpu_count() or 1 if options.hogs else 0
    with managers(3) as cluster, hogs(busy):
        time.sleep(SETTLE_S)
        elections = watch(cluster, options.minutes * 60)
    print(f"{elections} elections in {options.minutes:g} minutes with {busy} processes that only compute")
    return 0 if elections == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
