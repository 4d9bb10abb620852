"""Health checks of real containers: a task runs when it is healthy, and is replaced when it is not."""

import json
from pathlib import Path

from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

# The server has to answer, and nobody may have made the container sick.
CHECK = (
    "busybox wget -q -O /dev/null http://127.0.0.1:8080/ && busybox test ! -e /sick || "
    "{ echo so sick; false; }"
)
OFTEN = ("--health-interval", "200ms", "--health-retries", "2", "--restart-delay", "100ms")
QUICK = ("--update-monitor", "300ms", "--rollback-monitor", "300ms", "--stop-grace-period", "1s")


def test_an_unhealthy_task_is_replaced_and_an_update_to_one_rolled_back(
    operator: Operator, sight: Sight
) -> None:
    operator("service", "create", "--name", "clinic", "--health-cmd", CHECK, *OFTEN, *QUICK, "hello:1")
    (row,) = operator.wait_running("clinic", 1)
    assert row["CurrentState"].startswith("Running (healthy)")
    ((task, pid),) = sight.pids("clinic").items()
    Path(f"/proc/{pid}/root/sick").touch()
    wait_until(lambda: set(sight.pids("clinic")) - {task}, what="another task")
    (new,) = operator.wait_running("clinic", 1)
    assert new["CurrentState"].startswith("Running (healthy)")
    (failed,) = json.loads(operator("task", "inspect", task))
    assert failed["Status"]["State"] == "failed"
    assert failed["Status"]["Err"].startswith(
        'unhealthy: last probe said "so sick" (exit code 1, 2 failures'
    )
    health = failed["Status"]["ContainerStatus"]["Health"]
    assert (health["Status"], health["Log"][-1]["Output"]) == ("unhealthy", "so sick")
    assert "so sick" in operator("task", "why", task)
    sick = ("--health-cmd", "echo never; exit 3", "--update-failure-action", "rollback")
    update = operator.typed("service", "update", *sick, "clinic")
    assert update.returncode == 4, update.stdout + update.stderr
    (kept,) = operator.wait_running("clinic", 1)
    assert kept["CurrentState"].startswith("Running (healthy)")
    operator("service", "rm", "clinic")


def test_a_service_is_healthy_for_others_when_it_answers_over_its_own_network(operator: Operator) -> None:
    web = ("--health-http", ":8080/", "--health-interval", "200ms")
    operator("service", "create", "-d", "--name", "front", "--depends-on", "back:healthy", "hello:1")
    never = ("--health-tcp", "81", "--health-start-period", "10m", "--health-start-interval", "200ms")
    operator("service", "create", "-d", "--name", "back", *never, "hello:1")
    wait_until(
        lambda: any("connection refused" in row["Error"] for row in operator.rows("service", "ps", "back")),
        what="the reason why it is not healthy",
    )
    (waiting,) = operator.rows("service", "ps", "front", "--no-trunc")
    assert "for service back to be healthy" in waiting["Error"]
    operator("service", "update", *web, *QUICK, "back")
    operator.wait_running("front", 1)
    operator("service", "rm", "front", "back")
