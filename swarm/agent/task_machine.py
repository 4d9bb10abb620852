"""What must this node do next for a task? (record, event) → (record, instructions).

    INSPECTING → PULLING → ATTACHING → CREATING → READY → STARTING → RUNNING
        │            └───────────┴─────────┴────────┴───────┤           ├──────→ DRAINING
        │                                      (failed, not wanted)     │    (not wanted)
        │                                                   ↓        (ended)       ↓
        └─ what was found decides                        CLEARING ──────┤ ←──── STOPPING
                                                                        ↓
                                                                    DETACHING → ENDED → REMOVING → GONE

- With a health check that gates, the status stays STARTING in the phase RUNNING until the container is
  healthy; an unhealthy container is stopped and its task FAILED.
- A task in networks drains before it is stopped: first all nodes say that they lead nobody to it any more,
  or take too long; then whoever it still serves has a while to be done.
- The status only moves forward. An error before STARTING makes the task REJECTED, from there on FAILED.
- A final status is reported after address and ports are free, so that a replacement can have them; should
  freeing them fail, the status is reported all the same and freeing is tried until it works.
- A container that ran stays, ended, for its output until the managers forget the task; its network does not.
- An event that a phase has no use for comes late or twice, and changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from swarm.agent import task_events as events
from swarm.agent.health import unhealthy_reason
from swarm.agent.network.base import Sandbox
from swarm.agent.task_status import (
    NOT_HEALTHY,
    Reason,
    ended,
    final,
    moved,
    rejected_or_failed,
    started_message,
    with_health,
)
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.clock import SECOND
from swarm.model.defaults import WITHDRAWAL_NS, endpoint_drain_ns, stop_grace_period_ns
from swarm.model.health import HEALTHY, UNHEALTHY, HealthCheck
from swarm.model.task_state import (
    ACCEPTED,
    FAILED,
    PREPARING,
    READY,
    RUNNING,
    SHUTDOWN,
    STARTING,
    is_terminal,
)
from swarm.runtime.base import ContainerInfo, ContainerState

RETRY_S = 1.0


class Phase(Enum):
    """What is under way for a task; a name ending in -ing waits for the result of an instruction."""

    INSPECTING = "inspecting"
    PULLING = "pulling"
    ATTACHING = "attaching"
    CREATING = "creating"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"
    CLEARING = "clearing"
    DETACHING = "detaching"
    ENDED = "ended"
    REMOVING = "removing"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """Everything the agent knows of one task."""

    task: Task
    status: TaskStatus
    phase: Phase = Phase.INSPECTING
    wanted: bool = True
    image_digest: str = ""
    sandbox: Sandbox | None = None
    check: HealthCheck | None = None
    end: TaskStatus | None = None  # the final status, until it may be reported

    @property
    def must_stop(self) -> bool:
        """Whether the task is not to run (any more)."""
        return (
            not self.wanted
            or self.task.desired_state >= SHUTDOWN
            or is_terminal(self.task.status.state)  # a manager gave it up, e.g. its node stopped matching
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What an event leads to."""

    record: TaskRecord
    instructions: tuple[events.Instruction, ...] = ()


def begin(task: Task, stored: TaskStatus | None, now_ns: int, check: HealthCheck | None = None) -> Step:
    """Take on a task: newly assigned, or of an earlier life with the status `stored` then.

    `check` is its health check, as far as that is known before the image is.
    """
    status = stored if stored is not None else task.status
    record = TaskRecord(task, moved(status, ACCEPTED, "accepted", now_ns), check=check)
    return Step(record, (events.InspectContainer(),))


def advance(record: TaskRecord, event: events.Event, now_ns: int) -> Step:
    """Return what `event` leads to."""
    handler = TRANSITIONS[record.phase].get(type(event), _ignore)
    return handler(record, event, now_ns)


# Handlers: (record, event, now in nanoseconds since the epoch) → Step.


def _ignore(record: TaskRecord, event: events.Event, now_ns: int) -> Step:
    return Step(record)


def _note_wanted(record: TaskRecord, event: events.Wanted, now_ns: int) -> Step:
    return Step(replace(record, task=event.task, wanted=True))


def _note_unwanted(record: TaskRecord, event: events.Unwanted, now_ns: int) -> Step:
    return Step(replace(record, wanted=False))


