"""What of a service happens only later, after everything that a forecast looks at?"""

from collections.abc import Iterator
from datetime import UTC

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.model.autoscale import autoscaling_of


def later(service: Service) -> Iterator[str]:
    """Yield sentences about what waits for somebody, or for its time."""
    name = service.spec.annotations.name
    if service.update_status.state == UpdateStatus.STATE_CANARY:
        yield f"the other tasks of {name} stay as they are until its canaries are promoted"
    if service.job_status.HasField("next_run"):
        at = service.job_status.next_run.ToDatetime(UTC)
        yield f"{name} runs at {at:%Y-%m-%dT%H:%M:%SZ}"
    settings = autoscaling_of(service.spec)
    if settings is not None:
        yield f"{name} is autoscaled: by its load it will have {settings.least} to {settings.most} replicas"
