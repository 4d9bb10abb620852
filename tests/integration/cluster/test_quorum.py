"""Too few managers, and leaders that die again and again."""

import threading
import time

from swarm.dev.cluster import DevCluster
from swarm.errors import SwarmError
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

SERVICES = 100
KILL_EVERY_S = 3.0
SERVED = 4  # so many services a leader has taken on before it dies: on a slow machine none would otherwise


def test_without_quorum_writes_fail_quickly_and_say_why(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("service", "create", "-d", "--name", "calm", "--replicas", "4", "hello:1")
    operator.wait_running("calm", 4)
    pids = list(sight.pids("calm").values())
    # However long a busy machine takes until they are started again: nobody is to replace their tasks.
    operator("update", "--dispatcher-heartbeat", "60s")
    cluster.kill("manager-2")
    cluster.kill("manager-3")
    alone = operator.on("manager-1")
    started = time.monotonic()
    refused = alone.try_("service", "create", "-d", "--name", "no", "hello:1")
    took_s = time.monotonic() - started
    assert refused.returncode != 0
    assert took_s < 30  # five seconds, the start of swarmctl, and what a busy machine adds
    assert "manager" in refused.stderr
    assert "2" in refused.stderr
    assert sight.alive(pids)
    listed = alone.try_("service", "ls", "--format", "{{.Name}}")
    assert listed.returncode == 0
    assert "calm" in listed.stdout.split()
    assert "no" not in listed.stdout.split()
    assert "no leader" in listed.stderr
    cluster.start("manager-2")
    alone.create_in_turmoil("yes")
    cluster.start("manager-3")
    operator.wait_running("yes", 1)
    assert sight.alive(pids)
    operator("update", "--dispatcher-heartbeat", "2.5s")
    operator("service", "rm", "calm", "yes")


def test_no_acknowledged_service_is_lost_or_doubled_while_leaders_die(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    over = threading.Event()
    acknowledged: list[str] = []

    def kill_leaders() -> None:
        served = 0
        while not over.wait(KILL_EVERY_S):
            if len(acknowledged) < served + SERVED:
                continue
            served = len(acknowledged)
            try:
                leader = sight.leader()
                cluster.kill(leader.name)
                over.wait(0.5)
                cluster.start(leader.name)
            except SwarmError:
                continue

    killer = threading.Thread(target=kill_leaders, name="killer")
    killer.start()
    try:
        for number in range(SERVICES):
            acknowledged.append(_create(operator, f"s{number}"))  # noqa: PERF401 -- counted meanwhile
    finally:
        over.set()
        killer.join()
    for node in cluster.plan.nodes[:3]:
        wait_until(
            lambda node=node: operator.on(node.name).try_("node", "ls").returncode == 0,
            what=f"{node.name} to answer",
        )
    rows = operator.rows("service", "ls")
    names = [row["Name"] for row in rows]
    assert sorted(names) == sorted(f"s{number}" for number in range(SERVICES))
    known = {row["Name"]: row["ID"] for row in rows}
    for number, service_id in enumerate(acknowledged):
        if service_id:
            assert service_id.startswith(known[f"s{number}"])
    assert sum(1 for service_id in acknowledged if service_id) > SERVICES // 2


def _create(operator: Operator, name: str) -> str:
    """Create a service, again and again until it is there; return the id acknowledged, if any was."""
    while True:
        done = operator.try_("service", "create", "-d", "--replicas", "0", "--name", name, "hello:1")
        if done.returncode == 0:
            return done.stdout.strip()
        if "already" in done.stderr or "in use" in done.stderr or "taken" in done.stderr:
            return ""  # an earlier try was committed, although its answer was lost