def _decide_on_found(record: TaskRecord, event: events.Inspected, now_ns: int) -> Step:
    """Go on from where an earlier life of the agent, or nobody yet, left the task."""
    found = event.info.state if event.info else None
    state = record.status.state
    if is_terminal(state):
        finished = replace(record, end=record.status)
        return _stop(finished) if found is ContainerState.RUNNING else _detach(finished)
    if found is ContainerState.RUNNING and event.info is not None:
        return _running(record, event.info, now_ns)
    if found is ContainerState.EXITED and event.info is not None:
        return _ended(record, event.info, now_ns)
    if record.must_stop:
        return _clear(record, final(record.status, SHUTDOWN, "shutdown", now_ns))
    if found is ContainerState.CREATED and state == STARTING:
        return _start(record, now_ns)
    if state >= STARTING:
        return _clear(record, rejected_or_failed(record.status, "the container is gone", now_ns))
    pulling = replace(
        record, phase=Phase.PULLING, status=moved(record.status, PREPARING, "preparing", now_ns)
    )
    return Step(pulling, (events.PullImage(),))


def _cancel_when_stopping(record: TaskRecord, event: Any, now_ns: int) -> Step:
    """A pull may take minutes: nobody waits for it when the task is not to run."""
    noted = _note(record, event)
    return Step(noted, (events.CancelCurrent(),) if noted.must_stop else ())


def _show_progress(record: TaskRecord, event: events.Progress, now_ns: int) -> Step:
    return Step(replace(record, status=moved(record.status, PREPARING, event.message, now_ns)))


def _attach(record: TaskRecord, event: events.ImagePulled, now_ns: int) -> Step:
    if record.must_stop:
        return _shut_down(record, now_ns)
    attaching = replace(record, phase=Phase.ATTACHING, image_digest=event.digest, check=event.check)
    return Step(attaching, (events.AttachNetwork(),))


def _create(record: TaskRecord, event: events.NetworkAttached, now_ns: int) -> Step:
    attached = replace(record, sandbox=event.sandbox)
    if record.must_stop:
        return _shut_down(attached, now_ns)
    return Step(replace(attached, phase=Phase.CREATING), (events.CreateContainer(),))


def _prepared(record: TaskRecord, event: events.ContainerCreated, now_ns: int) -> Step:
    if record.must_stop:
        return _shut_down(record, now_ns)
    ready = replace(
        record,
        phase=Phase.READY,
        status=moved(record.status, READY, "ready", now_ns, sandbox=record.sandbox),
    )
    return _start(ready, now_ns) if record.task.desired_state >= RUNNING else Step(ready)


def _start_or_clear(record: TaskRecord, event: Any, now_ns: int) -> Step:
    noted = _note(record, event)
    if noted.must_stop:
        return _shut_down(noted, now_ns)
    return _start(noted, now_ns) if noted.task.desired_state >= RUNNING else Step(noted)


def _started(record: TaskRecord, event: events.ContainerStarted, now_ns: int) -> Step:
    return _running(record, event.info, now_ns)


def _stop_when_told(record: TaskRecord, event: Any, now_ns: int) -> Step:
    noted = _note(record, event)
    return _drain(noted) if noted.must_stop else Step(noted)


def _drained(record: TaskRecord, event: events.Drained, now_ns: int) -> Step:
    return _stop(record)


def _container_ended(record: TaskRecord, event: events.ContainerEnded, now_ns: int) -> Step:
    return _ended(record, event.info, now_ns)


def _health_changed(record: TaskRecord, event: events.HealthChanged, now_ns: int) -> Step:
    status, health = record.status, event.health
    gates = record.check is not None and record.check.gates
    error = unhealthy_reason(health) if health.state == UNHEALTHY else ""
    if gates and error:
        known = with_health(status, status.state, "stopping", now_ns, health, err=error)
        end = final(known, FAILED, "unhealthy", now_ns, err=error)
        return _stop(replace(record, status=known, end=end))
    state = RUNNING if health.state == HEALTHY or not gates else status.state
    message = status.message.removesuffix(NOT_HEALTHY) if state == RUNNING else status.message
    return Step(replace(record, status=with_health(status, state, message, now_ns, health, err=error)))


def _container_stopped(record: TaskRecord, event: events.ContainerStopped, now_ns: int) -> Step:
    if record.end is not None:
        return _detach(record)
    status = final(record.status, SHUTDOWN, "shutdown", now_ns, info=event.info)
    return _detach(replace(record, end=status))


def _cleared(record: TaskRecord, event: events.ContainerRemoved, now_ns: int) -> Step:
    return _detach(record)


def _detached(record: TaskRecord, event: events.NetworkDetached, now_ns: int) -> Step:
    done = replace(_publish(record), phase=Phase.ENDED, sandbox=None)
    return Step(done) if done.wanted else _remove(done)


def _remove_when_unwanted(record: TaskRecord, event: events.Unwanted, now_ns: int) -> Step:
    return _remove(replace(record, wanted=False))


def _removed(record: TaskRecord, event: events.ContainerRemoved, now_ns: int) -> Step:
    return Step(replace(record, phase=Phase.GONE), (events.Forget(),))


