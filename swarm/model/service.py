"""What a new spec, going back to an earlier one, or a rebalance does to a service."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Rebalance, Service
from swarm.api.v1.specs_pb2 import ServiceSpec, TaskSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.errors import FailedPrecondition
from swarm.model import rollout
from swarm.model.autoscale import keep_replicas, wanted_replicas
from swarm.model.job import job_of
from swarm.model.revisions import number_of, remember, spec_of_revision

MOVED = "moved to balance"  # said by a task that a rebalance stopped, and by the one in its place


def new_service(service_id: str, spec: ServiceSpec) -> Service:
    """Return a service as it is created.

    `spec_version` counts what its tasks are made of, 1 and up: they say by it of which they are. `revision`
    counts every spec. Neither is a version of the store, known only once the change is committed.
    """
    return Service(id=service_id, spec=spec, spec_version=1, revision=1)


def replace_spec(service: Service, spec: ServiceSpec, now: Timestamp) -> None:
    """Give `service`, a copy that the caller owns, a new spec; the one before can be gone back to.

    A spec that asks for other tasks begins an update, whatever became of the last one. Any other leaves an
    update under way as it is, and changes what that one may go back to in the same way: whoever scales a
    service in the middle of its update means the service, not one of the two specs.
    """
    remember(service)
    before = ServiceSpec()
    before.CopyFrom(service.spec)
    replicas = wanted_replicas(service)
    service.spec.CopyFrom(spec)
    keep_replicas(service, replicas, now)
    service.revision = number_of(service) + 1
    service.revised_at.CopyFrom(now)
    if job_of(spec) is not None or _asks_for_other_tasks(before, spec):  # a changed job runs again
        service.previous_spec.CopyFrom(before)
        service.previous_spec_version = service.spec_version
        service.spec_version += 1
        service.ClearField("update_status")
        if spec.WhichOneof("mode") in {None, "replicated", "global"}:
            service.update_status.CopyFrom(rollout.begun(now))
    elif rollout.is_unfinished(service.update_status):
        _carry_over(service)
        if (before.update, before.rollback) != (spec.update, spec.rollback):
            rollout.reconsider(service, now)
    else:
        service.previous_spec.CopyFrom(before)
        service.previous_spec_version = service.spec_version
        service.ClearField("update_status")


def roll_back(
    service: Service, now: Timestamp, reason: str, *, keep_previous: bool, revision: int = 0
) -> None:
    """Make the previous spec of `service`, a copy that the caller owns, or that of `revision` its spec.

    With `keep_previous` (asked for by a person) the two are swapped, so that doing it twice changes
    nothing; without (an update failed) there is nothing to go back to afterwards. Raises
    FailedPrecondition when there is no previous spec, and NotFound for a revision that is not kept.
    """
    spec, before = ServiceSpec(), ServiceSpec()
    before.CopyFrom(service.spec)
    version = service.spec_version
    if revision:
        spec.CopyFrom(spec_of_revision(service, revision))
    elif service.HasField("previous_spec"):
        spec.CopyFrom(service.previous_spec)
    else:
        name = service.spec.annotations.name
        raise FailedPrecondition(
            f"service {name} has no previous spec to go back to; "
            f"`service history {name}` shows which revisions are kept"
        )
    replace_spec(service, spec, now)
    service.revisions[-1].rolled_back = True
    service.revisions[-1].update_status.message = reason
    service.previous_spec.CopyFrom(before)
    service.previous_spec_version = version
    if not keep_previous:
        service.ClearField("previous_spec")
        service.previous_spec_version = 0
    if job_of(spec) is not None:
        return  # a job runs again; nothing is replaced slot by slot
    service.update_status.CopyFrom(
        UpdateStatus(state=UpdateStatus.STATE_ROLLBACK_STARTED, started_at=now, message=reason)
    )


def _asks_for_other_tasks(before: ServiceSpec, after: ServiceSpec) -> bool:
    return (
        _without_priority(before.task) != _without_priority(after.task)
        or before.endpoint != after.endpoint
        or before.HasField("endpoint") != after.HasField("endpoint")
    )


def _without_priority(spec: TaskSpec) -> TaskSpec:
    """Return `spec` without what counts for the tasks that are there, too."""
    bare = TaskSpec()
    bare.CopyFrom(spec)
    bare.ClearField("priority")
    bare.ClearField("preempt")
    return bare


def _carry_over(service: Service) -> None:
    """Change the previous spec of a service as its present one was changed, but for its tasks."""
    if not service.HasField("previous_spec"):
        return
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    spec.task.CopyFrom(service.previous_spec.task)
    spec.task.priority, spec.task.preempt = service.spec.task.priority, service.spec.task.preempt
    spec.ClearField("endpoint")
    if service.previous_spec.HasField("endpoint"):
        spec.endpoint.CopyFrom(service.previous_spec.endpoint)
    service.previous_spec.CopyFrom(spec)


def is_moving(service: Service) -> bool:
    """Whether a rebalance of `service` is under way; a spec that asks for other tasks ends it."""
    return (
        service.rebalance.state == Rebalance.STATE_MOVING
        and service.rebalance.spec_version == service.spec_version
    )


def start_moving(service: Service, moves: Iterable[Rebalance.Move], now: Timestamp) -> None:
    """Have the orchestrator carry out `moves`; `service` is a copy that the caller owns."""
    service.rebalance.CopyFrom(
        Rebalance(
            state=Rebalance.STATE_MOVING,
            started_at=now,
            spec_version=service.spec_version,
            moves=moves,
        )
    )
    count = len(service.rebalance.moves)
    service.rebalance.message = f"moving {count} task{'s' if count != 1 else ''}"
