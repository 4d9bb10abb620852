"""Every phase with every event, and the stories that matter."""

import itertools
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent import task_events as events
from swarm.agent.network.base import PublishedPort, Sandbox
from swarm.agent.task_machine import TRANSITIONS, Phase, Step, TaskRecord, advance, begin
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HEALTH_STATE_HEALTHY, HealthStatus, TaskStatus
from swarm.model.task_state import (
    ACCEPTED,
    ASSIGNED,
    COMPLETE,
    FAILED,
    ORPHANED,
    PREPARING,
    READY,
    REJECTED,
    REMOVE,
    RUNNING,
    SHUTDOWN,
    STARTING,
    is_terminal,
)
from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.timestamps import nanoseconds

NOW = 1_700_000_000_000_000_000
INFO = ContainerInfo("t1", ContainerState.RUNNING, pid=42)
EXITED = ContainerInfo("t1", ContainerState.EXITED, exit_code=0)
SANDBOX = Sandbox("t1", "10.0.0.2", "/ns", "/resolv", (PublishedPort("tcp", 8080, 80),))


def a_task(desired: int = RUNNING, state: int = ASSIGNED) -> Task:
    task = Task(id="t1", desired_state=desired)
    task.status.state = state
    return task


def every_event(desired: int = RUNNING) -> list[events.Event]:
    return [
        events.Wanted(a_task(desired)),
        events.Unwanted(),
        events.Inspected(None),
        events.Progress("half way"),
        events.ImagePulled("sha256:1"),
        events.NetworkAttached(SANDBOX),
        events.ContainerCreated(),
        events.ContainerStarted(INFO),
        events.ContainerEnded(EXITED),
        events.HealthChanged(HealthStatus(state=HEALTH_STATE_HEALTHY)),
        events.ContainerStopped(EXITED),
        events.ContainerRemoved(),
        events.NetworkDetached(),
        events.InstructionFailed("broken", temporary=False),
        events.Drained(),
        events.RetryDue(),
    ]


# The state that a record typically has in a phase.
TYPICAL = {
    Phase.INSPECTING: ACCEPTED,
    Phase.PULLING: PREPARING,
    Phase.ATTACHING: PREPARING,
    Phase.CREATING: PREPARING,
    Phase.READY: READY,
    Phase.STARTING: STARTING,
    Phase.RUNNING: RUNNING,
    Phase.DRAINING: RUNNING,
    Phase.STOPPING: RUNNING,
    Phase.CLEARING: PREPARING,
    Phase.DETACHING: RUNNING,
    Phase.ENDED: FAILED,
    Phase.REMOVING: FAILED,
    Phase.GONE: FAILED,
}


def a_record(phase: Phase, desired: int = RUNNING, *, wanted: bool = True) -> TaskRecord:
    end = TaskStatus(state=FAILED) if phase in {Phase.CLEARING, Phase.DETACHING} else None
    return TaskRecord(a_task(desired), TaskStatus(state=TYPICAL[phase]), phase, wanted=wanted, end=end)


def names(step: Step) -> list[str]:
    return [type(one).__name__ for one in step.instructions]


