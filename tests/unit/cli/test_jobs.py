"""Jobs on the command line: what options become, what is shown, and when a wait is over."""

import pytest

from swarm.api.v1.control_pb2 import ServiceStatus
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import CronJob
from swarm.cli.convergence import Verdict, look
from swarm.cli.drain import places_on, standing
from swarm.cli.inspect_view import service as inspected
from swarm.cli.inspect_view import task as inspected_task
from swarm.cli.job_view import moment, replicas_text, shown_mode
from swarm.cli.pretty import pretty_service
from swarm.cli.task_table import task_rows
from swarm.clock import SECOND
from swarm.errors import InvalidArgument
from swarm.model import task_state
from swarm.model.validate import validate_service
from tests.unit.cli.test_service_spec import created, updated


def a_job(total: int = 2, concurrent: int = 2) -> Service:
    service = Service(id="s", spec_version=3)
    service.spec.annotations.name = "fill"
    service.spec.replicated_job.total_completions = total
    service.spec.replicated_job.max_concurrent = concurrent
    service.job_status.iteration, service.job_status.spec_version = 2, 3
    return service


def a_task(
    slot: int, state: int, *, desired: int = task_state.RUNNING, run: int = 2, node: str = ""
) -> Task:
    task = Task(id=f"t{slot}{state}{run}", service_id="s", slot=slot, job_iteration=run, node_id=node)
    task.service_annotations.name = "fill"
    task.desired_state, task.status.state = desired, state
    return task


def done(slot: int, run: int = 2) -> Task:
    return a_task(slot, task_state.COMPLETE, desired=task_state.SHUTDOWN, run=run)


def failed(slot: int) -> Task:
    task = a_task(slot, task_state.FAILED, desired=task_state.SHUTDOWN)
    task.status.err = "exit code 7"
    return task


def test_options_make_jobs():
    spec = created(
        "--name", "j", "--mode", "replicated-job", "--replicas", "5", "--max-concurrent", "2", "i:1"
    )
    assert (spec.replicated_job.total_completions, spec.replicated_job.max_concurrent) == (5, 2)
    assert created("--mode", "global-job", "i:1").HasField("global_job")
    cron = created(
        *("--mode", "cron", "--schedule", "*/5 * * * *", "--timezone", "Europe/Berlin", "--history", "7"),
        *("--concurrency-policy", "forbid", "--starting-deadline", "10m", "--replicas", "3", "i:1"),
    ).cron
    assert (cron.schedule, cron.timezone, cron.history) == ("*/5 * * * *", "Europe/Berlin", 7)
    assert cron.concurrency_policy == CronJob.CONCURRENCY_POLICY_FORBID
    assert cron.starting_deadline_ns == 600 * SECOND
    assert cron.total_completions == 3
    changed = updated(
        created("--name", "j", "--mode", "replicated-job", "i:1"), "--max-concurrent", "4", "--force"
    )
    assert changed.replicated_job.max_concurrent == 4
    assert changed.task.force_update == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--max-concurrent", "2"), "--max-concurrent"),
        (("--mode", "global-job", "--replicas", "2"), "--replicas"),
        (("--mode", "global", "--replicas-max-per-node", "2"), "--replicas-max-per-node"),
        (("--mode", "cron"), "--schedule"),
        (("--schedule", "* * * * *"), "--schedule"),
        (("--mode", "global-job", "--max-concurrent", "2"), "--max-concurrent"),
    ],
)
def test_options_of_another_mode_are_refused_by_name(words, complaint):
    with pytest.raises(InvalidArgument, match=complaint):
        created(*words, "i:1")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--mode", "replicated-job", "--update-delay", "1s"), "no update or rollback config"),
        (("--mode", "global-job", "--rollback-delay", "1s"), "no update or rollback config"),
        (("--mode", "replicated-job", "--restart-condition", "any"), "on-failure or none"),
        (("--mode", "replicated-job", "--replicas", "0"), "not between 1"),
        (("--mode", "cron", "--schedule", "* * *"), "five fields"),
        (("--mode", "cron", "--schedule", "* * * * *", "--timezone", "Mars"), "time zone"),
        (("--mode", "cron", "--schedule", "* * * * *", "--history", "5000"), "history of 5000"),
    ],
)
def test_a_job_that_cannot_be_is_refused_with_its_reason(words, complaint):
    with pytest.raises(InvalidArgument, match=complaint):
        validate_service(created("--name", "j", *words, "i:1"))


