"""Stacks from Compose files, on real nodes."""

import json
from pathlib import Path

from tests.integration.operator import Operator

FILE = """
name: shop
services:
  web:
    image: hello:1
    environment: {GREETING: "${GREETING:-hello}"}
    depends_on:
      setup: {condition: service_completed_successfully}
    deploy: {replicas: 2}
    secrets: [key]
    configs: [{source: greeting, target: /etc/greeting}]
  setup:
    image: hello:1
    entrypoint: [/bin/sh]
    command: [-c, "exit 0"]
    deploy: {mode: replicated-job}
  extra:
    image: hello:1
secrets:
  key: {file: key.txt}
configs:
  greeting: {content: "for ${GREETING:-hello}"}
"""


def services(operator: Operator) -> dict[str, int]:
    """Return the revision of every service of the stack."""
    listed = operator("stack", "services", "shop", "--format", "{{.Name}}").split()
    return {name: json.loads(operator("service", "inspect", name))[0]["Version"]["Index"] for name in listed}


def data(operator: Operator, kind: str) -> list[str]:
    """Return the names of the secrets or configs of the stack."""
    mine = ("--filter", "label=com.docker.stack.namespace=shop")
    return sorted(operator(kind, "ls", *mine, "--format", "{{.Name}}").split())


def test_a_stack_is_deployed_changed_pruned_and_removed(operator: Operator, tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(FILE)
    (tmp_path / "key.txt").write_text("first")
    deploy = ("stack", "deploy", "-c", str(path))
    plan = operator(*deploy, "--dry-run")
    assert "shop_web: 2 start" in plan
    assert operator("stack", "ls", "--format", "{{.Name}}").strip() == ""

    told = operator(*deploy).splitlines()
    assert told[:2] == ["Creating network shop_default", "Creating secret shop_key"]
    assert told[2] == "Creating config shop_greeting"
    assert told[3].startswith("Creating service shop_web (id: ")
    assert operator("stack", "ls", "--format", "{{.Name}} {{.Services}}").strip() == "shop 3"
    states = operator("stack", "ps", "shop", "--format", "{{.Name}} {{.CurrentState}}").splitlines()
    assert sorted(line.split(" ")[0:2] for line in states) == [
        ["shop_extra.1", "Running"],
        ["shop_setup.1", "Complete"],
        ["shop_web.1", "Running"],
        ["shop_web.2", "Running"],
    ]

    before = services(operator)
    operator(*deploy)
    assert services(operator) == before

    path.write_text(FILE[: FILE.index("  extra:")] + FILE[FILE.index("secrets:\n  key: {") :])
    (tmp_path / "key.txt").write_text("second")
    (tmp_path / ".env").write_text("GREETING=hi\n")
    operator(*deploy, "--prune")
    (shown,) = json.loads(operator("service", "inspect", "shop_web"))
    assert "GREETING=hi" in json.dumps(shown)
    assert set(services(operator)) == {"shop_web", "shop_setup"}
    assert data(operator, "secret") == ["shop_key"]
    versions = operator("secret", "history", "shop_key", "--format", "{{.Version}} {{.UsedBy}}")
    assert versions.splitlines() == ["2 shop_web", "1 ~shop_web"]
    (task,) = [row for row in operator.running("shop_web") if row["Name"] == "shop_web.1"]
    (spec,) = json.loads(operator("task", "inspect", task["ID"]))
    (secret,) = spec["Spec"]["ContainerSpec"]["Secrets"]
    (newest,) = json.loads(operator("secret", "inspect", "shop_key"))
    assert (secret["SecretName"], secret["SecretID"], newest["Number"]) == ("shop_key", newest["ID"], 2)

    path.write_text(FILE.replace("replicas: 2", "replicas: two"))
    refused = operator.typed(*deploy)
    assert refused.returncode == 1
    assert f'{path}:9:24: "two" is no whole number' in refused.stderr

    removed = operator("stack", "rm", "shop").splitlines()
    assert {"Removing service shop_web", "Removing secret shop_key"} <= set(removed)
    gone = operator.typed("stack", "ps", "shop")
    assert gone.returncode == 1
    assert "there is no stack shop" in gone.stderr
    assert data(operator, "secret") + data(operator, "config") == []
