"""Runs of chaos against real managers, one line each; the histories of runs that fail are kept.

python -m tests.integration.chaos --runs 20 --seconds 60
"""

import argparse
import asyncio
import contextlib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swarm.dev.cluster import DevCluster
from tests.integration.chaos.clients import Log
from tests.integration.chaos.faults import FAULTS
from tests.integration.chaos.run import run
from tests.linearizability.history import save


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.integration.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults in each run (60)")
    parser.add_argument("--managers", type=int, default=3)
    parser.add_argument("--seed", type=int, help="of the first run; the next ones count on (random)")
    parser.add_argument(
        "--fault", action="append", choices=sorted(FAULTS), help="only these; may be repeated"
    )
    parser.add_argument("--keep", type=Path, help="where to keep what a failing run leaves (a new folder)")
    return parser.parse_args()


@contextlib.contextmanager
def managers(count: int) -> Iterator[DevCluster]:
    """Run a cluster of managers alone."""
    cluster = DevCluster.create(f"chaos-{secrets.token_hex(3)}", count, 0)
    try:
        cluster.up()
        yield cluster
    finally:
        left = cluster.down()
        if left:
            print(f"left behind: {left}", file=sys.stderr)


def keep(folder: Path | None, seed: int, log: Log, cluster: DevCluster) -> Path:
    """Save the history and what the managers logged; return where."""
    folder = (folder or Path(tempfile.mkdtemp(prefix="swarm-chaos-"))) / str(seed)
    folder.mkdir(parents=True)
    save(log.history, folder / "history.jsonl")
    for node in cluster.plan.nodes:
        (folder / f"{node.name}.log").write_bytes(node.log.read_bytes())
    return folder


def one(cluster: DevCluster, seed: int, options: argparse.Namespace) -> bool:
    """Make one run and print what came of it; tell whether it was good."""
    log = Log()
    try:
        result = asyncio.run(run(cluster, seed, options.seconds, options.fault or (), log))
    except Exception as error:  # noqa: BLE001  # whatever it was: it belongs to this run
        print(f"seed {seed}: FAILED: {error!r}; see {keep(options.keep, seed, log, cluster)}", flush=True)
        return False
    print(result, flush=True)
    if result.anomalies:
        print(f"{result.details()}\nsee {keep(options.keep, seed, log, cluster)}", flush=True)
    return not result.anomalies


def main() -> int:
    """Return 0 if all runs were good."""
    options = arguments()
    first = secrets.randbelow(10**6) if options.seed is None else options.seed
    good = 0
    for number in range(options.runs):
        with managers(options.managers) as cluster:
            good += one(cluster, first + number, options)
    print(f"{good} of {options.runs} runs good")
    return 0 if good == options.runs else 1


if __name__ == "__main__":
    sys.exit(main())