# phase → event → (phase after, state after, instructions); what is absent changes nothing. Desired: RUNNING.
EXPECTED: dict[Phase, dict[str, tuple[Phase, int, list[str]]]] = {
    Phase.INSPECTING: {
        "Inspected": (Phase.PULLING, PREPARING, ["PullImage"]),
        "InstructionFailed": (Phase.INSPECTING, ACCEPTED, ["RetryLater"]),
        "RetryDue": (Phase.INSPECTING, ACCEPTED, ["InspectContainer"]),
    },
    Phase.PULLING: {
        "Unwanted": (Phase.PULLING, PREPARING, ["CancelCurrent"]),
        "Progress": (Phase.PULLING, PREPARING, []),
        "ImagePulled": (Phase.ATTACHING, PREPARING, ["AttachNetwork"]),
        "InstructionFailed": (Phase.CLEARING, PREPARING, ["RemoveContainer"]),
        "RetryDue": (Phase.PULLING, PREPARING, ["PullImage"]),
    },
    Phase.ATTACHING: {
        "NetworkAttached": (Phase.CREATING, PREPARING, ["CreateContainer"]),
        "InstructionFailed": (Phase.CLEARING, PREPARING, ["RemoveContainer"]),
        "RetryDue": (Phase.ATTACHING, PREPARING, ["AttachNetwork"]),
    },
    Phase.CREATING: {
        "ContainerCreated": (Phase.STARTING, STARTING, ["StartContainer"]),
        "InstructionFailed": (Phase.CLEARING, PREPARING, ["RemoveContainer"]),
        "RetryDue": (Phase.CREATING, PREPARING, ["CreateContainer"]),
    },
    Phase.READY: {
        "Wanted": (Phase.STARTING, STARTING, ["StartContainer"]),
        "Unwanted": (Phase.CLEARING, READY, ["RemoveContainer"]),
    },
    Phase.STARTING: {
        "ContainerStarted": (Phase.RUNNING, RUNNING, ["WaitContainer"]),
        "InstructionFailed": (Phase.CLEARING, STARTING, ["RemoveContainer"]),
        "RetryDue": (Phase.STARTING, STARTING, ["StartContainer"]),
    },
    Phase.RUNNING: {
        "Unwanted": (Phase.STOPPING, RUNNING, ["StopContainer"]),
        "ContainerEnded": (Phase.DETACHING, RUNNING, ["DetachNetwork"]),
        "InstructionFailed": (Phase.INSPECTING, RUNNING, ["RetryLater"]),
    },
    Phase.DRAINING: {
        "ContainerEnded": (Phase.DETACHING, RUNNING, ["DetachNetwork"]),
        "InstructionFailed": (Phase.INSPECTING, RUNNING, ["RetryLater"]),
        "Drained": (Phase.STOPPING, RUNNING, ["StopContainer"]),
        "Unwanted": (Phase.DRAINING, RUNNING, ["Drain"]),  # nobody will say any more what it waits for
    },
    Phase.STOPPING: {
        "ContainerStopped": (Phase.DETACHING, RUNNING, ["DetachNetwork"]),
        "InstructionFailed": (Phase.STOPPING, RUNNING, ["RetryLater"]),
        "RetryDue": (Phase.STOPPING, RUNNING, ["StopContainer"]),
    },
    Phase.CLEARING: {
        "ContainerRemoved": (Phase.DETACHING, PREPARING, ["DetachNetwork"]),
        "InstructionFailed": (Phase.CLEARING, FAILED, ["RetryLater"]),
        "RetryDue": (Phase.CLEARING, PREPARING, ["RemoveContainer"]),
    },
    Phase.DETACHING: {
        "NetworkDetached": (Phase.ENDED, FAILED, []),
        "InstructionFailed": (Phase.DETACHING, FAILED, ["RetryLater"]),
        "RetryDue": (Phase.DETACHING, RUNNING, ["DetachNetwork"]),
    },
    Phase.ENDED: {"Unwanted": (Phase.REMOVING, FAILED, ["RemoveContainer"])},
    Phase.REMOVING: {
        "ContainerRemoved": (Phase.GONE, FAILED, ["Forget"]),
        "InstructionFailed": (Phase.REMOVING, FAILED, ["RetryLater"]),
        "RetryDue": (Phase.REMOVING, FAILED, ["RemoveContainer"]),
    },
    Phase.GONE: {},
}


@pytest.mark.parametrize(
    ("phase", "event"),
    list(itertools.product(Phase, every_event())),
    ids=lambda value: value.name if isinstance(value, Phase) else type(value).__name__,
)
def test_every_event_in_every_phase_leads_where_the_table_says(phase: Phase, event: events.Event) -> None:
    record = a_record(phase)
    step = advance(record, event, NOW)
    unchanged = (phase, TYPICAL[phase], [])
    after = (step.record.phase, step.record.status.state, names(step))
    assert after == EXPECTED[phase].get(type(event).__name__, unchanged)


