"""Cron jobs: one run for a time, none too late, and what happens while the run before goes on."""

from datetime import datetime

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import CronJob, ServiceSpec
from swarm.clock import nanoseconds
from swarm.model import task_state
from swarm.timestamps import SECOND
from tests.unit.orchestrator.bench import Bench, a_spec, running

ALLOW, FORBID, REPLACE = (
    CronJob.CONCURRENCY_POLICY_ALLOW,
    CronJob.CONCURRENCY_POLICY_FORBID,
    CronJob.CONCURRENCY_POLICY_REPLACE,
)


def a_cron(**fields: object) -> ServiceSpec:
    spec = a_spec()
    spec.cron.schedule = "*/5 * * * *"
    for name, value in fields.items():
        setattr(spec.cron, name, value)
    return spec


def at(bench: Bench, clock: str) -> None:
    """Move the time forward to HH:MM:SS of the day, and let the orchestrator look."""
    then = datetime.fromisoformat(f"2026-11-21T{clock}+00:00").timestamp()
    bench.clock.advance(then - bench.clock.now_ns() / SECOND)
    bench.run()


def a_bench(clock: str = "12:01:00", **fields: object) -> Bench:
    """Return a cron job that has been looked at once."""
    bench = Bench(a_cron(**fields))
    at(bench, clock)
    return bench


def run_for(task: Task) -> str:
    return f"{task.run_for.ToDatetime():%M}"


def runs(bench: Bench) -> list[int]:
    return sorted({task.job_iteration for task in bench.tasks})


def complete(bench: Bench) -> None:
    for task in running(bench):
        bench.report(task, task_state.COMPLETE)
    bench.run()


def test_nothing_runs_before_the_first_time_and_one_run_then() -> None:
    bench = a_bench()
    assert not bench.tasks
    plan = bench.plan()
    assert plan.wake_at_ns == nanoseconds(bench.service.job_status.next_run)
    at(bench, "12:04:59")
    assert not bench.tasks
    at(bench, "12:05:00")
    (task,) = running(bench)
    assert (task.job_iteration, run_for(task)) == (1, "05")
    for _ in range(5):
        bench.run(20)
    assert len(bench.tasks) == 1
    at(bench, "12:10:00")
    assert [run_for(task) for task in running(bench)] == ["05", "10"]


def test_the_run_is_written_down_in_the_transaction_that_makes_its_tasks() -> None:
    bench = a_bench(total_completions=3, max_concurrent=2)
    bench.clock.advance(300)
    plan = bench.plan()
    assert plan.service_change is not None
    assert plan.service_change.job_status.iteration == 1
    assert [step.create.job_iteration for step in plan.steps if step.create] == [1, 1]
    bench.look()
    assert bench.service.job_status.last_run.seconds % 300 == 0


def test_a_run_has_its_completions_and_never_more_at_a_time_than_allowed() -> None:
    bench = a_bench(total_completions=5, max_concurrent=2)
    at(bench, "12:05:00")
    done = 0
    while running(bench):
        assert len(running(bench)) <= 2
        bench.report(running(bench)[0], task_state.COMPLETE)
        done += 1
        bench.run()
    assert done == 5
    at(bench, "12:10:00")
    assert sorted(task.slot for task in running(bench)) == [1, 2]


def test_after_an_outage_only_the_latest_missed_time_is_made_up_for() -> None:
    bench = a_bench()
    at(bench, "12:33:00")
    assert [run_for(task) for task in running(bench)] == ["30"]
    assert bench.service.job_status.skipped == 1
    assert "no manager" in bench.service.job_status.skip_reason
    at(bench, "12:34:59")
    assert len(bench.tasks) == 1
    at(bench, "12:35:00")
    assert [run_for(task) for task in running(bench)] == ["30", "35"]


def test_beyond_the_starting_deadline_the_run_is_left_out() -> None:
    bench = a_bench(starting_deadline_ns=60 * SECOND)
    at(bench, "12:06:01")
    assert not bench.tasks
    assert "starting deadline" in bench.service.job_status.skip_reason
    assert bench.service.job_status.last_skipped.seconds % 600 == 300
    at(bench, "12:11:00")
    assert len(running(bench)) == 1


def test_forbid_leaves_out_a_time_at_which_the_run_before_goes_on() -> None:
    bench = a_bench(concurrency_policy=FORBID)
    at(bench, "12:05:00")
    at(bench, "12:10:00")
    assert runs(bench) == [1]
    assert "12:05 UTC still goes on" in bench.service.job_status.skip_reason
    complete(bench)
    bench.run(30)
    assert runs(bench) == [1], "what was left out is not made up for"
    at(bench, "12:15:00")
    assert runs(bench) == [1, 2]


