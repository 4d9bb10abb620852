"""A node of a cluster whose containers Docker runs: the network, the images and the logs are still ours."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.dev import processes
from swarm.dev.cluster import DevCluster
from tests.integration.cgroups import cgroup_name
from tests.integration.conftest import Clusters
from tests.integration.containers.conftest import command
from tests.integration.operator import ROOT, Operator, wait_until
from tests.integration.runtime.engines import Dockerd

pytestmark = pytest.mark.integration
WORKER = "worker-1"
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=60).read().decode())"
SERVER = """B=/bin/busybox; echo up; $B mkdir -p /srv
$B hostname > /srv/index.html; exec $B httpd -f -p 8080 -h /srv"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Dockerd]:
    base = Path(tempfile.mkdtemp(prefix="swarm-test-"))
    engine = Dockerd(base, cgroup_name())
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
    assert runtime["ignored"] == "none"
    assert not {"pause", "network", "memory"} & set(runtime["refused"].split(", "))
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
    wait_until(lambda: "up" in person("service", "logs", "web"), what="its first word")
    person("update", "--dispatcher-heartbeat", "60s")  # nobody takes it for dead meanwhile
    docker_cluster.kill(WORKER)
    docker_cluster.start(WORKER)  # finds its container again
    assert docker_cluster.run("manager-1", *fetch).stdout.strip() == hostname
    answers = ("task", "exec", task_id, "/bin/busybox", "true")
    wait_until(lambda: person.try_(*answers).returncode == 0, what="the node's session")
    assert engine.containers() == [name]
    person("service", "rm", "web")
    wait_until(lambda: engine.containers() == [], what="the container to go")


def test_a_container_of_no_service_runs_again_in_docker_and_can_be_typed_at(
    docker_cluster: DevCluster, engine: Dockerd, tmp_path: Path
) -> None:
    person = Operator(docker_cluster)
    person.load_image(tmp_path)
    run = ("run", "-q", "--node", WORKER, "--entrypoint", "/bin/busybox")
    script = "B=/bin/busybox; echo run >> /kept; until [ -e /end ]; do $B sleep 0.2; done; $B rm /end"
    person(
        *(*run, "-d", "--name", "db", "--restart", "always", "-p", "8098:80"),
        *("--security-opt", "label=type:web_t", "hello:1", "sh", "-c", script),
    )
    before = engine.containers()

    def has_run(times: int) -> None:
        kept = ("container", "exec", "db", "/bin/busybox", "cat", "/kept")
        wait_until(lambda: person.try_(*kept).stdout.split() == ["run"] * times, what=f"run {times}")

    has_run(1)
    person("container", "restart", "-t", "0", "db")
    has_run(2)
    person("container", "exec", "db", "/bin/busybox", "touch", "/end")  # and its policy starts it again
    has_run(3)
    assert engine.containers() == before
    person("container", "rm", "-f", "db")
    arguments = command(docker_cluster, *run, "-i", "--rm", "hello:1", "wc", "-c", at="manager-1")
    counted = subprocess.run(
        arguments, input=b"x" * 100_000, capture_output=True, timeout=200, check=False, cwd=ROOT
    )
    assert (counted.returncode, counted.stdout.strip()) == (0, b"100000"), counted.stderr
    wait_until(lambda: engine.containers() == [], what="the containers to go")
