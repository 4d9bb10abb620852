"""What a node says of a container in one line."""

import pytest

from swarm.agent.containers.summary import details, is_to_go, summary
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import PruneContainers
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.runtime.images.base import ImageConfig


def test_a_line_about_a_container_has_the_labels_of_its_task() -> None:
    task = Task(id="t1")
    task.spec.container.labels["com.docker.stack.namespace"] = "shop"
    told = summary(ContainerInfo("t1", ContainerState.RUNNING), TaskRecord(task, task.status))
    assert dict(told.labels) == {"com.docker.stack.namespace": "shop"}


def test_labels_of_an_image_are_told_apart_from_those_of_the_container() -> None:
    task = Task(id="t1")
    task.spec.container.labels["tier"] = "web"
    record, info = TaskRecord(task, task.status), ContainerInfo("t1", ContainerState.EXITED)
    labels = {"tier": "theirs", "vendor": "them"}
    image = ImageConfig("sha256:1", labels=labels)
    told = summary(info, record, image)
    assert (dict(told.labels), dict(told.image_labels)) == ({"tier": "web"}, labels)
    large = ImageConfig("sha256:1", labels={"a": "v" * (64 << 10)})
    assert not summary(info, record, large).image_labels
    own = task.spec.container.labels
    for label, goes in (("vendor=them", True), ("tier=theirs", False), ("tier=web", True)):
        assert is_to_go(info, own, image, PruneContainers(labels=[label])) is goes
    assert not is_to_go(info, own, None, PruneContainers(labels=["vendor"]))


IMAGE = ImageConfig("sha256:1", ("/entry",), ("serve", "-p"), ("PATH=/bin", "A=1"), "/srv", "app", "SIGINT")


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (ContainerSpec(), ["/entry", "serve", "-p"]),
        (ContainerSpec(args=["ls"]), ["/entry", "ls"]),
        (ContainerSpec(command=["/bin/sh"]), ["/bin/sh"]),
        (ContainerSpec(command=["/bin/sh"], args=["-c", "x"]), ["/bin/sh", "-c", "x"]),
    ],
)
def test_the_command_of_a_container_is_what_runs(spec: ContainerSpec, line: list[str]) -> None:
    task = Task(id="t1")
    task.spec.container.CopyFrom(spec)
    record, info = TaskRecord(task, task.status), ContainerInfo("t1", ContainerState.RUNNING)
    assert list(summary(info, record, IMAGE).command) == line
    told = details(info, record, IMAGE)
    assert list(told.summary.command) == line
    assert (list(told.image.env), told.image.dir, told.image.user) == (["PATH=/bin", "A=1"], "/srv", "app")
    assert (list(told.image.entrypoint), list(told.image.command)) == (["/entry"], ["serve", "-p"])
    assert not details(info, record).HasField("image")
