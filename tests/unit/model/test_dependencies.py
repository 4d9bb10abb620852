"""Which tasks of services that depend on others may start?"""

import pytest

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import ServiceDependency, ServiceSpec
from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, NODE_STATE_READY, HealthState
from swarm.clock import SECOND, timestamp
from swarm.errors import InvalidArgument
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import Tables
from swarm.model import task_state as ts
from swarm.model.defaults import HEARTBEAT_PERIOD_NS
from swarm.model.dependencies import COMPLETED, HEALTHY, PATIENCE_NS, SETTLING, STARTED, Gate, find_cycle
from swarm.model.validate import validate_service

NOW_NS = 1_700_000_000 * SECOND
CREATED_NS = NOW_NS - 10 * SECOND


def a_service(name: str, *, replicas: int = 1, mode: str = "", **needs: int) -> Service:
    service = Service(id=f"s-{name}", spec_version=1)
    service.spec.annotations.name = name
    service.spec.task.container.image = "image"
    if mode == "job":
        service.spec.replicated_job.total_completions = replicas
        service.job_status.iteration = service.job_status.spec_version = 1
    elif mode == "global_job":
        service.spec.global_job.SetInParent()
        service.job_status.iteration = service.job_status.spec_version = 1
    elif mode == "global":
        getattr(service.spec, "global").SetInParent()
    else:
        service.spec.replicated.replicas = replicas
    for needed, condition in needs.items():
        service.spec.depends_on.add(service=needed, condition=condition)
    return service


def a_task(service: Service, slot: int, state: int, *, node: str = "n1", desired: int = ts.RUNNING) -> Task:
    task = Task(id=f"{service.id}.{slot}.{node}.{state}", service_id=service.id, slot=slot, node_id=node)
    task.spec_version, task.desired_state, task.status.state = 1, desired, state
    task.job_iteration = service.job_status.iteration
    task.meta.created_at.CopyFrom(timestamp(NOW_NS))
    return task


def a_new(service: Service, previous: str = "") -> Task:
    """A task that was created long enough ago for everything else to be known."""
    task = a_task(service, 1, ts.NEW, node="")
    task.meta.created_at.CopyFrom(timestamp(CREATED_NS))
    task.previous_task_id = previous
    return task


def a_view(*objects: Service | Task, down: bool = False) -> Tables:
    view = Tables()
    for node_id in ("n1", "n2"):
        node = Node(id=node_id)
        node.status.state = NODE_STATE_DOWN if down else NODE_STATE_READY
        view.nodes.put(node)
    for one in objects:
        (view.services if isinstance(one, Service) else view.tasks).put(one)
    return view


def why(view: Tables, task: Task, now_ns: int = NOW_NS, settled_ns: int = 0) -> str:
    hold = Gate(look_at(view), now_ns, settled_ns).hold(task)
    return hold.reason if hold is not None else ""


def with_db(db: Service, *tasks: Task, condition: int, down: bool = False) -> str:
    """Why a first task that depends on `db` waits."""
    web = a_service("web", db=condition)
    return why(a_view(web, db, *tasks, down=down), a_new(web))


def test_a_service_that_depends_on_nothing_starts_at_once() -> None:
    web = a_service("web")
    assert why(a_view(web), a_new(web)) == ""


def test_a_service_that_does_not_exist_is_waited_for_by_name() -> None:
    web = a_service("web", db=HEALTHY)
    expected = "it waits for service db to be healthy (there is no such service yet)"
    assert why(a_view(web), a_new(web)) == expected


def test_started_holds_when_one_task_runs_and_healthy_when_all_do() -> None:
    db = a_service("db", replicas=2)
    one, two = a_task(db, 1, ts.RUNNING), a_task(db, 2, ts.RUNNING, node="n2")
    assert "none of its tasks runs" in with_db(db, a_task(db, 1, ts.STARTING), condition=STARTED)
    assert with_db(db, one, condition=STARTED) == ""
    assert "1 of 2 tasks run" in with_db(db, one, condition=HEALTHY)
    assert with_db(db, one, two, condition=HEALTHY) == ""