def test_the_table_of_the_machine_names_every_phase_and_only_real_events() -> None:
    known = set(get_args(events.Event))
    assert set(TRANSITIONS) == set(Phase)
    assert {event for row in TRANSITIONS.values() for event in row} <= known
    assert {type(event) for event in every_event()} == known


def in_networks(desired: int, drain_ns: int | None = None) -> Task:
    task = a_task(desired)
    task.networks.add(network_id="shop", addresses=["10.0.0.2"])
    if drain_ns is not None:
        task.endpoint.drain_ns = drain_ns
    return task


def test_a_task_that_others_may_ask_for_something_drains_before_it_is_stopped() -> None:
    record = replace(a_record(Phase.RUNNING), task=in_networks(RUNNING))
    draining = advance(record, events.Wanted(in_networks(SHUTDOWN)), NOW)
    assert draining.instructions == (events.Drain(6.0),), "at most, until the managers say more"
    stopping = advance(draining.record, events.Drained(), NOW)
    assert (stopping.record.phase, names(stopping)) == (Phase.STOPPING, ["StopContainer"])

    told = advance(record, events.Wanted(in_networks(SHUTDOWN, 30_000_000_000)), NOW)
    assert told.instructions == (events.Drain(35.0),)
    at_once = advance(record, events.Wanted(in_networks(SHUTDOWN, 0)), NOW)
    assert names(at_once) == ["StopContainer"]


def test_a_task_drains_from_when_every_node_has_said_that_it_leads_nobody_there() -> None:
    record = replace(a_record(Phase.RUNNING), task=in_networks(RUNNING))
    draining = advance(record, events.Wanted(in_networks(SHUTDOWN)), NOW).record
    assert advance(draining, events.Wanted(in_networks(SHUTDOWN)), NOW).instructions == ()
    withdrawn = in_networks(SHUTDOWN)
    withdrawn.withdrawn = True
    told = advance(draining, events.Wanted(withdrawn), NOW)
    assert (told.record.phase, told.instructions) == (Phase.DRAINING, (events.Drain(1.0),))
    again = advance(told.record, events.Wanted(withdrawn), NOW)
    assert (again.record.phase, again.instructions) == (Phase.DRAINING, ())
    assert advance(record, events.Wanted(withdrawn), NOW).instructions == (events.Drain(1.0),)


def test_a_task_that_managers_want_no_more_waits_for_no_word_of_theirs() -> None:
    record = replace(a_record(Phase.RUNNING), task=in_networks(RUNNING))
    assert advance(record, events.Unwanted(), NOW).instructions == (events.Drain(1.0),)
    draining = advance(record, events.Wanted(in_networks(SHUTDOWN)), NOW).record
    assert advance(draining, events.Unwanted(), NOW).instructions == (events.Drain(1.0),)


def test_a_task_that_is_not_healthy_yet_or_any_more_does_not_drain() -> None:
    record = replace(a_record(Phase.RUNNING), task=in_networks(RUNNING), status=TaskStatus(state=STARTING))
    assert names(advance(record, events.Wanted(in_networks(SHUTDOWN)), NOW)) == ["StopContainer"]


def test_an_agent_that_restarts_while_a_task_drains_drains_it_again() -> None:
    begun = begin(in_networks(SHUTDOWN), TaskStatus(state=RUNNING), NOW)
    found = advance(begun.record, events.Inspected(INFO), NOW)
    assert (found.record.phase, names(found)) == (Phase.DRAINING, ["Drain"])