def _fail_or_retry(record: TaskRecord, event: events.InstructionFailed, now_ns: int) -> Step:
    """While preparing and starting: retry what is temporary, give up the rest."""
    if record.must_stop:
        return _shut_down(record, now_ns)
    if event.temporary:
        before = record.status
        status = moved(before, before.state, Reason.RETRY, now_ns, err=event.error)
        if (status.message, status.err) == (before.message, before.err):
            status = before  # nobody needs to hear the same every second
        return Step(replace(record, status=status), (events.RetryLater(RETRY_S),))
    return _clear(record, rejected_or_failed(record.status, event.error, now_ns))


def _retry_always(record: TaskRecord, event: events.InstructionFailed, now_ns: int) -> Step:
    """While looking, stopping and removing: there is no other way than to succeed in the end."""
    return Step(record, (events.RetryLater(RETRY_S),))


def _publish_and_retry(record: TaskRecord, event: events.InstructionFailed, now_ns: int) -> Step:
    """Cleaning up fails for now: the end of the task is no secret for that."""
    return Step(_publish(record), (events.RetryLater(RETRY_S),))


def _stop_failed(record: TaskRecord, event: events.InstructionFailed, now_ns: int) -> Step:
    """Never say stopped of what may still run; say why it is not."""
    status = record.status
    if not is_terminal(status.state):
        status = moved(status, status.state, "stopping", now_ns, err=event.error)
    return Step(replace(record, status=status), (events.RetryLater(RETRY_S),))


def _look_again(record: TaskRecord, event: events.InstructionFailed, now_ns: int) -> Step:
    """Waiting for a container failed: find out what became of it."""
    return Step(replace(record, phase=Phase.INSPECTING), (events.RetryLater(RETRY_S),))


def _repeat(record: TaskRecord, event: events.RetryDue, now_ns: int) -> Step:
    if record.phase in _MAY_GIVE_UP and record.must_stop:
        return _shut_down(record, now_ns)
    return Step(record, (_INSTRUCTION[record.phase](record),))


# Moves that several handlers share.


def _note(record: TaskRecord, event: events.Wanted | events.Unwanted) -> TaskRecord:
    if isinstance(event, events.Wanted):
        return replace(record, task=event.task, wanted=True)
    return replace(record, wanted=False)


def _start(record: TaskRecord, now_ns: int) -> Step:
    status = moved(record.status, STARTING, "starting", now_ns)
    return Step(replace(record, phase=Phase.STARTING, status=status), (events.StartContainer(),))


def _running(record: TaskRecord, info: ContainerInfo, now_ns: int) -> Step:
    check = record.check
    if check is not None and check.gates and record.status.state < RUNNING:
        status = moved(record.status, STARTING, started_message(info) + NOT_HEALTHY, now_ns, info=info)
    else:
        status = moved(record.status, RUNNING, started_message(info), now_ns, info=info)
    running = replace(record, phase=Phase.RUNNING, status=status)
    if record.must_stop:
        return _drain(running)
    if check is None:
        return Step(running, (events.WaitContainer(),))
    return Step(running, (events.WaitContainer(), events.WatchHealth(check, info.started_at_ns)))


def _ended(record: TaskRecord, info: ContainerInfo, now_ns: int) -> Step:
    limit = record.task.spec.resources.limits.memory_bytes
    return _detach(replace(record, end=ended(record.status, info, now_ns, limit)))


def _drain(record: TaskRecord) -> Step:
    """Stop the container, after a while if others may still ask it for something."""
    drain_ns = endpoint_drain_ns(record.task.endpoint)
    if not record.task.networks or not drain_ns or record.status.state != RUNNING:
        return _stop(record)
    if _awaits_withdrawal(record):
        drain_ns += WITHDRAWAL_NS
    return Step(replace(record, phase=Phase.DRAINING), (events.Drain(drain_ns / SECOND),))


def _drain_on(record: TaskRecord, event: Any, now_ns: int) -> Step:
    """Wait no longer for nodes to hear that the task is to stop: all of them have, or nobody will say so."""
    noted = _note(record, event)
    if not _awaits_withdrawal(record) or _awaits_withdrawal(noted):
        return Step(noted)
    return Step(noted, (events.Drain(endpoint_drain_ns(noted.task.endpoint) / SECOND),))


def _awaits_withdrawal(record: TaskRecord) -> bool:
    return record.wanted and not record.task.withdrawn


def _stop(record: TaskRecord) -> Step:
    return Step(replace(record, phase=Phase.STOPPING), (_stop_instruction(record),))


def _stop_instruction(record: TaskRecord) -> events.StopContainer:
    return events.StopContainer(stop_grace_period_ns(record.task.spec.container) / SECOND)


