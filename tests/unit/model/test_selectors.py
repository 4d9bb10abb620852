import pytest

from swarm.api.v1.control_pb2 import Filters
from swarm.api.v1.objects_pb2 import Image, Node, Service, Task
from swarm.api.v1.types_pb2 import (
    NODE_ROLE_MANAGER,
    NODE_ROLE_WORKER,
    TASK_STATE_RUNNING,
    TASK_STATE_SHUTDOWN,
)
from swarm.errors import InvalidArgument
from swarm.model.selectors import image_selected, node_selected, service_selected, task_selected


def a_service() -> Service:
    service = Service(id="abc123")
    service.spec.annotations.name = "web"
    service.spec.annotations.labels.update({"tier": "front", "team": "a"})
    return service


def test_no_filter_selects_everything():
    assert service_selected(Filters(), a_service())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(ids=["abc123"]), True),
        (Filters(ids=["abc"]), False),
        (Filters(id_prefixes=["abc", "xyz"]), True),
        (Filters(names=["db", "web"]), True),
        (Filters(names=["we"]), False),
        (Filters(name_prefixes=["we"]), True),
        (Filters(names=["db"], name_prefixes=["w"]), True),
        (Filters(names=["web"], ids=["other"]), False),
        (Filters(labels=["tier"]), True),
        (Filters(labels=["tier=front", "team=a"]), True),
        (Filters(labels=["tier=front", "team=b"]), False),
        (Filters(labels=["missing="]), False),
        (Filters(modes=["replicated"]), True),
        (Filters(modes=["global"]), False),
    ],
)
def test_values_are_alternatives_and_filters_add_up(filters, expected):
    assert service_selected(filters, a_service()) is expected


def test_nodes_have_two_kinds_of_labels_and_a_role():
    node = Node(id="n1", role=NODE_ROLE_MANAGER)
    node.description.hostname = "box"
    node.description.engine_labels["disk"] = "ssd"
    node.spec.annotations.labels["zone"] = "eu"
    assert node_selected(Filters(labels=["disk=ssd"], node_labels=["zone=eu"], names=["box"]), node)
    assert not node_selected(Filters(labels=["zone=eu"]), node)
    assert node_selected(Filters(roles=[NODE_ROLE_WORKER, NODE_ROLE_MANAGER]), node)
    assert not node_selected(Filters(roles=[NODE_ROLE_WORKER]), node)


def test_tasks_are_found_by_service_node_state_and_any_of_their_names():
    task = Task(id="t1", service_id="s1", node_id="n1", slot=2, desired_state=TASK_STATE_RUNNING)
    task.service_annotations.name = "web"
    for name in ("web", "web.2", "web.2.t1"):
        assert task_selected(Filters(names=[name]), task)
    assert task_selected(
        Filters(service_ids=["s1"], node_ids=["n1"], desired_states=[TASK_STATE_RUNNING]), task
    )
    assert not task_selected(Filters(desired_states=[TASK_STATE_SHUTDOWN]), task)
    assert not task_selected(Filters(service_ids=["s2"]), task)


def test_images_are_found_by_reference_and_holder():
    image = Image(id="i1", holders=["n1"])
    image.annotations.name = "docker.io/library/web:1"
    assert image_selected(Filters(names=["docker.io/library/web:1"], node_ids=["n1"]), image)
    assert not image_selected(Filters(node_ids=["n2"]), image)


def test_a_filter_that_means_nothing_is_refused():
    with pytest.raises(InvalidArgument, match="nodes cannot be filtered by modes"):
        node_selected(Filters(modes=["global"]), Node())
    with pytest.raises(InvalidArgument, match="desired states"):
        service_selected(Filters(desired_states=[TASK_STATE_RUNNING]), a_service())