def test_a_task_whose_health_check_only_informs_counts_once_it_is_healthy() -> None:
    db = a_service("db", replicas=2)
    one, two = a_task(db, 1, ts.RUNNING), a_task(db, 2, ts.RUNNING, node="n2")
    one.status.container.health.state = HealthState.HEALTH_STATE_HEALTHY
    for state in (HealthState.HEALTH_STATE_STARTING, HealthState.HEALTH_STATE_UNHEALTHY):
        two.status.container.health.state = state
        assert "1 of 2 tasks run and are healthy" in with_db(db, one, two, condition=HEALTHY)
        assert with_db(db, one, two, condition=STARTED) == ""
    two.status.container.health.state = HealthState.HEALTH_STATE_HEALTHY
    assert with_db(db, one, two, condition=HEALTHY) == ""


def test_a_slot_with_two_running_tasks_counts_once() -> None:
    db = a_service("db", replicas=2)
    tasks = a_task(db, 1, ts.RUNNING), a_task(db, 1, ts.RUNNING, node="n2")
    assert "1 of 2 tasks run" in with_db(db, *tasks, condition=HEALTHY)


def test_what_runs_on_a_node_that_is_down_or_is_to_stop_does_not_count() -> None:
    db = a_service("db")
    assert with_db(db, a_task(db, 1, ts.RUNNING), condition=STARTED, down=True)
    assert with_db(db, a_task(db, 1, ts.RUNNING, desired=ts.SHUTDOWN), condition=STARTED)


def test_a_service_without_replicas_is_not_healthy() -> None:
    assert "no task of it is wanted" in with_db(a_service("db", replicas=0), condition=HEALTHY)


def test_a_global_service_is_healthy_when_it_runs_on_every_node_it_has() -> None:
    db = a_service("db", mode="global")
    one, two = a_task(db, 0, ts.RUNNING), a_task(db, 0, ts.PREPARING, node="n2")
    assert "1 of 2 tasks run" in with_db(db, one, two, condition=HEALTHY)
    assert with_db(db, one, condition=HEALTHY) == ""
    assert with_db(db, condition=HEALTHY)


@pytest.mark.parametrize("condition", [COMPLETED, HEALTHY])
def test_a_job_is_completed_when_its_last_run_has_all_completions(condition: int) -> None:
    job = a_service("db", replicas=2, mode="job")
    one, two = a_task(job, 1, ts.COMPLETE), a_task(job, 2, ts.RUNNING)
    assert "1 of 2 tasks have completed" in with_db(job, one, two, condition=condition)
    assert with_db(job, one, a_task(job, 2, ts.COMPLETE), condition=condition) == ""
    assert with_db(job, one, condition=STARTED) == ""


def test_a_job_that_is_to_run_again_is_not_completed() -> None:
    job = a_service("db", mode="job")
    done = a_task(job, 1, ts.COMPLETE)
    job.spec_version = 2
    assert "it has not run yet" in with_db(job, done, condition=COMPLETED)
    assert "none of its tasks runs" in with_db(job, done, condition=STARTED)


def test_a_global_job_is_completed_when_it_is_on_every_node_that_it_came_to() -> None:
    job = a_service("db", mode="global_job")
    one, two = a_task(job, 0, ts.COMPLETE), a_task(job, 0, ts.FAILED, node="n2")
    assert with_db(job, one, two, condition=COMPLETED)
    assert with_db(job, one, two, a_task(job, 0, ts.COMPLETE, node="n2"), condition=COMPLETED) == ""


def test_a_service_is_completed_when_the_newest_task_of_every_slot_is() -> None:
    db = a_service("db")
    assert with_db(db, a_task(db, 1, ts.COMPLETE, desired=ts.SHUTDOWN), condition=COMPLETED) == ""
    assert with_db(db, a_task(db, 1, ts.COMPLETE), a_task(db, 1, ts.RUNNING), condition=COMPLETED)


def test_every_condition_that_does_not_hold_is_named() -> None:
    web = a_service("web", db=HEALTHY, setup=COMPLETED)
    reason = why(a_view(web), a_new(web))
    assert "for service db to be healthy" in reason
    assert " and for service setup to be completed" in reason


def test_while_another_task_of_the_version_runs_a_task_waits_for_nobody() -> None:
    web = a_service("web", replicas=2, db=HEALTHY)
    running = a_task(web, 2, ts.RUNNING)
    assert why(a_view(web, running), a_new(web)) == ""
    assert why(a_view(web, running), a_new(web, previous="t0")) == ""
    assert why(a_view(web, running, down=True), a_new(web))
    running.spec_version = 7
    assert why(a_view(web, running), a_new(web)), "a version of its own waits for its own conditions"


