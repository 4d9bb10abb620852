"""Which tasks are nominated, and what is said of victims."""

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.model import task_state
from swarm.model.preemption import is_nominated, preempted_for, preempted_text, preemption_by
from swarm.model.service import new_service, replace_spec
from swarm.model.spec_changes import changes
from swarm.model.task import is_dirty, new_task
from swarm.model.validate import service_warnings
from swarm.timestamps import timestamp


def a_nominee() -> Task:
    task = Task(id="t1", desired_state=task_state.RUNNING)
    task.status.state = task_state.PENDING
    task.service_annotations.name = "shop"
    task.nomination.node_id, task.nomination.priority = "n1", 3
    return task


def test_only_a_task_that_waits_and_is_meant_to_run_is_nominated() -> None:
    assert is_nominated(a_nominee())
    for spoil in (
        lambda task: task.ClearField("nomination"),
        lambda task: setattr(task.status, "state", task_state.ASSIGNED),
        lambda task: setattr(task, "desired_state", task_state.SHUTDOWN),
    ):
        task = a_nominee()
        spoil(task)
        assert not is_nominated(task)


def test_a_victim_is_told_for_whom_it_had_to_go() -> None:
    by = preemption_by(a_nominee())
    assert preempted_text(by) == "preempted by task t1 of shop (priority 3)"
    assert preempted_for(by) == "preempted by shop (priority 3)"


def a_service(priority: int = 0, *, preempt: bool = False) -> Service:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    spec.task.priority, spec.task.preempt = priority, preempt
    return new_service("s1", spec)


def test_another_priority_makes_no_task_dirty_wherever_it_is() -> None:
    task = new_task(a_service(), "t1", 0, slot=1)
    changed = a_service(5, preempt=True)
    changed.spec_version = 2
    assert not is_dirty(changed, task, None)
    changed.spec.task.container.image = "web:2"
    assert is_dirty(changed, task, None)


def test_a_changed_priority_is_said_in_words() -> None:
    before, after = a_service().spec, a_service(-5, preempt=True).spec
    assert list(changes(before, after)) == ["priority 0 → -5", "preempt false → true"]


def test_to_preempt_without_a_priority_is_warned_of() -> None:
    assert service_warnings(a_service(1, preempt=True).spec) == []
    assert service_warnings(a_service(0).spec) == []
    (warning,) = service_warnings(a_service(0, preempt=True).spec)
    assert "priority 0" in warning


def test_another_priority_is_no_update_and_holds_for_the_spec_to_go_back_to_as_well() -> None:
    service = a_service()
    version = service.spec_version
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    spec.task.container.image = "web:2"
    replace_spec(service, spec, timestamp(1))
    assert service.spec_version == version + 1
    service.update_status.state = UpdateStatus.STATE_PAUSED
    spec.task.priority, spec.task.preempt = 7, True
    replace_spec(service, spec, timestamp(2))
    assert service.spec_version == version + 1
    assert service.update_status.state == UpdateStatus.STATE_PAUSED
    before = service.previous_spec.task
    assert (before.container.image, before.priority, before.preempt) == ("web:1", 7, True)