def _shut_down(record: TaskRecord, now_ns: int) -> Step:
    return _clear(record, final(record.status, SHUTDOWN, "shutdown", now_ns))


def _clear(record: TaskRecord, end: TaskStatus) -> Step:
    """Take away a container that never ran, and its network."""
    return Step(replace(record, phase=Phase.CLEARING, end=end), (events.RemoveContainer(),))


def _detach(record: TaskRecord) -> Step:
    return Step(replace(record, phase=Phase.DETACHING), (events.DetachNetwork(),))


def _publish(record: TaskRecord) -> TaskRecord:
    return record if record.end is None else replace(record, status=record.end, end=None)


def _remove(record: TaskRecord) -> Step:
    return Step(replace(record, phase=Phase.REMOVING), (events.RemoveContainer(),))


_MAY_GIVE_UP = frozenset({Phase.PULLING, Phase.ATTACHING, Phase.CREATING, Phase.STARTING})

_INSTRUCTION: Mapping[Phase, Callable[[TaskRecord], events.Instruction]] = {
    Phase.INSPECTING: lambda record: events.InspectContainer(),
    Phase.PULLING: lambda record: events.PullImage(),
    Phase.ATTACHING: lambda record: events.AttachNetwork(),
    Phase.CREATING: lambda record: events.CreateContainer(),
    Phase.STARTING: lambda record: events.StartContainer(),
    Phase.STOPPING: _stop_instruction,
    Phase.CLEARING: lambda record: events.RemoveContainer(),
    Phase.DETACHING: lambda record: events.DetachNetwork(),
    Phase.REMOVING: lambda record: events.RemoveContainer(),
}

Handler: TypeAlias = Callable[[TaskRecord, Any, int], Step]

_NOTE: Mapping[type[Any], Handler] = {events.Wanted: _note_wanted, events.Unwanted: _note_unwanted}

# What is not in a row is late or repeated news there, and ignored.
TRANSITIONS: Mapping[Phase, Mapping[type[Any], Handler]] = {
    Phase.INSPECTING: {
        **_NOTE,
        events.Inspected: _decide_on_found,
        events.InstructionFailed: _retry_always,
        events.RetryDue: _repeat,
    },
    Phase.PULLING: {
        events.Wanted: _cancel_when_stopping,
        events.Unwanted: _cancel_when_stopping,
        events.Progress: _show_progress,
        events.ImagePulled: _attach,
        events.InstructionFailed: _fail_or_retry,
        events.RetryDue: _repeat,
    },
    Phase.ATTACHING: {
        **_NOTE,
        events.NetworkAttached: _create,
        events.InstructionFailed: _fail_or_retry,
        events.RetryDue: _repeat,
    },
    Phase.CREATING: {
        **_NOTE,
        events.ContainerCreated: _prepared,
        events.InstructionFailed: _fail_or_retry,
        events.RetryDue: _repeat,
    },
    Phase.READY: {
        events.Wanted: _start_or_clear,
        events.Unwanted: _start_or_clear,
    },
    Phase.STARTING: {
        **_NOTE,
        events.ContainerStarted: _started,
        events.InstructionFailed: _fail_or_retry,
        events.RetryDue: _repeat,
    },
    Phase.RUNNING: {
        events.Wanted: _stop_when_told,
        events.Unwanted: _stop_when_told,
        events.ContainerEnded: _container_ended,
        events.HealthChanged: _health_changed,
        events.InstructionFailed: _look_again,
    },
    Phase.DRAINING: {
        events.Wanted: _drain_on,
        events.Unwanted: _drain_on,
        events.ContainerEnded: _container_ended,
        events.InstructionFailed: _look_again,
        events.Drained: _drained,
    },
    Phase.STOPPING: {
        **_NOTE,
        events.ContainerStopped: _container_stopped,
        events.InstructionFailed: _stop_failed,
        events.RetryDue: _repeat,
    },
    Phase.CLEARING: {
        **_NOTE,
        events.ContainerRemoved: _cleared,
        events.InstructionFailed: _publish_and_retry,
        events.RetryDue: _repeat,
    },
    Phase.DETACHING: {
        **_NOTE,
        events.NetworkDetached: _detached,
        events.InstructionFailed: _publish_and_retry,
        events.RetryDue: _repeat,
    },
    Phase.ENDED: {
        events.Wanted: _note_wanted,
        events.Unwanted: _remove_when_unwanted,
    },
    Phase.REMOVING: {
        **_NOTE,
        events.ContainerRemoved: _removed,
        events.InstructionFailed: _retry_always,
        events.RetryDue: _repeat,
    },
    Phase.GONE: {},
}
