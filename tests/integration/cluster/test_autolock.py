"""Every manager of a cluster restarts locked; people unlock them, and containers never notice."""

import json
import shlex

from swarm.dev.cluster import DevCluster
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import SWARMCTL, Operator, wait_until

PATIENCE_S = 90.0


def test_all_managers_are_killed_and_unlocked_and_no_container_is_touched(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    # Whoever is not unlocked at once must not be taken for dead meanwhile.
    told = operator("update", "--autolock=true", "--dispatcher-heartbeat", "30s")
    key = operator("unlock-key", "-q")
    assert key in told
    managers = [node.name for node in cluster.plan.nodes if node.is_manager]
    wait_until(lambda: all(is_sealed(cluster, name) for name in managers), PATIENCE_S, "sealed key files")
    operator("service", "create", "-d", "--name", "everywhere", "--mode", "global", "hello:1")
    operator.wait_running("everywhere", 5, PATIENCE_S)
    before = sight.pids("everywhere")
    for name in managers:
        cluster.kill(name)
    for name in managers:
        cluster.start(name)
        refused = operator.on(name).try_("node", "ls")
        assert (refused.returncode, "swarmctl unlock" in refused.stderr) == (1, True)
        assert operator.on(name)("info", "--format", "{{.State}}") == "locked"
    assert sight.alive(list(before.values()))
    for name in managers:
        assert unlock(cluster, name, "SWMKEY-1-none") == 1
        assert unlock(cluster, name, key) == 0
    wait_until(
        lambda: (
            operator.try_("service", "update", "-d", "--label-add", "seen=yes", "everywhere").returncode == 0
        ),
        PATIENCE_S,
        "a write",
    )
    wait_until(lambda: sight.pids("everywhere") == before, PATIENCE_S, "all containers as before")
    assert sight.alive(list(before.values()))


def is_sealed(cluster: DevCluster, name: str) -> bool:
    return "sealed" in json.loads((cluster.node(name).state_dir / "raft.keys").read_bytes())


def unlock(cluster: DevCluster, name: str, key: str) -> int:
    """Pipe a key into swarmctl unlock; return its exit code."""
    command = f"echo {shlex.quote(key)} | {shlex.join(SWARMCTL)} unlock"
    return cluster.run(name, "sh", "-c", command).returncode
