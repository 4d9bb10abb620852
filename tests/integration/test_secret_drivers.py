"""A secret that Vault keeps: into a container and nowhere else, also while Vault is down and leaders die."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.network import namespaces
from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import ROOT, Operator, wait_until
from tests.integration.test_secrets import Hidden
from tests.vault_server import EMPTY, State

pytestmark = pytest.mark.integration

PATIENCE_S = 120.0
PORT = 8200
NODE = "worker-1"
SERVE = ("service", "create", "-d", "--constraint", "node.role==worker", "--stop-grace-period", "1s")


@pytest.fixture(scope="module")
def three(clusters: Clusters) -> DevCluster:
    return clusters.up(3, 1)


@pytest.fixture(scope="module")
def person(three: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    operator = Operator(three)
    operator("update", "--dispatcher-heartbeat", "60s")  # a node that starts again is not taken for dead
    operator.load_image(tmp_path_factory.mktemp("image"))
    return operator


@pytest.fixture
def vault(three: DevCluster, tmp_path: Path) -> Iterator[State]:
    """A Vault on the worker that knows one token."""
    state = State(tmp_path / "vault.json")
    state.write(EMPTY | {"tokens": {"t0ken": ["secret/data/apps/"]}})
    address = str(three.node(NODE).address)
    with namespaces.entered(three.plan.namespace(three.node(NODE))):
        running = subprocess.Popen(
            [sys.executable, ROOT / "tests/vault_server.py", address, str(PORT), state.path]
        )
    try:
        yield state
    finally:
        running.kill()
        running.wait()


def told(person: Operator, service: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until a task of the service is as it should be; return it."""

    def found() -> dict[str, Any] | None:
        done = person.try_("service", "ps", "--no-trunc", "--format", "json", service)
        rows = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
        return next((row for row in rows if is_so(row)), None)

    return wait_until(found, PATIENCE_S, f"a task of {service}")


def read(person: Operator, service: str) -> bytes:
    """What the one container of a service has."""

    def content() -> bytes | None:
        tasks = person.try_("service", "ps", "-q", "--filter", "desired-state=running", service)
        shown = person.try_("task", "inspect", *tasks.stdout.split())
        for task in json.loads(shown.stdout) if shown.returncode == 0 else []:
            pid = int(task["Status"].get("ContainerStatus", {}).get("PID") or 0)
            path = Path(f"/proc/{pid}/root/run/secrets/key")
            if pid > 1 and task["Status"]["State"] == "running" and path.exists():
                return path.read_bytes()
        return None

    return wait_until(content, PATIENCE_S, f"a container of {service}")


def leader(person: Operator) -> str:
    def found() -> str | None:
        done = person.try_("node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}")
        lines = [line.split() for line in done.stdout.splitlines() if line.endswith(" Leader")]
        return lines[0][0] if done.returncode == 0 and lines else None

    return wait_until(found, PATIENCE_S, "a leader")


def test_a_task_waits_for_a_sealed_vault_whoever_leads_and_follows_when_the_secret_changes(
    person: Operator, three: DevCluster, vault: State, tmp_path: Path
) -> None:
    first, second = Hidden(tmp_path, "first"), Hidden(tmp_path, "second")
    vault.change(sealed=True, kv2={"secret/apps/web": [{"password": first.data.decode()}]})
    (tmp_path / "token").write_text("t0ken\n")
    address = f"http://{three.node(NODE).address}:{PORT}"
    person("secret", "create", "vault-token", str(tmp_path / "token"))
    person(
        "secret", "create", "-d", "vault", "--driver-opt", f"address={address}",
        "--driver-opt", "path=apps/{{.Service.Name}}", "--driver-opt", "token-secret=vault-token", "key",
    )  # fmt: skip
    person(*SERVE, "--name", "web", "--secret", "key", "--entrypoint", "sleep", "hello:1", "100000")
    waits = told(person, "web", lambda row: "Vault is sealed" in row["Error"])
    assert "secret key: Vault is not ready (Vault is sealed)" in waits["Error"]
    assert waits["DesiredState"] == "Running"
    gone = leader(person)
    three.kill(gone)
    vault.change(sealed=False)
    assert read(person, "web") == first.data
    three.start(gone)
    # It was one task all the time, and no manager has written down what it was given.
    assert told(person, "web", lambda row: True)["ID"] == waits["ID"]
    places = [three.plan.node(one.name) for one in three.plan.nodes]
    assert first.found_in(*(one.state_dir for one in places)) == []
    assert {path.name for one in places for path in first.found_in(one.run)} == {"key"}
    # Vault has something else now: a rotation reads it.
    vault.change(kv2={"secret/apps/web": [{"password": second.data.decode()}]})
    wait_until(
        lambda: person.try_("secret", "rotate", "key", timeout_s=PATIENCE_S).returncode == 0,
        PATIENCE_S,
        "the rotation",
    )
    assert read(person, "web") == second.data
    refused = person.try_("secret", "rm", "vault-token")
    assert "is what the driver of secret key is asked with" in refused.stderr
    # What Vault refuses for good ends the task, and says why.
    person(*SERVE, "--name", "other", "--secret", "key", "--restart-condition", "none", "hello:1")
    rejected = told(person, "other", lambda row: row["CurrentState"].startswith("Rejected"))
    assert 'Vault has nothing for the path "apps/other"' in rejected["Error"]
