"""Pages of services and nodes: Docker's words where it has them, and nothing of the spec is missing."""

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.cli import service as commands
from swarm.cli.pretty import pretty_service
from swarm.cli.render import show


def page(*words: str) -> str:
    given = commands.create.make_context("create", ["--name", "web", *words]).params
    found = Service(id="s1")
    found.spec.CopyFrom(commands.new_spec(given.pop("image"), given.pop("args"), given))
    found.update_status.state = UpdateStatus.STATE_PAUSED
    found.update_status.message = "too many failures"
    return "\n" + pretty_service(found) + "\n"


def test_a_service_is_told_in_the_words_of_docker() -> None:
    told = page(
        *("-l", "tier=web", "--replicas", "2", "--constraint", "node.role==worker"),
        *("--placement-pref", "spread=node.labels.zone", "--replicas-max-per-node", "3"),
        *("--update-delay", "10s", "--update-failure-action", "rollback", "--rollback-order", "start-first"),
        *("--cap-add", "NET_ADMIN", "--ulimit", "nofile=5:6", "--sysctl", "net.core.somaxconn=5"),
        *("--limit-cpu", "0.5", "--limit-memory", "64m", "--limit-pids", "9", "--reserve-memory", "32m"),
        *("--log-opt", "max-size=10m", "--health-cmd", "true", "--health-interval", "5s"),
        *("-p", "8080:80", "--priority", "3", "-e", "A=1", "web:1", "serve"),
    )
    for part in (
        "Labels:\n tier=web\nService Mode: Replicated\n Replicas: 2\n",
        "UpdateStatus:\n State: paused\n",
        " Constraints: node.role==worker\n Preferences: spread=node.labels.zone\n",
        " Max Replicas Per Node: 3\n",
        "UpdateConfig:\n Parallelism: 1\n Delay: 10s\n On failure: rollback\n Monitoring Period: 5s\n",
        " Max failure ratio: 0\n Rollback order: start-first\n",
        "ContainerSpec:\n Image: web:1\n Args: serve\n Env: A=1\n",
        "Capabilities:\n Add: CAP_NET_ADMIN\n",
        "SysCtls:\n net.core.somaxconn: 5\nUlimits:\n nofile: 5:6\n",
        "Healthcheck:\n Test: CMD-SHELL true\n Interval: 5s\n",
        "Log Driver:\n Name: json-file\n LogOpts:\n  max-size: 10m\n",
        "Reservations:\n  Memory: 32MiB\n Limits:\n  CPU: 0.5\n  Memory: 64MiB\n  PIDs: 9\n",
        "Endpoint Mode: vip\nPorts:\n PublishedPort = 8080\n  Protocol = tcp\n  TargetPort = 80\n",
        "\nPriority: 3\n",
    ):
        assert part in told, part


def test_what_nobody_said_takes_no_lines() -> None:
    told = page("web:1")
    for word in (
        "Placement:",
        "Resources:",
        "Labels:",
        "Ports:",
        "Healthcheck:",
        "ForceUpdate",
        "Log Driver",
    ):
        assert f"\n{word}" not in told


def test_titles_of_what_is_no_column_are_told_word_by_word(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"Name": "a", "TLSStatus": "Ready", "ManagerStatus": "Leader"}
    show([row], (("NAME", "Name"),), "table {{.Name}}\t{{.TLSStatus}}\t{{.ManagerStatus}}")
    assert capsys.readouterr().out.splitlines()[0].split("   ") == ["NAME", "TLS STATUS", "MANAGER STATUS"]
