"""As many storms as somebody has time for, or one of them again."""

import argparse
import os
import sys
import time

from tests.simulation.world.many import play_all, quiet
from tests.simulation.world.storm import play
from tests.simulation.world.story import Broken


def main() -> int:
    """Play seeds on all cores; exit code 1 when an invariant broke."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description=__doc__,
        epilog="examples: --seeds 20000 | --seeds 5000 --first 2000 | --seed 42 --trace",
    )
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return play_one(arguments.seed, trace=arguments.trace)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    began_s, broken = time.monotonic(), 0
    for problem in play_all(seeds, arguments.jobs):
        broken += 1
        print(problem, "", sep="\n", flush=True)
    took_s = time.monotonic() - began_s
    print(f"{len(seeds)} seeds in {took_s:.1f} s, {broken} broken")
    return 1 if broken else 0


def play_one(seed: int, *, trace: bool) -> int:
    """Play one seed and tell what came of it."""
    quiet()
    try:
        outcome = play(seed, tell=print if trace else None)
    except Broken as error:
        print(error)
        return 1
    print(f"seed {seed}: all is well after {outcome.lines} changes; fingerprint {outcome.fingerprint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
