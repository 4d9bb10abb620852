"""A short run of what `python -m tests.integration.chaos` makes long ones of."""

import random
from pathlib import Path

import pytest

from tests.integration.chaos.clients import Log
from tests.integration.chaos.run import LEAST_FAULTS, LEAST_WRITES, run
from tests.integration.conftest import Clusters
from tests.linearizability.history import save

pytestmark = pytest.mark.integration

SECONDS = 40.0


async def test_clients_see_one_register_each_whatever_happens_to_the_managers(
    clusters: Clusters, tmp_path: Path
) -> None:
    cluster = clusters.up(3, 0)
    seed, log = random.randrange(10**6), Log()
    try:
        result = await run(cluster, seed, SECONDS, log=log)
    finally:
        print(f"seed {seed}, history in {tmp_path}/history")
        save(log.history, tmp_path / "history")
    print(result)
    assert not result.anomalies, result.details()
    assert result.writes >= LEAST_WRITES
    assert len(result.faults) >= LEAST_FAULTS
