"""What a new spec, or going back to the previous one, does to a service."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Rebalance, Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.errors import FailedPrecondition


def new_service(service_id: str, spec: ServiceSpec) -> Service:
    """Return a service as it is created.

    `spec_version` counts the specs of a service, 1 and up: tasks say by it which one they were made of.
    It is not a version of the store, which is known only once the change is committed.
    """
    return Service(id=service_id, spec=spec, spec_version=1)


def replace_spec(service: Service, spec: ServiceSpec) -> None:
    """Give `service`, a copy that the caller owns, a new spec; the one before can be gone back to.

    Whatever an update of the old spec came to says nothing about the new one, so it is cleared.
    """
    service.previous_spec.CopyFrom(service.spec)
    service.previous_spec_version = service.spec_version
    service.spec.CopyFrom(spec)
    service.spec_version += 1
    service.ClearField("update_status")


def roll_back(service: Service, now: Timestamp, reason: str, *, keep_previous: bool) -> None:
    """Make the previous spec of `service`, a copy that the caller owns, the current one.

    With `keep_previous` (asked for by a person) the two are swapped, so that doing it twice changes
    nothing; without (an update failed) there is nothing to go back to afterwards. Raises
    FailedPrecondition when there is no previous spec.
    """
    if not service.HasField("previous_spec"):
        raise FailedPrecondition(
            f"service {service.spec.annotations.name} has no previous spec to go back to"
        )
    spec = ServiceSpec()
    spec.CopyFrom(service.previous_spec)
    replace_spec(service, spec)
    if not keep_previous:
        service.ClearField("previous_spec")
        service.previous_spec_version = 0
    service.update_status.state = UpdateStatus.STATE_ROLLBACK_STARTED
    service.update_status.started_at.CopyFrom(now)
    service.update_status.message = reason


def is_moving(service: Service) -> bool:
    """Whether a rebalance of `service` is under way; another spec ends it."""
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
