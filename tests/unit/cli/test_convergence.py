"""When is a service what its spec says?"""

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import RestartPolicy, TaskState, UpdateStatus
from swarm.cli.convergence import Verdict
from swarm.cli.convergence import look as look_with


def look(service, tasks, nodes=(), **options):
    return look_with(service, tasks, {node.id: node for node in nodes}, **options)


RUNNING = TaskState.TASK_STATE_RUNNING


def a_service(replicas=2, **update):
    service = Service(id="s", spec_version=3)
    service.spec.annotations.name = "web"
    service.spec.replicated.replicas = replicas
    if update:
        service.update_status.CopyFrom(UpdateStatus(**update))
    return service


def a_task(slot=1, state=RUNNING, desired=RUNNING, version=3, err="", node="n1"):
    task = Task(id=f"t{slot}{version}{state}", service_id="s", slot=slot, spec_version=version, node_id=node)
    task.status.state, task.status.err, task.desired_state = state, err, desired
    return task


def test_all_replicas_running_the_current_spec_is_converged():
    assert look(a_service(), [a_task(1), a_task(2)]).verdict is Verdict.CONVERGED


def test_a_replica_of_the_old_spec_does_not_count():
    old = a_task(2, version=2)
    old.spec.container.image = "web:1"
    picture = look(a_service(), [a_task(1), old])
    assert (picture.verdict, picture.running, picture.wanted) == (Verdict.WAITING, 1, 2)


def test_a_replica_from_before_a_scale_counts_because_nothing_changed_for_it():
    assert look(a_service(), [a_task(1), a_task(2, version=2)]).verdict is Verdict.CONVERGED


def test_a_task_that_cannot_be_placed_gives_the_reason():
    pending = a_task(2, state=TaskState.TASK_STATE_PENDING, err="no suitable node (…)")
    assert look(a_service(), [a_task(1), pending]).reason == "no suitable node (…)"


def test_a_paused_update_is_told_apart_from_a_failure():
    picture = look(
        a_service(state=UpdateStatus.STATE_PAUSED, message="task t failed"), [a_task(1), a_task(2)]
    )
    assert picture.verdict is Verdict.PAUSED
    assert "task t failed" in picture.reason


def test_a_rollback_by_itself_is_told_but_one_by_hand_is_what_was_wanted():
    service, tasks = a_service(state=UpdateStatus.STATE_ROLLBACK_COMPLETED), [a_task(1), a_task(2)]
    assert look(service, tasks).verdict is Verdict.ROLLED_BACK
    assert look(service, tasks, rollback_wanted=True).verdict is Verdict.CONVERGED


def test_an_update_under_way_is_not_converged_although_all_run():
    service = a_service(state=UpdateStatus.STATE_UPDATING)
    assert look(service, [a_task(1), a_task(2)]).verdict is Verdict.WAITING


def test_a_service_that_will_not_be_restarted_any_more_has_failed():
    service = a_service(replicas=1)
    service.spec.task.restart.condition = RestartPolicy.CONDITION_NONE
    ended = a_task(1, state=TaskState.TASK_STATE_FAILED, err="exit code 1")
    assert look(service, [ended]).verdict is Verdict.FAILED
    service.spec.task.restart.condition = RestartPolicy.CONDITION_ANY
    assert look(service, [ended]).verdict is Verdict.WAITING


def test_scaled_to_zero_is_converged_once_the_last_task_stopped():
    stopping = a_task(1, desired=TaskState.TASK_STATE_REMOVE)
    assert look(a_service(replicas=0), [stopping]).verdict is Verdict.WAITING
    assert look(a_service(replicas=0), []).verdict is Verdict.CONVERGED
