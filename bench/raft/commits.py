"""Commits a second and their latency: our RaftNode, pysyncobj as it comes, and etcd, one after another.

    python -m bench.raft.commits [--rounds 3] [--seconds 2]

Three processes each, on one disk; each round starts every system anew. Shown are medians of the rounds.
Ours syncs its encrypted log before it promises anything and uses mutual TLS; etcd does both, too, and is
asked by a client in Python (see etcd.py); pysyncobj does neither.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bench.raft import etcd, ours, stock
from bench.raft.load import Load, Sample

INFLIGHT = (1, 16, 256)
SIZES = (200, 2000)
OURS, JOURNAL, MEMORY, ETCD = "swarm", "pysyncobj, journal", "pysyncobj, memory", "etcd, Python client"
RATIO_MIN, P50_MS_MAX = 5.0, 3.0  # what is asked for, of 200 B

Running = Callable[[Path], AbstractContextManager[Callable[[Load], Sample]]]
Results = Mapping[tuple[str, int, int], list[Sample]]  # by system, commands under way, size


def systems() -> Mapping[str, Running]:
    """Return what can be measured here."""
    found: dict[str, Running] = {
        OURS: ours.running,
        JOURNAL: stock.running(journal=True),
        MEMORY: stock.running(journal=False),
    }
    if etcd.program():
        found[ETCD] = etcd.running
    else:
        print("etcd is not installed (Debian: etcd-server): left out", file=sys.stderr)
    return found


def measure(rounds: int, seconds: float, where: Path) -> Results:
    """Return all samples."""
    results: dict[tuple[str, int, int], list[Sample]] = {}
    for number, (name, running) in itertools.product(range(1, rounds + 1), systems().items()):
        with (
            tempfile.TemporaryDirectory(prefix="raft-bench-", dir=where) as folder,
            running(Path(folder)) as put_load,
        ):
            for inflight, size in itertools.product(INFLIGHT, SIZES):
                sample = put_load(Load(inflight, size, seconds))
                results.setdefault((name, inflight, size), []).append(sample)
        print(f"round {number} of {rounds}: {name} done", file=sys.stderr, flush=True)
    return results


def median(samples: Sequence[Sample]) -> Sample:
    """Return the medians of each figure."""
    return Sample(
        *(
            statistics.median(getattr(sample, name) for sample in samples)
            for name in ("per_second", "p50_ms", "p99_ms")
        )
    )


def report(results: Results) -> bool:
    """Print the table and what is asked for; tell whether it is reached."""
    print(
        f"{'under way':>9} {'bytes':>5}  {'system':<20} {'commits/s':>9} {'p50 ms':>8} {'p99 ms':>8} "
        f"{'swarm is':>9}"
    )
    medians = {key: median(samples) for key, samples in results.items()}
    for (name, inflight, size), sample in sorted(medians.items(), key=lambda item: item[0][1:]):
        times = medians[OURS, inflight, size].per_second / sample.per_second
        ratio = "" if name == OURS else f"{times:.1f}x"
        print(
            f"{inflight:>9} {size:>5}  {name:<20} {sample.per_second:>9.0f} {sample.p50_ms:>8.2f} "
            f"{sample.p99_ms:>8.2f} {ratio:>9}"
        )
    times = medians[OURS, 256, 200].per_second / medians[JOURNAL, 256, 200].per_second
    p50_ms = medians[OURS, 1, 200].p50_ms
    print(
        f"\n256 under way, 200 B: {times:.1f} times pysyncobj with its journal (asked for: ≥ {RATIO_MIN:g})"
    )
    print(f"1 under way, 200 B: p50 {p50_ms:.2f} ms (asked for: ≤ {P50_MS_MAX:g})")
    return times >= RATIO_MIN and p50_ms <= P50_MS_MAX


def main() -> int:
    """Return 0 if what is asked for is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="each load is measured (2)")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to be used")
    options = parser.parse_args()
    return 0 if report(measure(options.rounds, options.seconds, options.folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
