"""What a node says of a container in one line."""

from swarm.agent.containers.summary import summary
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.objects_pb2 import Task
from swarm.runtime.base import ContainerInfo, ContainerState


def test_a_line_about_a_container_has_the_labels_of_its_task() -> None:
    task = Task(id="t1")
    task.spec.container.labels["com.docker.stack.namespace"] = "shop"
    told = summary(ContainerInfo("t1", ContainerState.RUNNING), TaskRecord(task, task.status))
    assert dict(told.labels) == {"com.docker.stack.namespace": "shop"}