def test_a_replacement_waits_for_a_while_and_a_first_task_for_ever() -> None:
    web = a_service("web", db=HEALTHY)
    view = a_view(web)
    late_ns = CREATED_NS + PATIENCE_NS
    assert why(view, a_new(web, previous="t0"), late_ns - 1)
    assert why(view, a_new(web, previous="t0"), late_ns) == ""
    assert why(view, a_new(web), late_ns * 2)
    hold = Gate(look_at(view), NOW_NS).hold(a_new(web, previous="t0"))
    assert hold is not None
    assert hold.until_ns == late_ns


def test_a_replacement_is_not_let_go_by_what_a_new_leader_cannot_know_yet() -> None:
    db, web = a_service("db"), a_service("web", db=HEALTHY)
    view = a_view(web, db, a_task(db, 1, ts.RUNNING))
    replacement = a_new(web, previous="t0")
    assert why(view, replacement, settled_ns=NOW_NS + 1) == SETTLING
    assert why(view, replacement, settled_ns=NOW_NS) == ""
    assert why(view, a_new(web), settled_ns=NOW_NS + 1) == "", "a first task comes of no outage"


def test_a_replacement_waits_until_nodes_that_failed_at_the_same_time_are_missed_too() -> None:
    web = a_service("web", replicas=2, db=HEALTHY)
    view = a_view(web, a_task(web, 2, ts.RUNNING))
    replacement = a_new(web, previous="t0")
    assert why(view, replacement, CREATED_NS + HEARTBEAT_PERIOD_NS - 1)
    assert why(view, replacement, CREATED_NS + HEARTBEAT_PERIOD_NS) == ""


def test_a_task_that_replaces_a_well_one_as_updates_and_drains_do_goes_at_once() -> None:
    web = a_service("web", replicas=2, db=HEALTHY)
    before = a_task(web, 1, ts.RUNNING, desired=ts.SHUTDOWN)
    view = a_view(web, a_task(web, 2, ts.RUNNING), before)
    replacement = a_new(web, previous=before.id)
    assert why(view, replacement, CREATED_NS) == ""
    before.status.state = ts.SHUTDOWN
    assert why(view, replacement, CREATED_NS) == ""
    before.status.state = ts.FAILED
    assert why(view, replacement, CREATED_NS)


def test_a_replacement_is_let_go_when_its_restart_delay_is_over_and_no_sooner() -> None:
    db, web = a_service("db"), a_service("web", db=HEALTHY)
    view = a_view(web, db, a_task(db, 1, ts.RUNNING))
    replacement = a_new(web, previous="t0")
    replacement.start_not_before.CopyFrom(timestamp(NOW_NS + 5 * SECOND))
    hold = Gate(look_at(view), NOW_NS).hold(replacement)
    assert hold is not None
    assert hold.until_ns == NOW_NS + 5 * SECOND
    assert why(view, replacement, NOW_NS + 5 * SECOND) == ""


@pytest.mark.parametrize(
    ("others", "wanted", "cycle"),
    [
        ({}, ["db"], []),
        ({"db": ["disk"]}, ["db"], []),
        ({"db": ["web"]}, ["db"], ["web", "db", "web"]),
        ({"a": ["b"], "b": ["web"]}, ["x", "a"], ["web", "a", "b", "web"]),
        ({"a": ["b"], "b": ["a"]}, ["a"], []),
    ],
)
def test_a_cycle_is_found_with_its_way(others: dict, wanted: list, cycle: list) -> None:
    assert list(find_cycle("web", wanted, lambda name: others.get(name, ()))) == cycle


@pytest.mark.parametrize(
    ("needs", "problem"),
    [
        ([("web", STARTED)], "depends on itself"),
        ([("db", STARTED), ("db", HEALTHY)], "depends twice on service db"),
        ([("", STARTED)], "names no service"),
        ([("db", 77)], "77 is not a condition"),
    ],
)
def test_what_makes_no_sense_is_refused(needs: list, problem: str) -> None:
    spec = ServiceSpec()
    spec.CopyFrom(a_service("web").spec)
    spec.depends_on.extend(ServiceDependency(service=name, condition=one) for name, one in needs)
    with pytest.raises(InvalidArgument, match=problem):
        validate_service(spec)
