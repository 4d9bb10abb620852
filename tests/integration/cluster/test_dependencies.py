"""Services that depend on others, on real nodes."""

import json

from tests.integration.operator import Operator, wait_until

SHELL = ("--entrypoint", "/bin/sh")


def test_services_start_one_after_the_other_and_say_what_they_wait_for(operator: Operator) -> None:
    create = ("service", "create", "-d")
    web = operator.typed(*create, "--name", "dep-web", "--depends-on", "dep-db:healthy", "hello:1")
    assert web.returncode == 0
    assert "service dep-db does not exist yet" in web.stderr
    waits = "it waits for service dep-db to be healthy (there is no such service yet)"
    wait_until(lambda: waits in operator("service", "why", "dep-web"), what="the reason")
    db = ("--name", "dep-db", "--depends-on", "dep-setup:completed", "hello:1")
    operator(*create, *db)
    wait_until(lambda: "0 of 1 tasks run" in operator("task", "why", "dep-web.1"), what="the reason")
    wait_until(
        lambda: "--depends-on-rm" in operator.typed("task", "why", "dep-db.1").stdout, what="its reason"
    )
    cycle = operator.typed(*create, "--name", "dep-setup", "--depends-on", "dep-web", "hello:1")
    assert cycle.returncode == 1
    assert "dep-setup → dep-web → dep-db → dep-setup is a cycle" in cycle.stderr
    setup = ("--name", "dep-setup", "--mode", "replicated-job", *SHELL, "hello:1", "-c", "exit 0")
    operator(*create, *setup)
    operator.wait_running("dep-web", 1, 60)
    for name in ("dep-setup", "dep-db", "dep-web"):
        (task,) = json.loads(operator("task", "inspect", f"{name}.1"))
        assert task["Status"]["State"] == ("complete" if name == "dep-setup" else "running")
    (shown,) = json.loads(operator("service", "inspect", "dep-web"))
    assert shown["Spec"]["DependsOn"] == [{"Service": "dep-db", "Condition": "healthy"}]
    operator("service", "rm", "dep-web", "dep-db", "dep-setup")
