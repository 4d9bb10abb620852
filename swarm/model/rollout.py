"""How an update begins, and what people may do with one: pause it, let it go on, promote its canaries.

The functions change a service that the caller owns and return whether anything changed, so that a request
that comes twice does no harm.
"""

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.errors import FailedPrecondition

ACTIVE = frozenset(
    {UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_CANARY, UpdateStatus.STATE_ROLLBACK_STARTED}
)
PAUSED = frozenset({UpdateStatus.STATE_PAUSED, UpdateStatus.STATE_ROLLBACK_PAUSED})
ROLLING_BACK = frozenset({UpdateStatus.STATE_ROLLBACK_STARTED, UpdateStatus.STATE_ROLLBACK_PAUSED})


def begun(now: Timestamp) -> UpdateStatus:
    """Return the status of an update that begins."""
    return UpdateStatus(state=UpdateStatus.STATE_UPDATING, started_at=now, message="update in progress")


def is_unfinished(status: UpdateStatus) -> bool:
    """Whether an update has begun, and is neither over nor replaced."""
    return status.state in ACTIVE or status.state in PAUSED


def pause(service: Service) -> bool:
    """Begin nothing more until somebody resumes the update; raises FailedPrecondition without one."""
    status = service.update_status
    if status.state in PAUSED:
        return False
    if status.state not in ACTIVE:
        raise FailedPrecondition(f"service {_name(service)} is not being updated: there is nothing to pause")
    if status.state == UpdateStatus.STATE_ROLLBACK_STARTED:
        status.state, status.message = UpdateStatus.STATE_ROLLBACK_PAUSED, "rollback paused by hand"
    else:
        status.state, status.message = UpdateStatus.STATE_PAUSED, "update paused by hand"
    return True


def resume(service: Service, now: Timestamp) -> bool:
    """Let a paused update go on; what failed before is forgiven. Raises FailedPrecondition without one."""
    status = service.update_status
    if status.state in {UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_ROLLBACK_STARTED}:
        return False
    name = _name(service)
    if status.state == UpdateStatus.STATE_CANARY:
        raise FailedPrecondition(
            f"the update of service {name} is not paused, its canaries wait: "
            f"`service promote {name}` or `service rollback {name}`"
        )
    if status.state not in PAUSED:
        raise FailedPrecondition(f"service {name} is not being updated: there is nothing to resume")
    if status.state == UpdateStatus.STATE_ROLLBACK_PAUSED:
        status.state, status.message = UpdateStatus.STATE_ROLLBACK_STARTED, "rollback resumed"
    else:
        status.state, status.message = UpdateStatus.STATE_UPDATING, "update resumed"
    status.resumed_at.CopyFrom(now)
    return True


def promote(service: Service) -> bool:
    """Let an update go on beyond its canaries; raises FailedPrecondition when it has none or is paused."""
    status = service.update_status
    name = _name(service)
    if status.state == UpdateStatus.STATE_PAUSED:
        raise FailedPrecondition(
            f"the update of service {name} is paused: `service resume {name}` first, or "
            f"`service rollback {name}` ({status.message})"
        )
    if status.state not in ACTIVE - ROLLING_BACK or not service.spec.update.canary:
        raise FailedPrecondition(f"service {name} has no canaries that could be promoted")
    if status.promoted:
        return False
    status.promoted = True
    status.state, status.message = UpdateStatus.STATE_UPDATING, "canaries promoted, update in progress"
    return True


def reconsider(service: Service, now: Timestamp) -> None:
    """Let an unfinished update go on by settings that were changed: a paused one is worth another try."""
    status = service.update_status
    if status.state == UpdateStatus.STATE_CANARY:
        status.state, status.message = UpdateStatus.STATE_UPDATING, "update in progress"
    elif status.state in PAUSED:
        resume(service, now)


def _name(service: Service) -> str:
    return service.spec.annotations.name