@pytest.mark.parametrize("desired", [SHUTDOWN, REMOVE])
@pytest.mark.parametrize(
    ("phase", "event", "instruction"),
    [
        (Phase.INSPECTING, events.Inspected(None), "RemoveContainer"),
        (Phase.INSPECTING, events.Inspected(INFO), "StopContainer"),
        (Phase.PULLING, events.Wanted(a_task(SHUTDOWN)), "CancelCurrent"),
        (Phase.PULLING, events.ImagePulled("sha256:1"), "RemoveContainer"),
        (Phase.PULLING, events.InstructionFailed("given up", temporary=True), "RemoveContainer"),
        (Phase.PULLING, events.RetryDue(), "RemoveContainer"),
        (Phase.ATTACHING, events.NetworkAttached(SANDBOX), "RemoveContainer"),
        (Phase.ATTACHING, events.InstructionFailed("busy", temporary=True), "RemoveContainer"),
        (Phase.CREATING, events.ContainerCreated(), "RemoveContainer"),
        (Phase.READY, events.Wanted(a_task(SHUTDOWN)), "RemoveContainer"),
        (Phase.STARTING, events.ContainerStarted(INFO), "StopContainer"),
        (Phase.STARTING, events.RetryDue(), "RemoveContainer"),
        (Phase.RUNNING, events.Wanted(a_task(SHUTDOWN)), "StopContainer"),
    ],
)
def test_a_task_that_must_stop_is_stopped_from_wherever_it_is(
    phase: Phase, event: events.Event, instruction: str, desired: int
) -> None:
    step = advance(a_record(phase, desired), event, NOW)
    assert names(step) == [instruction]


def test_a_task_that_a_manager_gave_up_is_stopped_although_it_is_desired_to_run() -> None:
    step = advance(a_record(Phase.RUNNING), events.Wanted(a_task(RUNNING, REJECTED)), NOW)
    assert names(step) == ["StopContainer"]


def test_a_state_began_when_it_began_whatever_is_said_of_it_since() -> None:
    pulling = advance(a_record(Phase.INSPECTING), events.Inspected(None), NOW).record
    later = advance(pulling, events.Progress("half way"), NOW + 5).record
    failed = advance(later, events.InstructionFailed("busy", temporary=True), NOW + 6).record
    assert (later.status.message, failed.status.err) == ("half way", "busy")
    assert nanoseconds(later.status.timestamp) == nanoseconds(failed.status.timestamp) == NOW
    starting = replace(failed, phase=Phase.STARTING)
    running = advance(starting, events.ContainerStarted(INFO), NOW + 7).record
    assert nanoseconds(running.status.timestamp) == NOW + 7


@pytest.mark.parametrize("phase", [Phase.PULLING, Phase.ATTACHING, Phase.CREATING, Phase.STARTING])
def test_a_temporary_failure_is_tried_again_after_a_second_and_shows_why(phase: Phase) -> None:
    record = a_record(phase)
    step = advance(record, events.InstructionFailed("busy", temporary=True), NOW)
    assert step.record.phase is phase
    assert step.record.status.state == record.status.state
    assert step.record.status.err == "busy"
    assert step.instructions == (events.RetryLater(1.0),)
    again = advance(step.record, events.InstructionFailed("busy", temporary=True), NOW + 1)
    assert again.record.status is step.record.status, "the same is not said every second"
    other = advance(step.record, events.InstructionFailed("full", temporary=True), NOW + 1)
    assert other.record.status.err == "full"


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.PULLING, REJECTED),
        (Phase.ATTACHING, REJECTED),
        (Phase.CREATING, REJECTED),
        (Phase.STARTING, FAILED),
    ],
)
def test_an_error_before_starting_rejects_and_from_there_on_fails(phase: Phase, state: int) -> None:
    step = advance(a_record(phase), events.InstructionFailed("bad", temporary=False), NOW)
    step = advance(step.record, events.ContainerRemoved(), NOW)
    step = advance(step.record, events.NetworkDetached(), NOW)
    assert (step.record.status.state, step.record.status.err) == (state, "bad")
    assert step.record.phase is Phase.ENDED


