"""Nothing acknowledged is lost, whatever happens: the real core under many schedules of faults.

A failure names scenario and seed. SWARM_SEEDS=10000 runs so many seeds of each scenario, SWARM_SEED=42
only that one.
"""

import hashlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import structlog

from tests.simulation.raft.faults import Chaos, Faults
from tests.simulation.raft.scenarios import SCENARIOS, quiet, run
from tests.simulation.raft.simulator import Cluster, virtual_time

ROOT = Path(__file__).resolve().parents[3]
SEEDS_OF_CI = 1000  # at least, over all scenarios
CHUNK = 4


def seeds(name: str) -> list[int]:
    if "SWARM_SEED" in os.environ:
        return [int(os.environ["SWARM_SEED"])]
    return list(range(int(os.environ.get("SWARM_SEEDS", SCENARIOS[name].seeds))))


@pytest.fixture(autouse=True)
def _restored_log() -> Iterator[None]:
    earlier = structlog.get_config()
    yield
    structlog.configure(**earlier)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """One a core: a seed is a run of its own."""
    # Not forked from here: other tests may have left threads behind.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


def test_ci_runs_a_thousand_seeds() -> None:
    assert sum(scenario.seeds for scenario in SCENARIOS.values()) >= SEEDS_OF_CI


@pytest.mark.timeout(0)  # as long as the seeds that somebody asked for take
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_acknowledged_is_lost_and_the_cluster_heals(
    name: str, processes: ProcessPoolExecutor
) -> None:
    failures = [text for text in processes.map(partial(run, name), seeds(name), chunksize=CHUNK) if text]
    assert not failures, "\n".join(failures[:20])


def fingerprint(seed: int) -> str:
    """Describe everything that an observer saw of a run."""
    quiet()
    with virtual_time(seed) as clock:
        cluster = Cluster(seed, clock, 3)
        Chaos(cluster, Faults(membership=0.01, jumble=0.05)).run(10.0)
        record = cluster.record
        seen = (record.acknowledged, record.leaders, record.reads, record.snapshots_installed, clock.now)
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    program = f"from {__name__} import fingerprint; print(fingerprint(7))"
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, check=True, capture_output=True
        )
        assert done.stdout.decode().strip() == fingerprint(7)
    assert fingerprint(8) != fingerprint(7)
