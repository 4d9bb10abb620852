"""Nothing acknowledged is lost, whatever happens: the real core under many schedules of faults.

SWARM_SEEDS=1000 runs so many seeds of each scenario instead of the few of every day, SWARM_SEED=42 only
that one. A failure names scenario and seed.
"""

import os
from collections.abc import Iterator

import pytest
import structlog

from swarm.errors import InvariantBroken
from tests.simulation.raft.faults import Chaos, Faults
from tests.simulation.raft.invariants import broken, unsettled
from tests.simulation.raft.simulator import Cluster, virtual_time
from tests.simulation.raft.stock import StockCluster

HEAVY = Faults(crash=0.003, cut=0.012, commands=0.9, reads=0.0, stall=0.0)

# name → members, virtual seconds, faults, seeds of every day
SCENARIOS = {
    "three members": (3, 20.0, Faults(), 10),
    "three members, changing": (3, 20.0, Faults(membership=0.01), 8),
    "five members, changing": (5, 20.0, Faults(membership=0.02), 6),
    "seven members": (7, 10.0, Faults(), 2),
    "power cuts": (3, 20.0, Faults(crash=0.002, outage=0.001), 6),
    "power goes while writing": (3, 20.0, Faults(crash=0.0, disk=0.004, membership=0.005), 8),
    "links flap": (3, 10.0, Faults(cut=0.1, heal=0.1), 4),
    "much is written": (3, 20.0, HEAVY, 2),
    "alone": (1, 5.0, Faults(crash=0.004), 4),
}


def cases() -> Iterator[tuple[str, int]]:
    single = os.environ.get("SWARM_SEED")
    for name, (_, _, _, daily) in SCENARIOS.items():
        count = int(os.environ.get("SWARM_SEEDS", daily))
        for seed in [int(single)] if single else range(count):
            yield name, seed


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Crashing members log a lot, and nobody reads it."""
    earlier = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
    yield
    structlog.configure(**earlier)


@pytest.mark.parametrize(("name", "seed"), list(cases()))
def test_nothing_acknowledged_is_lost_and_the_cluster_heals(name: str, seed: int) -> None:
    size, duration_s, faults, _ = SCENARIOS[name]
    with virtual_time(seed) as clock:
        cluster = Cluster(seed, clock, size)
        try:
            Chaos(cluster, faults).run(duration_s)
        except InvariantBroken as error:
            pytest.fail(f"{name}, seed {seed}: {error}")
        assert broken(cluster) == [], f"{name}, seed {seed}"
        assert unsettled(cluster) == [], f"{name}, seed {seed}"
        assert cluster.record.acknowledged, f"{name}, seed {seed}: does not work again"


def test_a_seed_always_gives_the_same_run() -> None:
    def run() -> tuple[object, ...]:
        with virtual_time(7) as clock:
            cluster = Cluster(7, clock, 3)
            Chaos(cluster, Faults(membership=0.01)).run(10.0, settle_s=1.0)
            record = cluster.record
            return record.acknowledged, record.leaders, record.reads, record.snapshots_installed, clock.now

    assert run() == run()


# The simulator must find what is wrong, or its silence means nothing.


def test_it_finds_what_is_wrong_with_the_library_as_it_ships() -> None:
    for seed in (2, 8, 1, 10):
        with virtual_time(seed) as clock:
            cluster = StockCluster(seed, clock, 3)
            Chaos(cluster, HEAVY).run(20.0)
            if any("applied" in violation for violation in broken(cluster)):
                return
    pytest.fail("stock pysyncobj passes: the simulator has lost its bite")


def test_it_finds_an_answer_that_leaves_before_the_disk_has_it() -> None:
    for seed in range(6):
        with virtual_time(seed) as clock:
            cluster = Cluster(seed, clock, 3, answer_first=True)
            try:
                Chaos(cluster, Faults()).run(20.0)
            except InvariantBroken:
                return  # a member noticed
            if broken(cluster):
                return
    pytest.fail("promising before writing passes: the simulator has lost its bite")