@pytest.mark.parametrize(
    ("info", "state", "text"),
    [
        (EXITED, COMPLETE, ""),
        (replace(EXITED, exit_code=2), FAILED, "exit code 2"),
        (replace(EXITED, exit_code=137, oom_killed=True), FAILED, "OOMKilled"),
        (replace(EXITED, error="shim lost"), FAILED, "shim lost"),
    ],
)
def test_the_exit_of_a_container_decides_how_the_task_ended(
    info: ContainerInfo, state: int, text: str
) -> None:
    step = advance(a_record(Phase.RUNNING), events.ContainerEnded(info), NOW)
    assert step.record.status.state == RUNNING  # not before its ports are free
    step = advance(step.record, events.NetworkDetached(), NOW)
    assert step.record.status.state == state
    assert text in step.record.status.err
    assert step.record.status.container.exit_code == info.exit_code
    assert not step.record.status.ports


@pytest.mark.parametrize(
    ("state", "found", "phase", "instructions"),
    [
        (ACCEPTED, None, Phase.PULLING, ["PullImage"]),
        (READY, ContainerState.CREATED, Phase.PULLING, ["PullImage"]),
        (READY, ContainerState.RUNNING, Phase.RUNNING, ["WaitContainer"]),
        (STARTING, ContainerState.CREATED, Phase.STARTING, ["StartContainer"]),
        (STARTING, ContainerState.RUNNING, Phase.RUNNING, ["WaitContainer"]),
        (STARTING, None, Phase.CLEARING, ["RemoveContainer"]),
        (RUNNING, ContainerState.RUNNING, Phase.RUNNING, ["WaitContainer"]),
        (RUNNING, ContainerState.EXITED, Phase.DETACHING, ["DetachNetwork"]),
        (RUNNING, None, Phase.CLEARING, ["RemoveContainer"]),
        (COMPLETE, ContainerState.EXITED, Phase.DETACHING, ["DetachNetwork"]),
        (COMPLETE, None, Phase.DETACHING, ["DetachNetwork"]),
        (FAILED, ContainerState.RUNNING, Phase.STOPPING, ["StopContainer"]),
    ],
)
def test_after_a_restart_a_task_goes_on_from_what_is_found(
    state: int, found: ContainerState | None, phase: Phase, instructions: list[str]
) -> None:
    step = begin(a_task(), TaskStatus(state=state), NOW)
    assert names(step) == ["InspectContainer"]
    info = ContainerInfo("t1", found) if found else None
    step = advance(step.record, events.Inspected(info), NOW)
    assert (step.record.phase, names(step)) == (phase, instructions)
    assert step.record.status.state >= state


def test_a_finished_task_keeps_its_final_status_whatever_is_found_of_it() -> None:
    step = begin(a_task(), TaskStatus(state=COMPLETE, message="finished"), NOW)
    for event in (events.Inspected(INFO), events.ContainerStopped(EXITED), events.NetworkDetached()):
        step = advance(step.record, event, NOW)
    assert step.record.phase is Phase.ENDED
    assert (step.record.status.state, step.record.status.message) == (COMPLETE, "finished")


def test_a_task_new_to_this_node_whose_managers_saw_it_run_is_not_started_a_second_time() -> None:
    step = begin(a_task(RUNNING, RUNNING), None, NOW)
    step = advance(step.record, events.Inspected(None), NOW)
    assert step.record.end is not None
    assert step.record.end.state == FAILED


def test_an_orphaned_task_is_not_started() -> None:
    step = begin(a_task(RUNNING, ORPHANED), None, NOW)
    step = advance(step.record, events.Inspected(None), NOW)
    assert names(step) == ["DetachNetwork"]


def test_ports_and_address_are_reported_from_ready_on_and_gone_at_the_end() -> None:
    step = advance(a_record(Phase.ATTACHING, READY), events.NetworkAttached(SANDBOX), NOW)
    step = advance(step.record, events.ContainerCreated(), NOW)
    assert step.record.status.state == READY
    assert step.record.status.address == "10.0.0.2"
    assert step.record.status.ports[0].published_port == 8080
    step = advance(step.record, events.Wanted(a_task(RUNNING)), NOW)
    step = advance(step.record, events.ContainerStarted(INFO), NOW)
    assert step.record.status.ports[0].published_port == 8080
    assert step.record.status.container.pid == 42