def test_forbid_counts_a_run_as_going_on_while_a_retry_waits_and_not_once_it_failed_for_good() -> None:
    spec = a_cron(concurrency_policy=FORBID)
    spec.task.restart.max_attempts = 1
    spec.task.restart.delay_ns = 400 * SECOND
    bench = Bench(spec)
    at(bench, "12:01:00")
    at(bench, "12:05:00")
    bench.report(running(bench)[0], task_state.FAILED)
    bench.run()
    at(bench, "12:10:00")
    assert runs(bench) == [1]
    at(bench, "12:14:00")
    bench.report(running(bench)[0], task_state.FAILED)
    bench.run()
    at(bench, "12:15:00")
    assert runs(bench) == [1, 2]


def test_replace_stops_the_run_before_and_starts_when_it_has_stopped() -> None:
    bench = a_bench(concurrency_policy=REPLACE)
    at(bench, "12:05:00")
    (old,) = running(bench)
    bench.clock.advance(300)
    bench.settle()
    assert bench.service.job_status.iteration == 2
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert runs(bench) == [1]
    bench.run()
    assert [task.job_iteration for task in running(bench)] == [2]


def test_allow_lets_runs_overlap_and_each_go_on_to_its_end() -> None:
    bench = a_bench(concurrency_policy=ALLOW, total_completions=2, max_concurrent=1)
    at(bench, "12:05:00")
    at(bench, "12:10:00")
    assert [(task.job_iteration, task.slot) for task in running(bench)] == [(1, 1), (2, 1)]
    complete(bench)
    assert [(task.job_iteration, task.slot) for task in running(bench)] == [(1, 2), (2, 2)]
    assert [run_for(task) for task in running(bench)] == ["05", "10"]
    complete(bench)
    assert not bench.live


def test_the_tasks_of_as_many_runs_as_asked_for_are_kept_and_those_that_go_on() -> None:
    bench = a_bench(history=2)
    at(bench, "12:05:00")
    (slow,) = running(bench)
    for clock in ("12:10:00", "12:15:00", "12:20:00"):
        at(bench, clock)
        for task in running(bench):
            if task.id != slow.id:
                bench.report(task, task_state.COMPLETE)
        bench.run()
    assert runs(bench) == [1, 3, 4]
    complete(bench)
    assert runs(bench) == [3, 4]
    bench.run(60)
    assert runs(bench) == [3, 4]


def test_three_runs_are_kept_unless_said_otherwise() -> None:
    bench = a_bench()
    for minute in range(5, 40, 5):
        at(bench, f"12:{minute:02}:00")
        complete(bench)
    assert runs(bench) == [5, 6, 7]


def test_a_new_spec_ends_no_run_and_counts_for_the_next_one() -> None:
    bench = a_bench()
    at(bench, "12:05:00")
    bench.update(image="v2")
    bench.run(30)
    assert bench.images() == ["v1"]
    at(bench, "12:10:00")
    assert bench.images() == ["v1", "v2"]


def test_a_time_that_is_due_is_not_lost_because_the_spec_changes_in_the_same_moment() -> None:
    bench = a_bench()
    bench.clock.advance(240)  # 12:05, and nobody has looked yet
    bench.update(image="v2")
    bench.run()
    assert [run_for(task) for task in running(bench)] == ["05"]


def test_another_schedule_counts_from_now() -> None:
    bench = a_bench()

    def hourly(service) -> None:
        service.spec.cron.schedule = "0 * * * *"
        service.spec_version += 1

    bench.change_service(hourly)
    at(bench, "12:30:00")
    assert not bench.tasks
    at(bench, "13:00:00")
    assert len(running(bench)) == 1


def test_force_runs_it_now_and_leaves_the_schedule_alone() -> None:
    bench = a_bench()
    bench.update(force=True)
    at(bench, "12:02:00")
    assert len(running(bench)) == 1
    complete(bench)
    at(bench, "12:05:00")
    assert runs(bench) == [1, 2]


def test_a_failed_task_of_a_run_is_retried_within_it() -> None:
    bench = a_bench()
    at(bench, "12:05:00")
    bench.report(running(bench)[0], task_state.FAILED)
    bench.run(5)
    (again,) = running(bench)
    assert (again.job_iteration, run_for(again)) == (1, "05")


def test_a_clock_that_goes_back_with_another_leader_repeats_nothing() -> None:
    bench = a_bench()
    at(bench, "12:05:00")
    complete(bench)
    bench.clock.advance(-120)
    bench.run()
    at(bench, "12:05:30")
    assert runs(bench) == [1]
