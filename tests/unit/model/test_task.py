import pytest

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import PortConfig, TaskStatus, UpdateStatus
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.errors import FailedPrecondition
from swarm.model import task_state
from swarm.model.history import HISTORY_LIMIT, record_status, story
from swarm.model.service import new_service, replace_spec, roll_back
from swarm.model.task import is_dirty, new_task, task_name

NOW_NS = 1_700_000_000 * SECOND


def a_spec(image: str = "web:1") -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = image
    spec.endpoint.ports.add(target_port=80, publish_mode=PortConfig.PUBLISH_MODE_HOST)
    return spec


def changed(service: Service, change) -> Service:
    copy, spec = Service(), ServiceSpec()
    copy.CopyFrom(service)
    spec.CopyFrom(service.spec)
    change(spec)
    replace_spec(copy, spec, timestamp(NOW_NS))
    return copy


def test_a_new_task_copies_what_its_service_says():
    service = new_service("s1", a_spec())
    before = Task(id="t0")
    task = new_task(
        service,
        "t1",
        NOW_NS,
        slot=3,
        desired_state=task_state.READY,
        previous=before,
        start_not_before_ns=NOW_NS + SECOND,
    )
    assert task.spec == service.spec.task
    assert task.endpoint == service.spec.endpoint
    assert (task.service_id, task.slot, task.spec_version, task.previous_task_id) == ("s1", 3, 1, "t0")
    assert (task.status.state, task.desired_state) == (task_state.NEW, task_state.READY)
    assert nanoseconds(task.start_not_before) == NOW_NS + SECOND
    assert task_name(task) == "web.3.t1"
    assert task_name(new_task(service, "t1", NOW_NS, node_id="n1")) == "web.n1.t1"


def test_a_task_of_the_same_spec_is_clean():
    service = new_service("s1", a_spec())
    task = new_task(service, "t1", NOW_NS, slot=1)
    assert not is_dirty(service, task, None)
    relabelled = changed(service, lambda spec: spec.annotations.labels.update({"a": "b"}))
    assert not is_dirty(relabelled, task, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: setattr(spec.task.container, "image", "web:2"),
        lambda spec: setattr(spec.task, "force_update", 1),
        lambda spec: spec.task.container.env.append("A=b"),
        lambda spec: setattr(spec.endpoint.ports[0], "published_port", 80),
        lambda spec: spec.ClearField("endpoint"),
        lambda spec: setattr(spec.task.resources.reservations, "nano_cpus", 10**9),
    ],
)
def test_a_task_of_another_spec_is_dirty(change):
    service = new_service("s1", a_spec())
    task = new_task(service, "t1", NOW_NS, slot=1)
    assert is_dirty(changed(service, change), task, Node(id="n1"))


def test_new_credentials_need_no_new_task():
    service = new_service("s1", a_spec())
    task = new_task(service, "t1", NOW_NS, slot=1)
    with_auth = changed(service, lambda spec: setattr(spec.task.container.registry_auth, "password", "x"))
    assert not is_dirty(with_auth, task, None)


def test_a_new_placement_needs_a_new_task_only_where_the_node_does_not_fit():
    service = new_service("s1", a_spec())
    task = new_task(service, "t1", NOW_NS, slot=1)
    moved = changed(service, lambda spec: spec.task.placement.constraints.append("node.id==n1"))
    assert not is_dirty(moved, task, Node(id="n1"))
    assert is_dirty(moved, task, Node(id="n2"))
    assert is_dirty(moved, task, None)


def test_going_back_twice_gives_back_the_first_spec():
    service = changed(
        new_service("s1", a_spec("web:1")), lambda spec: setattr(spec.task.container, "image", "web:2")
    )
    now = timestamp(NOW_NS)
    roll_back(service, now, "asked", keep_previous=True)
    assert service.spec.task.container.image == "web:1"
    assert service.update_status.state == UpdateStatus.STATE_ROLLBACK_STARTED
    roll_back(service, now, "asked", keep_previous=True)
    assert service.spec.task.container.image == "web:2"
    assert (service.spec_version, service.previous_spec_version) == (4, 3)


def test_after_an_automatic_rollback_there_is_nothing_to_go_back_to():
    service = changed(
        new_service("s1", a_spec("web:1")), lambda spec: setattr(spec.task.container, "image", "web:2")
    )
    roll_back(service, timestamp(NOW_NS), "update failed", keep_previous=False)
    assert service.spec.task.container.image == "web:1"
    with pytest.raises(FailedPrecondition, match="no previous spec"):
        roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True)


def status(state: int, at_s: float, message: str = "", err: str = "") -> TaskStatus:
    return TaskStatus(
        state=state, timestamp=timestamp(NOW_NS + int(at_s * SECOND)), message=message, err=err
    )


def test_the_story_of_a_task_tells_each_step_with_its_time_and_reason():
    task = new_task(new_service("s1", a_spec()), "t1", NOW_NS, slot=1)
    record_status(task, status(task_state.PENDING, 0.001))
    record_status(task, status(task_state.PENDING, 0.001, "no suitable node"))
    record_status(task, status(task_state.RUNNING, 2))
    ended = status(task_state.FAILED, 3, "ended", "exit code 1")
    ended.container.exit_code = 1
    record_status(task, ended)
    lines = story(task)
    assert len(lines) == 5
    assert "no suitable node" in lines[1]
    assert "+1.999s" in lines[2]
    assert "ended: exit code 1" in lines[3]
    assert lines[4] == "exit code 1"
    assert lines[0].startswith("2023-11-14 22:13:20.000Z")


def test_history_keeps_no_more_than_its_limit_and_never_the_container():
    task = Task(id="t1")
    for number in range(50):
        step = status(number, number)
        step.container.pid = number
        record_status(task, step)
    assert len(task.history) == HISTORY_LIMIT
    assert task.history[-1].state == 48
    assert not any(step.HasField("container") for step in task.history)
    assert task.status.container.pid == 49
