"""Replicas that follow their load: real containers that use the CPU, and a server that answers queries."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until

WAIT_S = 90.0
SHORT = ("--scale-down-window", "2s")


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    """A manager and a worker: how samples get to another manager is tested without containers."""
    return clusters.up(1, 1)


class FakePrometheus(BaseHTTPRequestHandler):
    """Answers `/api/v1/query` as Prometheus documents it."""

    value: str | None = "250"  # None: the query has no result
    asked = ""

    def do_GET(self) -> None:
        type(self).asked = self.path
        result = [{"metric": {}, "value": [1700000000.781, self.value]}] if self.value else []
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def prometheus(cluster: DevCluster) -> Iterator[str]:
    """A server that all nodes reach; its address."""
    with ThreadingHTTPServer((str(cluster.plan.host_address), 0), FakePrometheus) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{cluster.plan.host_address}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def burn(operator: Operator, folder: Path) -> Path:
    """Create a service that uses all the CPU it may have while the file that is returned exists."""
    busy = folder / "busy"
    busy.touch()
    script = "while :; do while [ -e /control/busy ]; do :; done; sleep 0.5; done"
    operator(
        *("service", "create", "-d", "--name", "burn", "--limit-cpu", "0.1", "--replicas-max", "2"),
        *("--scale-on", "cpu=50", "--scale-down-window", "2s", "--stop-grace-period", "1s"),
        *("--mount", f"type=bind,src={folder},dst=/control", "--entrypoint", "/bin/sh"),
        *("hello:1", "-c", script),
    )
    return busy


def queue(operator: Operator, prometheus: str) -> str:
    """Create a service that works on what the query says; return its rule."""
    rule = f'prometheus={prometheus}|sum(queue_length{{queue="a=b"}})=100'
    operator(
        *("service", "create", "-d", "--name", "queue", "--replicas-min", "0", "--replicas-max", "5"),
        *("--scale-on", rule, "--scale-down-window", "0s", "--stop-grace-period", "1s", "hello:1"),
    )
    return rule


def inspected(operator: Operator, name: str) -> dict[str, Any]:
    (found,) = json.loads(operator("service", "inspect", name))
    return dict(found)


def test_services_grow_and_shrink_with_their_load_and_say_why(
    operator: Operator, prometheus: str, tmp_path: Path
) -> None:
    operator.load_image(tmp_path)
    busy, rule = burn(operator, tmp_path), queue(operator, prometheus)
    began = inspected(operator, "burn")["Version"]["Index"]
    operator.wait_running("queue", 3, WAIT_S)
    assert FakePrometheus.asked == "/api/v1/query?query=sum%28queue_length%7Bqueue%3D%22a%3Db%22%7D%29"
    FakePrometheus.value = None
    refused = operator.typed("service", "scale", "queue=6")
    assert refused.returncode == 1
    assert "6 replicas are not between replicas-min 0 and replicas-max 5" in refused.stderr

    operator.wait_running("burn", 2, WAIT_S)
    grown = inspected(operator, "burn")
    assert grown["Spec"]["Mode"] == {"Replicated": {}}, "the spec is the user's"
    assert grown["AutoscaleStatus"]["Replicas"] == 2
    assert grown["AutoscaleStatus"]["Reason"].startswith("1 → 2: cpu is at ")
    (row,) = operator.rows("service", "ls", "--filter", "name=burn")
    assert row["Replicas"] == "2/2 (autoscaled 1-2)"
    busy.unlink()

    problem = f"{rule}: the query has no result"
    wait_until(lambda: problem in operator("service", "why", "queue"), WAIT_S, "the problem to be told")
    assert inspected(operator, "queue")["AutoscaleStatus"]["Replicas"] == 3
    FakePrometheus.value = "0"
    wait_until(lambda: not operator.running("queue"), WAIT_S, "no task of queue")
    FakePrometheus.value = "150"
    operator("service", "scale", "-d", "queue=2")
    operator("service", "update", "-d", "--scale-off", "queue")
    assert inspected(operator, "queue")["Spec"]["Mode"] == {"Replicated": {"Replicas": 2}}

    operator.wait_running("burn", 1, WAIT_S)
    ended = inspected(operator, "burn")
    assert ended["AutoscaleStatus"]["Reason"].startswith("2 → 1: cpu is at ")
    told = operator(
        *("events", "--since-version", str(began - 1), "--until-version", str(ended["Version"]["Index"])),
        *("--filter", "type=service", "--filter", "service=burn"),
    )
    assert "replicas.new=1, replicas.old=2" in told
    assert "scalereason.new=2 → 1: cpu is at" in told
