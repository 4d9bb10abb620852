"""Victims stop, others take their places, and nobody is charged for it."""

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import RestartPolicy
from swarm.clock import timestamp
from swarm.manager.orchestrator.commit import commit_steps
from swarm.manager.orchestrator.concerns import services_concerned
from swarm.manager.orchestrator.restart import ended_by_itself
from swarm.manager.store.tables import copy_of
from swarm.manager.store.watch import Action, Event
from swarm.model import task_state
from tests.unit.orchestrator.bench import START_FIRST, Bench, a_spec, running, with_update

WHY = "preempted by task high-1 of shop (priority 10)"


def nominee(*victims: Task, priority: int = 10) -> Task:
    """A task of another service that waits for `victims` to stop."""
    task = Task(id="high-1", service_id="high", slot=1, spec_version=1)
    task.service_annotations.name = "shop"
    task.desired_state = task_state.RUNNING
    task.status.state = task_state.PENDING
    task.nomination.node_id = "n1"
    task.nomination.victims.extend(one.id for one in victims)
    task.nomination.priority = priority
    return task


def nominate(bench: Bench, *victims: Task, priority: int = 10) -> None:
    bench.write(lambda tx: tx.create(nominee(*victims, priority=priority)))


def withdraw(bench: Bench) -> None:
    waiting = copy_of(bench.task("high-1"))
    waiting.ClearField("nomination")
    bench.write(lambda tx: tx.update(waiting))


def a_bench(spec: ServiceSpec | None = None, nodes: int = 3) -> Bench:
    bench = Bench(spec or a_spec(2), nodes)
    bench.run()
    return bench


def test_a_victim_stops_and_another_task_of_the_same_kind_takes_its_place_when_it_has_stopped() -> None:
    bench = a_bench()
    victim, other = bench.live
    nominate(bench, victim)
    bench.look()
    told = bench.task(victim.id)
    assert told.desired_state == task_state.SHUTDOWN
    assert told.status.message == WHY
    assert (told.preempted_by.task_id, told.preempted_by.priority) == ("high-1", 10)
    (successor,) = [task for task in bench.live if task.id != other.id]
    assert (successor.slot, successor.previous_task_id) == (victim.slot, victim.id)
    assert successor.desired_state == task_state.READY
    assert successor.status.message == f"in place of a task that was {WHY}"
    assert not bench.plan(), "it waits for the victim"
    bench.run()
    assert {task.id for task in running(bench)} == {other.id, successor.id}


@pytest.mark.parametrize("priority", [0, 5, 10])
def test_nobody_goes_for_a_task_that_is_not_more_important(priority: int) -> None:
    bench = a_bench()
    bench.reconfigure(lambda spec: setattr(spec.task, "priority", 10))
    bench.run()
    nominate(bench, bench.live[0], priority=priority)
    assert not bench.plan()


def test_another_priority_replaces_no_task() -> None:
    bench = a_bench()
    before = {task.id for task in bench.live}

    def change(spec: ServiceSpec) -> None:
        spec.task.priority, spec.task.preempt = 7, True

    bench.reconfigure(change)
    bench.run(1)
    assert {task.id for task in bench.live} == before


def test_a_nomination_that_was_withdrawn_between_plan_and_commit_stops_nobody() -> None:
    bench = a_bench()
    victim = bench.live[0]
    nominate(bench, victim)
    plan = bench.plan()
    withdraw(bench)
    version = bench.service.meta.version.index
    bench.write(lambda tx: commit_steps(tx, "s", version, plan.steps, ["x"], bench.clock.now_ns()))
    assert bench.task(victim.id).desired_state == task_state.RUNNING
    assert len(bench.tasks) == 2
    assert not bench.plan()