def test_the_grace_period_of_the_spec_is_given() -> None:
    task = a_task(SHUTDOWN)
    task.spec.container.stop_grace_period_ns = 3_500_000_000
    step = advance(a_record(Phase.RUNNING), events.Wanted(task), NOW)
    assert step.instructions == (events.StopContainer(3.5),)


def test_a_task_wanted_again_while_it_is_removed_is_remembered_as_wanted() -> None:
    removing = advance(a_record(Phase.ENDED), events.Unwanted(), NOW).record
    again = advance(removing, events.Wanted(a_task()), NOW).record
    step = advance(again, events.ContainerRemoved(), NOW)
    assert (step.record.phase, step.record.wanted) == (Phase.GONE, True)


@st.composite
def _any_event(draw: st.DrawFn) -> events.Event:
    desired = draw(st.sampled_from([READY, RUNNING, SHUTDOWN, REMOVE]))
    found = draw(st.sampled_from([None, INFO, EXITED, ContainerInfo("t1", ContainerState.CREATED)]))
    failed = events.InstructionFailed("x", temporary=draw(st.booleans()))
    return draw(st.sampled_from([*every_event(desired), events.Inspected(found), failed]))


@given(st.lists(_any_event(), max_size=40))
def test_no_sequence_of_events_moves_the_status_back_or_changes_a_final_one(
    happenings: list[events.Event],
) -> None:
    record = begin(a_task(), None, NOW).record
    for event in happenings:
        step = advance(record, event, NOW)
        assert step.record.status.state >= record.status.state
        if is_terminal(record.status.state):
            assert step.record.status is record.status
        if step.record.phase is Phase.GONE:
            break
        record = step.record


RESULTS = {
    events.InspectContainer: events.Inspected(None),
    events.PullImage: events.ImagePulled("sha256:1"),
    events.AttachNetwork: events.NetworkAttached(SANDBOX),
    events.CreateContainer: events.ContainerCreated(),
    events.StartContainer: events.ContainerStarted(INFO),
    events.StopContainer: events.ContainerStopped(EXITED),
    events.RemoveContainer: events.ContainerRemoved(),
    events.DetachNetwork: events.NetworkDetached(),
    events.RetryLater: events.RetryDue(),
    events.CancelCurrent: events.InstructionFailed("given up", temporary=True),
}


@given(st.lists(st.sampled_from(["ok", "temporary", "fails", "shutdown", "forget"]), max_size=30))
def test_whatever_happens_a_forgotten_task_leaves_nothing_behind(story: list[str]) -> None:
    """Plays a node; at the end the task is forgotten and everything succeeds."""
    step = begin(a_task(), None, NOW)
    under_way: events.Instruction | None = step.instructions[0]
    container, network, record = False, False, step.record
    for act in [*story, "forget", *["ok"] * 20]:
        if act in {"shutdown", "forget"}:
            event: events.Event = events.Wanted(a_task(SHUTDOWN)) if act == "shutdown" else events.Unwanted()
        elif under_way is None:
            continue
        elif act == "ok" or isinstance(under_way, events.RetryLater):
            container |= isinstance(under_way, events.CreateContainer)
            network |= isinstance(under_way, events.AttachNetwork)
            container &= not isinstance(under_way, events.RemoveContainer)
            network &= not isinstance(under_way, events.DetachNetwork)
            event = RESULTS[type(under_way)]
            under_way = None
        else:
            event = events.InstructionFailed("no", temporary=act == "temporary")
            under_way = None
        if record.phase is Phase.GONE:
            break
        step = advance(record, event, NOW)
        record = step.record
        for instruction in step.instructions:
            if isinstance(instruction, events.CancelCurrent):
                # The instruction (or wait) under way fails instead.
                under_way = instruction
            elif not isinstance(instruction, events.WaitContainer | events.Forget):
                assert under_way is None or isinstance(under_way, events.CancelCurrent)
                under_way = instruction
    assert record.phase is Phase.GONE
    assert not container
    assert not network
