"""Docker's state machine of health, as pure functions, and what comes of it in the task machine."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent import task_events as events
from swarm.agent.health import (
    after,
    begun,
    delay_ns,
    is_news,
    is_worth_keeping,
    probe_result,
    reported,
    unhealthy_reason,
)
from swarm.agent.task_machine import Phase, TaskRecord, advance, begin
from swarm.agent.task_status import loggable_reason
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HealthStatus, TaskStatus
from swarm.model.health import HEALTHY, STARTING, UNHEALTHY, HealthCheck, Tcp
from swarm.model.task_state import FAILED, RUNNING, SHUTDOWN
from swarm.model.task_state import STARTING as TASK_STARTING
from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.timestamps import SECOND

NOW = 1_700_000_000 * SECOND
CHECK = HealthCheck(Tcp(80), interval_ns=10 * SECOND, start_interval_ns=2 * SECOND, retries=3)
INFO = ContainerInfo("t1", ContainerState.RUNNING, pid=42, started_at_ns=NOW)


def _asked(
    check: HealthCheck, results: list[tuple[float, int]], health: HealthStatus | None = None
) -> HealthStatus:
    """The health after probes: (seconds after the start, exit code)."""
    health = health or begun()
    for at_s, code in results:
        at_ns = NOW + int(at_s * SECOND)
        health = after(check, health, probe_result(at_ns, at_ns + 1, code, f"said {code}"), NOW)
    return health


@pytest.mark.parametrize(
    ("results", "state", "streak"),
    [
        ([], STARTING, 0),
        ([(2, 0)], HEALTHY, 0),
        ([(2, 1), (4, 1), (9, 1)], STARTING, 0),  # Docker would not even have asked yet
        ([(10, 1), (20, 1)], STARTING, 2),
        ([(10, 1), (20, 1), (30, 1)], UNHEALTHY, 3),
        ([(10, 1), (20, 0), (30, 1), (40, 1)], HEALTHY, 2),
        ([(1, 0), (2, 1), (3, 1), (4, 1)], UNHEALTHY, 3),  # it was healthy: nothing is forgiven any more
        ([(10, 1), (20, -1), (30, 2), (40, 0)], HEALTHY, 0),
        ([(10, 1), (20, 1), (30, 1), (40, 1)], UNHEALTHY, 4),
    ],
)
def test_probes_decide_as_in_docker(results: list[tuple[float, int]], state: int, streak: int) -> None:
    health = _asked(CHECK, results)
    assert (health.state, health.failing_streak) == (state, streak)


def test_failures_in_the_start_period_do_not_count() -> None:
    patient = replace(CHECK, start_period_ns=60 * SECOND)
    assert _asked(patient, [(at, 1) for at in range(2, 60, 2)]).failing_streak == 0
    assert _asked(patient, [(59, 1), (60, 1), (70, 1), (80, 1)]).state == UNHEALTHY


def test_probes_come_often_until_the_first_success_or_the_end_of_the_start() -> None:
    def wait(health: HealthStatus, last_s: float, now_s: float) -> float:
        return delay_ns(CHECK, health, NOW, NOW + int(last_s * SECOND), NOW + int(now_s * SECOND)) / SECOND

    assert wait(begun(), 0, 0) == 2
    assert wait(begun(), 4, 5) == 1
    assert wait(begun(), 11, 11) == 10
    assert wait(_asked(CHECK, [(2, 0)]), 2, 2) == 10
    assert wait(_asked(CHECK, [(2, 0)]), 2, 1000) == 0  # the agent was away
    assert wait(_asked(CHECK, [(2, 0)]), 2, -100_000) == 10  # the clock was set back


@given(
    st.lists(st.tuples(st.floats(0, 500), st.integers(-1, 2)), max_size=30),
    st.integers(1, 5),
    st.integers(0, 100),
)
def test_health_follows_from_the_probes_alone(
    results: list[tuple[float, int]], retries: int, start_s: int
) -> None:
    check = replace(CHECK, retries=retries, start_period_ns=start_s * SECOND)
    results = sorted(results)
    health = _asked(check, results)
    codes = [code for _, code in results]
    tail = len(codes) - max((at for at, code in enumerate(codes) if code == 0), default=-1) - 1
    assert health.failing_streak <= tail
    assert (health.state == UNHEALTHY) == (health.failing_streak >= retries)
    if health.state == STARTING:
        assert 0 not in codes
    if codes and codes[-1] == 0:
        assert health.state == HEALTHY
    assert len(health.log) == min(5, len(codes))
    assert 0 <= delay_ns(check, health, NOW, NOW, NOW) <= max(check.interval_ns, check.start_interval_ns)
    # An agent that was restarted in between comes to the same.
    half = len(results) // 2
    kept = HealthStatus.FromString(_asked(check, results[:half]).SerializeToString())
    assert _asked(check, results[half:], kept) == health


def test_only_changes_are_reported_and_a_healthy_container_writes_nothing() -> None:
    first_failure = _asked(CHECK, [(2, 1)])
    assert is_news(begun(), first_failure)
    assert not is_news(first_failure, _asked(CHECK, [(2, 1), (4, 1)]))
    healthy = _asked(CHECK, [(2, 0)])
    assert is_news(begun(), healthy)
    again = _asked(CHECK, [(2, 0), (12, 0)])
    assert not is_news(healthy, again)
    assert not is_worth_keeping(healthy, again)
    assert is_worth_keeping(healthy, _asked(CHECK, [(2, 0), (12, 1)]))
    assert not reported(again).log
    assert len(reported(_asked(CHECK, [(10, 1), (20, 1), (30, 1)])).log) == 3


def test_what_a_probe_said_is_cut_and_cannot_upset_a_terminal() -> None:
    kept = probe_result(NOW, NOW, 1, "\x1b[31mred\x00\nnext " + "x" * 5000)
    assert kept.output.startswith("[31mred \nnext x")
    assert len(kept.output) == 512


def test_the_reason_says_what_the_last_probe_said() -> None:
    unhealthy = _asked(CHECK, [(10, 1), (20, 1), (30, 7)])
    assert (
        unhealthy_reason(unhealthy)
        == 'unhealthy: last probe said "said 7" (exit code 7, 3 failures in a row)'
    )


# In the task machine.


def _running(check: HealthCheck | None, state: int = TASK_STARTING) -> TaskRecord:
    record = TaskRecord(
        Task(id="t1", desired_state=RUNNING), TaskStatus(state=state), Phase.STARTING, check=check
    )
    return advance(record, events.ContainerStarted(INFO), NOW).record


def _told(record: TaskRecord, health: HealthStatus) -> TaskRecord:
    return advance(record, events.HealthChanged(health), NOW + SECOND).record


def test_a_task_with_a_health_check_runs_only_when_it_is_healthy() -> None:
    record = _running(CHECK)
    assert (record.phase, record.status.state) == (Phase.RUNNING, TASK_STARTING)
    record = _told(record, begun())
    assert record.status.state == TASK_STARTING
    assert record.status.container.health.state == STARTING
    record = _told(record, _asked(CHECK, [(2, 0)]))
    assert record.status.state == RUNNING
    assert record.status.container.health == HealthStatus(state=HEALTHY)


def test_without_a_check_or_one_that_only_informs_it_runs_at_once() -> None:
    assert _running(None).status.state == RUNNING
    informing = replace(CHECK, gates=False)
    record = _running(informing)
    assert record.status.state == RUNNING
    unhealthy = _told(record, _asked(CHECK, [(10, 1), (20, 1), (30, 1)]))
    assert (unhealthy.phase, unhealthy.status.state) == (Phase.RUNNING, RUNNING)
    assert unhealthy.status.container.health.state == UNHEALTHY
    assert unhealthy.status.err.startswith("unhealthy: ")
    assert unhealthy.status.timestamp == record.status.timestamp  # it runs since then
    assert not _told(unhealthy, _asked(CHECK, [(40, 0)])).status.err


@pytest.mark.parametrize("state", [TASK_STARTING, RUNNING])
def test_an_unhealthy_container_is_stopped_and_its_task_failed(state: int) -> None:
    step = advance(
        _running(CHECK, state),
        events.HealthChanged(_asked(CHECK, [(10, 1), (20, 1), (30, 1)])),
        NOW,
    )
    assert step.record.phase is Phase.STOPPING
    assert [type(one) for one in step.instructions] == [events.StopContainer]
    assert step.record.status.state == state  # it is not called failed before it has stopped
    stopped = advance(step.record, events.ContainerStopped(INFO), NOW).record
    failed = advance(stopped, events.NetworkDetached(), NOW).record.status
    assert (failed.state, failed.container.health.state) == (FAILED, UNHEALTHY)
    assert failed.err.startswith('unhealthy: last probe said "said 1"')
    assert loggable_reason(failed) == "unhealthy"  # what it said may be secret
    # Late news change nothing.
    assert _told(stopped, _asked(CHECK, [(2, 0)])) == stopped


def test_a_task_that_is_told_to_stop_before_it_is_healthy_was_shut_down() -> None:
    told = advance(_running(CHECK), events.Wanted(Task(id="t1", desired_state=SHUTDOWN)), NOW)
    assert [type(one) for one in told.instructions] == [events.StopContainer]
    stopped = advance(told.record, events.ContainerStopped(INFO), NOW).record
    assert advance(stopped, events.NetworkDetached(), NOW).record.status.state == SHUTDOWN


@pytest.mark.parametrize("state", [TASK_STARTING, RUNNING])
def test_after_a_restart_of_the_agent_a_task_is_as_healthy_as_before(state: int) -> None:
    begun_again = begin(Task(id="t1", desired_state=RUNNING), TaskStatus(state=state), NOW, CHECK)
    step = advance(begun_again.record, events.Inspected(INFO), NOW)
    assert step.record.status.state == state
    assert step.instructions == (events.WaitContainer(), events.WatchHealth(CHECK, NOW))