def test_a_waiting_task_that_was_told_to_stop_needs_no_victims() -> None:
    bench = a_bench()
    nominate(bench, bench.live[0])
    waiting = copy_of(bench.task("high-1"))
    waiting.desired_state = task_state.SHUTDOWN
    bench.write(lambda tx: tx.update(waiting))
    assert not bench.plan()


def test_whatever_the_restart_policy_a_victim_is_replaced_and_no_attempt_is_counted() -> None:
    spec = a_spec(1)
    spec.task.restart.condition = RestartPolicy.CONDITION_NONE
    spec.task.restart.max_attempts = 1
    bench = a_bench(spec)
    for number in range(3):
        (victim,) = bench.live
        waiting = nominee(victim)
        waiting.id = f"high-{number}"
        bench.write(lambda tx, waiting=waiting: tx.create(waiting))
        bench.look()
        bench.report(bench.task(victim.id), task_state.FAILED, "killed")
        assert not ended_by_itself(bench.task(victim.id))
        bench.run()
        (alive,) = bench.live
        assert (alive.crashes, alive.HasField("start_not_before")) == (0, False)
        assert task_state.is_running(alive)


def test_a_victim_of_an_update_is_replaced_by_one_of_its_own_version() -> None:
    bench = a_bench(with_update(a_spec(3), parallelism=1, delay_ns=10**12))
    bench.update(image="v2")
    bench.run()
    old = next(task for task in bench.live if task.spec.container.image == "v1")
    nominate(bench, old)
    bench.look()
    successor = next(task for task in bench.live if task.previous_task_id == old.id)
    assert successor.spec.container.image == "v1"
    assert bench.images() == ["v1", "v1", "v2"]


def test_a_victim_whose_successor_is_there_already_is_not_replaced_twice() -> None:
    bench = a_bench(with_update(a_spec(1), order=START_FIRST))
    (old,) = bench.live
    bench.update(image="v2")
    bench.look()
    nominate(bench, old)
    bench.settle()
    (new,) = bench.live
    assert new.spec.container.image == "v2"


def test_a_task_of_a_global_service_gets_a_successor_on_its_node() -> None:
    bench = a_bench(a_spec(None), nodes=2)
    victim = bench.live[0]
    nominate(bench, victim)
    bench.settle()
    assert sorted(task.node_id for task in bench.live) == ["n1", "n2"]
    assert bench.task(victim.id).desired_state == task_state.SHUTDOWN


def test_a_task_of_a_job_runs_again_in_its_run() -> None:
    spec = a_spec()
    spec.replicated_job.total_completions = 1
    spec.task.restart.condition = RestartPolicy.CONDITION_NONE
    bench = a_bench(spec)
    (victim,) = bench.live
    nominate(bench, victim)
    bench.run()
    (alive,) = bench.live
    assert (alive.job_iteration, alive.slot) == (victim.job_iteration, victim.slot)
    assert task_state.is_running(alive)


def test_one_that_is_held_back_is_replaced_by_one_that_waits_as_long() -> None:
    bench = a_bench(a_spec(1))
    bench.report(bench.live[0], task_state.FAILED, "boom")
    bench.settle()
    (held,) = bench.live
    assert held.start_not_before.seconds
    bench.place()
    nominate(bench, held)
    bench.settle()
    (successor,) = bench.live
    assert successor.id != held.id
    assert successor.start_not_before == held.start_not_before
    assert successor.crashes == held.crashes == 1


def test_a_nomination_concerns_the_services_of_its_victims_and_that_once() -> None:
    bench = a_bench()
    waiting = nominee(*bench.live)
    before = copy_of(waiting)
    before.ClearField("nomination")
    said = copy_of(waiting)
    said.status.err = "waits"
    events = (
        Event(Action.UPDATE, waiting, before),
        Event(Action.UPDATE, said, waiting),
        Event(Action.UPDATE, before, waiting),
    )
    assert [list(services_concerned(event, bench.tables)) for event in events] == [["s"], [], []]
    assert waiting.status.timestamp == timestamp(0)
