"""All managers lose their power at one moment: what was acknowledged is there afterwards."""

import os
import random
import subprocess

import pytest

from tests.integration.chaos.disks import bad_disks, disks
from tests.integration.chaos.power_cut import power_cuts
from tests.integration.conftest import UP_TIMEOUT_S, Clusters

pytestmark = pytest.mark.integration


async def test_no_acknowledged_write_is_lost_when_all_managers_lose_their_power(clusters: Clusters) -> None:
    cluster = clusters.plan(3, 0)
    with disks(cluster.plan) as made:
        try:
            cluster.up(timeout_s=UP_TIMEOUT_S)
            cuts = [cut async for cut in power_cuts(cluster, made, 3000, 2, random.Random(1))]
        finally:
            clusters.down()
    assert len(cuts) == 2
    assert sum(cut.acknowledged for cut in cuts) >= 3000
    assert [cut.lost for cut in cuts] == [0, 0]
    assert [cut.invented for cut in cuts] == [0, 0]


def test_a_cut_takes_back_what_came_after_it_whoever_else_still_has_the_disk(clusters: Clusters) -> None:
    plan = clusters.plan(1, 0).plan
    (node,) = plan.nodes
    with disks(plan) as made:
        said = node.state_dir / "said"
        for words in ("before", "between"):
            said.write_text(words)
            os.sync()
            made.cut()
            said.write_text("after")
            os.sync()
            with subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", "echo; exec sleep 100"], stdout=-1
            ) as holder:
                assert holder.stdout is not None
                holder.stdout.readline()  # it has a mount namespace now
                try:
                    made.restore()
                    assert said.read_text() == words
                finally:
                    holder.kill()


@pytest.mark.alone  # where others write much, the kernel writes back at once what nobody synced
async def test_a_cut_does_lose_what_was_not_synced(clusters: Clusters) -> None:
    """The experiment works: without syncing, acknowledged writes are gone."""
    cluster = clusters.plan(3, 0)
    with bad_disks() as bad, disks(cluster.plan) as made:
        try:
            cluster.up(timeout_s=UP_TIMEOUT_S)
            for node in cluster.plan.nodes:
                bad.order(node, "skip")
            lost = 0
            async for cut in power_cuts(cluster, made, 1500, 3, random.Random(1)):
                lost += cut.lost
                if lost:  # the kernel may have written all of it back by itself, of a short round
                    break
        finally:
            clusters.down()
    assert lost > 0