def test_a_job_is_listed_with_what_is_completed():
    status = ServiceStatus(running_tasks=2, desired_tasks=2, completed_tasks=3)
    assert replicas_text(a_job(total=5), status) == "2/2 (3/5 completed)"
    assert shown_mode(a_job()) == "replicated job"
    everywhere = Service()
    everywhere.spec.global_job.SetInParent()
    assert replicas_text(everywhere, status) == "2/2 (3/5 completed)"
    assert shown_mode(everywhere) == "global job"


def test_a_job_has_converged_when_every_place_completed_once():
    assert look(a_job(), [done(1)], {}).verdict is Verdict.WAITING
    assert look(a_job(), [done(1), a_task(2, task_state.RUNNING)], {}).verdict is Verdict.WAITING
    picture = look(a_job(), [failed(1), done(1), done(2)], {})
    assert (picture.verdict, picture.running, picture.wanted) == (Verdict.CONVERGED, 2, 2)


def test_a_job_that_failed_for_good_has_failed_with_the_reason_and_only_when_nothing_runs_any_more():
    assert look(a_job(), [failed(1), a_task(2, task_state.RUNNING)], {}).verdict is Verdict.WAITING
    picture = look(a_job(), [failed(1), done(2)], {})
    assert picture.verdict is Verdict.FAILED
    assert "1 of 2 tasks completed" in picture.reason
    assert "exit code 7" in picture.reason


def test_what_completed_in_the_run_before_does_not_count():
    assert look(a_job(), [done(1, run=1), done(2, run=1)], {}).verdict is Verdict.WAITING
    updated_job = a_job()
    updated_job.spec_version = 4  # and the orchestrator has not looked yet
    assert look(updated_job, [done(1), done(2)], {}).verdict is Verdict.WAITING


def test_the_tasks_of_a_job_are_meant_to_complete():
    rows = task_rows([a_task(1, task_state.RUNNING), done(2), failed(3)], {}, 0, truncate=True)
    assert [row["DesiredState"] for row in rows] == ["Complete", "Complete", "Shutdown"]
    view = inspected_task(done(2))
    assert (view["DesiredState"], view["JobIteration"]) == ("complete", {"Index": 1})


def test_a_cron_job_shows_its_times_in_its_own_zone():
    service = Service(spec_version=1)
    service.spec.cron.schedule, service.spec.cron.timezone = "30 2 * * *", "Europe/Berlin"
    service.job_status.iteration, service.job_status.spec_version = 3, 1
    service.job_status.next_run.FromJsonString("2026-11-22T01:30:00Z")
    service.job_status.last_skipped.FromJsonString("2026-11-21T01:30:00Z")
    service.job_status.skipped, service.job_status.skip_reason = 1, "no manager could begin it in time"
    assert moment(service, service.job_status.next_run) == "2026-11-22 02:30 CET"
    assert moment(service, service.job_status.last_run) == ""
    view = inspected(service)
    assert view["Spec"]["Mode"]["Cron"]["Timezone"] == "Europe/Berlin"
    assert view["JobStatus"]["JobIteration"] == {"Index": 2}
    assert view["JobStatus"]["NextRun"] == "2026-11-22T01:30:00.000000000Z"
    page = pretty_service(service)
    assert "Next run: 2026-11-22 02:30 CET" in page
    assert "no manager could begin it" in page


def test_a_drain_is_done_when_the_node_is_empty_and_everything_runs_elsewhere():
    old = a_task(1, task_state.RUNNING, run=0, node="n1")
    places = places_on("n1", [old])
    assert not standing("n1", places, [old], 0).is_done
    stopped = a_task(1, task_state.SHUTDOWN, desired=task_state.SHUTDOWN, run=0, node="n1")
    pending = a_task(1, task_state.PENDING, run=0)
    pending.status.err = "no suitable node"
    waiting = standing("n1", places, [stopped, pending], 0)
    assert not waiting.here
    assert waiting.nowhere == {"fill.1": "no suitable node"}
    assert standing("n1", places, [stopped, a_task(1, task_state.RUNNING, run=0, node="n2")], 0).is_done
    assert standing("n1", places, [stopped], 0).is_done, "removed meanwhile: nobody misses it"
