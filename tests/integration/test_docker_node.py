"""A node of a cluster whose containers Docker runs: the network, the images and the logs are still ours."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.dev import processes
from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until
from tests.integration.runtime.engines import Dockerd

pytestmark = pytest.mark.integration
WORKER = "worker-1"
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
SERVER = """B=/bin/busybox; echo up; $B mkdir -p /srv
$B hostname > /srv/index.html; exec $B httpd -f -p 8080 -h /srv"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Dockerd]:
    base = Path(tempfile.mkdtemp(prefix="swarm-test-"))
    engine = Dockerd(base, f"swarm-test-{token_hex(4)}")
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(base)


@pytest.fixture(scope="module")
def docker_cluster(engine: Dockerd, clusters: Clusters) -> Iterator[DevCluster]:
    """A manager, and a worker whose runtime is Docker."""
    with pytest.MonkeyPatch.context() as monkey:
        for name in ("daemon_command", "cleanup_command"):
            monkey.setattr(processes, name, _with_docker(getattr(processes, name), engine))
        yield clusters.up(1, 1)
        assert clusters.down() == []


def _with_docker(original, engine: Dockerd):  # type: ignore[no-untyped-def]
    def command(plan, node):  # type: ignore[no-untyped-def]
        words = original(plan, node)
        if node.name != WORKER:
            return words
        words = [word for word in words if not word.startswith("--runtime=")]
        return [*words, "--runtime=docker", f"--docker-socket={engine.socket}"]

    return command


def test_a_service_runs_in_docker_with_our_network_logs_and_commands(
    docker_cluster: DevCluster, engine: Dockerd, tmp_path: Path
) -> None:
    person = Operator(docker_cluster)
    (node,) = json.loads(person("node", "inspect", WORKER))
    runtime = node["Description"]["Runtime"]
    assert runtime["Name"] == "docker"
    assert "passed the self-test" in runtime["why"]
    assert "pause" in runtime["abilities"].split(", ")
    person.load_image(tmp_path)
    person(
        *("service", "create", "-d", "--name", "web", "--constraint", f"node.hostname=={WORKER}"),
        *("--publish", "mode=host,published=8088,target=8080", "--entrypoint", "/bin/busybox sh -c"),
        *("hello:1", SERVER),
    )
    person.wait_running("web", 1)
    (name,) = engine.containers()
    task_id = name.rpartition("-")[2]
    address = docker_cluster.node(WORKER).address
    fetch = (sys.executable, "-c", FETCH, f"http://{address}:8088/")
    wait_until(lambda: docker_cluster.run("manager-1", *fetch).returncode == 0, what="the published port")
    hostname = docker_cluster.run("manager-1", *fetch).stdout.strip()
    assert person("service", "exec", "web.1", "--", "/bin/busybox", "cat", "/etc/hostname") == hostname
    assert "up" in person("service", "logs", "web")
    docker_cluster.kill(WORKER)
    docker_cluster.start(WORKER)  # finds its container again
    assert docker_cluster.run("manager-1", *fetch).stdout.strip() == hostname
    answers = ("task", "exec", task_id, "/bin/busybox", "true")
    wait_until(lambda: person.try_(*answers).returncode == 0, what="the node's session")
    assert engine.containers() == [name]
    person("service", "rm", "web")
    wait_until(lambda: engine.containers() == [], what="the container to go")
