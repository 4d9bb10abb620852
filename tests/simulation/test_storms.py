"""2,000 seeds: random clusters, services, people and faults, with every invariant checked at every commit.

What an invariant is and where it is checked: docs/simulation.md. A failure prints seed, story and how to
replay it. SWARM_SEEDS=20000 plays so many seeds, SWARM_SEED=42 only that one.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.simulation.world.many import problem_of, quiet
from tests.simulation.world.storm import play

ROOT = Path(__file__).resolve().parents[2]
SEEDS_OF_CI = 2000
CHUNK = 50  # seeds a test: enough tests for as many processes as there are cores


def chunks() -> list[range]:
    """Return which seeds each test plays."""
    if "SWARM_SEED" in os.environ:
        seed = int(os.environ["SWARM_SEED"])
        return [range(seed, seed + 1)]
    count = int(os.environ.get("SWARM_SEEDS", SEEDS_OF_CI))
    return [range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


@pytest.fixture(autouse=True)
def _restored_log() -> Iterator[None]:
    earlier = structlog.get_config()
    yield
    structlog.configure(**earlier)


@pytest.mark.parametrize("seeds", chunks(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_no_invariant_breaks_in_a_storm_and_everything_settles_after_it(seeds: range) -> None:
    problems = [problem for problem in map(problem_of, seeds) if problem]
    assert not problems, "\n\n".join(problems[:3])


def test_a_seed_gives_the_same_story_in_every_process() -> None:
    quiet()
    here = play(7)
    program = "from tests.simulation.world.storm import play; print(play(7).fingerprint)"
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, check=True, capture_output=True
        )
        assert done.stdout.decode().splitlines()[-1] == here.fingerprint
    assert here.lines > 100
    assert play(8).fingerprint != here.fingerprint


def test_storms_are_no_calm_days() -> None:
    """What the seeds do, or the silence of the invariants means nothing."""
    quiet()
    outcomes = [play(seed) for seed in range(12)]
    assert sum(outcome.judged_updates for outcome in outcomes) > 20, "updates that stop what runs"
    assert sum(outcome.terms for outcome in outcomes) > 20, "leaders"
