"""The simulator must find what is wrong, or its silence means nothing."""

import logging
from collections.abc import Iterator, Sequence

import pytest
import structlog

from tests.simulation.raft.faults import Chaos
from tests.simulation.raft.invariants import broken
from tests.simulation.raft.member import Reorder, Step
from tests.simulation.raft.scenarios import SCENARIOS, quiet, run
from tests.simulation.raft.simulator import virtual_time
from tests.simulation.raft.stock import StockCluster

SEEDS_STOCK = 20
SEEDS_REORDERED = 12


@pytest.fixture(autouse=True)
def _restored_log() -> Iterator[None]:
    earlier = structlog.get_config()
    logging.disable(logging.CRITICAL)  # the library complains about itself
    yield
    logging.disable(logging.NOTSET)
    structlog.configure(**earlier)


def test_it_finds_that_the_library_as_it_ships_loses_what_it_acknowledged() -> None:
    quiet()
    scenario = SCENARIOS["much is written"]
    for seed in range(SEEDS_STOCK):
        with virtual_time(seed) as clock:
            cluster = StockCluster(seed, clock, scenario.size)
            Chaos(cluster, scenario.faults).run(scenario.duration_s)
            if broken(cluster):
                return
    pytest.fail("stock pysyncobj passes: the simulator has lost its bite")


def messages_first(steps: Sequence[Step], sync: Step) -> Sequence[Step]:
    """Swap the fsync with the step behind it, which lets replies and votes go."""
    swapped = list(steps)
    at = swapped.index(sync)
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    return swapped


def never_synced(steps: Sequence[Step], sync: Step) -> Sequence[Step]:
    return [one for one in steps if one != sync]


@pytest.mark.parametrize("wrong_order", [messages_first, never_synced])
def test_it_finds_that_something_is_promised_before_the_disk_has_it(wrong_order: Reorder) -> None:
    if not any(run("power goes after a promise", seed, wrong_order) for seed in range(SEEDS_REORDERED)):
        pytest.fail("promising before writing passes: the simulator has lost its bite")
