"""Where tasks go, as somebody sees it who types swarmctl: generic resources, affinity, strategies."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator import is_refused_now
from tests.integration.swarmd import ROOT, Daemon, daemons, wait_for

pytestmark = pytest.mark.integration

NO_GPU_LEFT = '"no suitable node (insufficient resources on 2 nodes): needs {} of gpu, the most free is '


class Person:
    """Types swarmctl at the manager."""

    def __init__(self, manager: Daemon) -> None:
        self._socket = manager.directory / "r" / "swarmd.sock"

    def __call__(self, *arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "swarm.cli.main", "--host", f"unix://{self._socket}", *arguments]

        def typed() -> subprocess.CompletedProcess[str] | None:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
            )
            return None if is_refused_now(done) else done

        done = wait_for(typed)
        assert done is not None
        assert done.returncode == code, f"swarmctl {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """The tasks of a service that are meant to run, as `ps` shows them."""
        listing = self(
            "service", "ps", "--no-trunc", "--format", "json", "-f", "desired-state=running", service
        )
        return [json.loads(line) for line in listing.splitlines()]

    def running(self, service: str, count: int) -> list[dict[str, Any]]:
        """Wait for so many tasks of a service to run."""

        def found() -> list[dict[str, Any]]:
            rows = [row for row in self.tasks(service) if row["CurrentState"].startswith("Running")]
            return rows if len(rows) == count else []

        return wait_for(found, 90)

    def given(self, row: dict[str, Any]) -> str:
        """What the container of a task was told that it has."""
        (task,) = json.loads(self("task", "inspect", row["ID"]))
        pid = task["Status"]["ContainerStatus"]["PID"]
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        (found,) = [one for one in environment if one.startswith("DOCKER_RESOURCE_GPU=")]
        return found.removeprefix("DOCKER_RESOURCE_GPU=")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """A manager, and a worker with two GPUs."""
    folder = tmp_path_factory.mktemp("d")
    gpus = ("--node-generic-resource", "gpu=UUID1", "--node-generic-resource", "gpu=UUID2")
    with daemons(folder, "m1", "w1", flags={"w1": gpus}) as made:
        made["w1"].join(made["m1"].init().worker_token, made["m1"].addr)
        archive = folder / "image.tar"
        subprocess.run(
            [sys.executable, ROOT / "examples/hello/build.py", archive],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        Person(made["m1"])("image", "load", "-i", str(archive))
        yield made


def test_named_resources_are_given_once_also_by_the_next_leader(nodes: dict[str, Daemon]) -> None:
    person = Person(nodes["m1"])
    person(
        "service",
        "create",
        "-d",
        "--name",
        "train",
        "--replicas",
        "3",
        "--generic-resource",
        "gpu=1",
        "hello:1",
    )
    rows = person.running("train", 2)
    assert {row["Node"] for row in rows} == {"w1"}
    assert sorted(person.given(row) for row in rows) == ["UUID1", "UUID2"]
    wait_for(lambda: any(row["Error"].startswith(NO_GPU_LEFT.format(1)) for row in person.tasks("train")))
    person("service", "scale", "-d", "train=2")
    nodes["m1"].stop()
    nodes["m1"].start()
    wait_for(lambda: person.running("train", 2))
    person("service", "create", "-d", "--name", "next", "--generic-resource", "gpu=2", "hello:1")
    waits = NO_GPU_LEFT.format(2)
    wait_for(lambda: [row["Error"].startswith(waits) for row in person.tasks("next")] == [True], 90)
    person("service", "rm", "train")
    (row,) = person.running("next", 1)
    assert person.given(row) == "UUID1,UUID2"
    person("service", "rm", "next")


def test_services_go_to_each_other_or_keep_apart_and_strategies_hold(nodes: dict[str, Daemon]) -> None:
    person = Person(nodes["m1"])
    person(
        "service",
        "create",
        "-d",
        "--name",
        "near",
        "--replicas",
        "2",
        "--affinity",
        "service==db",
        "hello:1",
    )
    wait_for(
        lambda: (
            {row["Error"] for row in person.tasks("near")}
            == {'"no suitable node (affinity service==db not satisfied on 2 nodes)"'}
        )
    )
    person("service", "create", "-d", "--name", "db", "--constraint", "node.role==worker", "hello:1")
    person(
        "service", "create", "-d", "--name", "far", "--replicas", "2", "--affinity", "service!=db", "hello:1"
    )
    assert {row["Node"] for row in person.running("near", 2)} == {"w1"}
    assert {row["Node"] for row in person.running("far", 2)} == {"m1"}
    person("update", "--placement-strategy", "binpack")
    person(
        "service", "create", "-d", "--name", "packed", "--replicas", "3", "--reserve-cpu", "0.1", "hello:1"
    )
    assert len({row["Node"] for row in person.running("packed", 3)}) == 1
    (spec,) = json.loads(person("service", "inspect", "near"))
    assert spec["Spec"]["TaskTemplate"]["Placement"]["Affinities"] == [{"Expression": "service==db"}]


def test_the_urgent_task_gets_the_gpu_of_another_also_when_the_leader_goes_in_the_middle(
    nodes: dict[str, Daemon],
) -> None:
    person = Person(nodes["m1"])
    gpu = ("--generic-resource", "gpu=1", "hello:1")
    batch = ("--name", "batch", "--replicas", "2", "--stop-grace-period", "1s")
    person("service", "create", "-d", *batch, *gpu)
    person.running("batch", 2)
    shop = ("--name", "shop", "--priority", "10", "--preempt", *gpu)
    plan = json.loads(person("service", "create", "--dry-run", "--format", "json", *shop, code=5))
    (step,) = [one for one in plan["Steps"] if one["Service"] == "batch"]
    assert step["Reason"].startswith("preempted by shop (priority 10); no suitable node")
    assert len(person.running("batch", 2)) == 2, "to ask changes nothing"
    person("service", "create", "-d", *shop)
    nodes["m1"].stop()
    nodes["m1"].start()
    (row,) = wait_for(lambda: person.running("shop", 1), 90)
    assert (row["Node"], row["Priority"]) == ("w1", "10")
    (left,) = person.running("batch", 1)
    assert {person.given(row), person.given(left)} == {"UUID1", "UUID2"}
    why = f"the task before it was preempted by task {row['ID']} of shop (priority 10)"
    wait_for(lambda: any(why in one["Error"] for one in person.tasks("batch")), 60)
    rows = [json.loads(line) for line in person("service", "ps", "--format", "json", "batch").splitlines()]
    (victim,) = [one["ID"] for one in rows if one["CurrentState"].startswith("Shutdown")]
    assert f"it was preempted by task {row['ID']} of shop (priority 10)" in person("task", "why", victim)
    assert "Priority: 10" in person("service", "inspect", "--pretty", "shop")
    person("service", "rm", "shop")
    person.running("batch", 2)
    person("service", "rm", "batch")
