"""Jobs, cron jobs, crash loops and drains on real nodes."""

import json

from tests.integration.operator import Operator, wait_until

SHELL = ("--entrypoint", "/bin/sh")


def listed(operator: Operator, name: str) -> dict[str, str]:
    (row,) = operator.rows("service", "ls", "--filter", f"name={name}")
    return row


def test_a_job_is_waited_for_and_says_truthfully_how_it_ended(operator: Operator) -> None:
    job = ("service", "create", "--mode", "replicated-job", *SHELL)
    operator(*job, "--name", "fill", "--replicas", "4", "--max-concurrent", "2", "hello:1", "-c", "exit 0")
    assert listed(operator, "fill")["Replicas"] == "0/2 (4/4 completed)"
    assert listed(operator, "fill")["Mode"] == "replicated job"
    tasks = operator.rows("service", "ps", "fill")
    assert sorted(row["Name"] for row in tasks) == [f"fill.{slot}" for slot in (1, 2, 3, 4)]
    assert {row["DesiredState"] for row in tasks} == {"Complete"}
    operator("service", "update", "--force", "fill")
    again = operator.rows("service", "ps", "fill")
    assert not {row["ID"] for row in tasks} & {row["ID"] for row in again}
    assert listed(operator, "fill")["Replicas"] == "0/2 (4/4 completed)"
    attempts = ("--name", "broken", "--restart-max-attempts", "1", "--restart-delay", "100ms")
    failed = operator.typed(*job, *attempts, "hello:1", "-c", "exit 7")
    assert failed.returncode == 1
    assert "0 of 1 tasks completed" in failed.stderr
    assert len(operator.rows("service", "ps", "broken")) == 2
    refused = operator.typed(*job, "--name", "no", "--update-delay", "1s", "hello:1")
    assert refused.returncode == 1
    assert "no update or rollback config" in refused.stderr
    operator("service", "rm", "fill", "broken")


def test_a_global_job_and_a_cron_job_run_and_show_when(operator: Operator) -> None:
    everywhere = ("--name", "sweep", "--mode", "global-job", *SHELL, "hello:1", "-c", "exit 0")
    operator("service", "create", *everywhere)
    assert listed(operator, "sweep")["Replicas"] == "0/0 (5/5 completed)"
    cron = ("--name", "nightly", "--mode", "cron", "--schedule", "30 2 * * *", "--timezone", "Europe/Berlin")
    operator("service", "create", *cron, *SHELL, "hello:1", "-c", "exit 0")
    assert wait_until(lambda: listed(operator, "nightly")["NextRun"]).split()[1] == "02:30"
    assert listed(operator, "nightly")["LastRun"] == ""
    operator("service", "update", "--force", "nightly")
    wait_until(lambda: "(1/1 completed)" in listed(operator, "nightly")["Replicas"], what="the forced run")
    (shown,) = json.loads(operator("service", "inspect", "nightly"))
    assert shown["JobStatus"]["JobIteration"] == {"Index": 0}
    assert shown["JobStatus"]["LastRun"] < shown["JobStatus"]["NextRun"]
    operator("service", "rm", "sweep", "nightly")


def test_a_crash_loop_says_how_long_it_waits_and_why(operator: Operator) -> None:
    crash = ("--name", "crash", "--restart-delay", "1s", *SHELL, "hello:1", "-c", "exit 3")
    operator("service", "create", "-d", *crash)

    def reason() -> str:
        rows = operator.rows("service", "ps", "crash", "--no-trunc", "--filter", "desired-state=running")
        return next((row["Error"] for row in rows if "crashes in a row" in row["Error"]), "")

    assert "restart delay until" in wait_until(reason, 60, "a crash loop that is explained")
    operator("service", "rm", "crash")


def test_a_drained_node_is_empty_when_the_command_returns_and_nothing_is_missing(operator: Operator) -> None:
    operator("service", "create", "-d", "--name", "move", "--replicas", "5", "hello:1")
    before = {row["ID"] for row in operator.wait_running("move", 5) if row["Node"] == "worker-1"}
    assert before
    operator("node", "drain", "--wait", "worker-1")
    rows = operator.running("move")
    assert len(rows) == 5
    assert "worker-1" not in {row["Node"] for row in rows}
    operator("node", "update", "--availability", "active", "worker-1")
    full = ("--name", "stuck", "--constraint", "node.hostname==worker-2", "hello:1")
    operator("service", "create", "-d", *full)
    operator.wait_running("stuck", 1)
    done = operator.typed("node", "drain", "--wait", "--timeout", "2s", "worker-2")
    assert done.returncode == 1
    assert "stuck.1" in done.stderr
    wait_until(lambda: operator.running("stuck") == [], what="its end, for which the command had no time")
    operator("node", "update", "--availability", "active", "worker-2")
    operator.wait_running("stuck", 1)
    operator("service", "rm", "move", "stuck")
