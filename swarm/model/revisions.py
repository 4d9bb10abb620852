"""Which specs did a service have? Earlier ones are kept with it, as many as the limits allow."""

from collections.abc import Sequence

from swarm.api.v1.objects_pb2 import Service, ServiceRevision
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.errors import FailedPrecondition, NotFound

REVISIONS_LIMIT = 10  # earlier specs of one service: what people still remember
REVISIONS_BYTES_LIMIT = 256 * 1024  # of them together: a service is written whole whenever its update moves


def number_of(service: Service) -> int:
    """Return the number of the present spec; a service from before revisions were counted has a guess."""
    return service.revision or max(service.spec_version, 1)


def present(service: Service) -> ServiceRevision:
    """Return the present spec as a revision, without credentials."""
    came = service.revised_at if service.HasField("revised_at") else service.meta.created_at
    revision = ServiceRevision(revision=number_of(service), spec=service.spec, created_at=came)
    revision.spec.task.container.ClearField("registry_auth")
    if service.HasField("update_status"):
        revision.update_status.CopyFrom(service.update_status)
    return revision


def all_of(service: Service) -> Sequence[ServiceRevision]:
    """Return the revisions of a service that are kept, oldest first, the present one last."""
    return (*service.revisions, present(service))


def remember(service: Service) -> None:
    """Keep the present spec of `service`, a copy that the caller owns, among the earlier ones.

    Of one that is larger than all of them may be, only that it was there: a transaction has its limit.
    """
    revision = present(service)
    if revision.ByteSize() > REVISIONS_BYTES_LIMIT:
        revision.ClearField("spec")
    service.revisions.append(revision)
    sizes = [one.ByteSize() for one in service.revisions]
    while len(sizes) > REVISIONS_LIMIT or sum(sizes) > REVISIONS_BYTES_LIMIT:
        del sizes[0], service.revisions[0]


def spec_of_revision(service: Service, wanted: int) -> ServiceSpec:
    """Return the spec of an earlier revision, with the credentials that the service has now.

    Raises FailedPrecondition when it is the present one, NotFound when it is not kept.
    """
    name = service.spec.annotations.name
    known = [one for one in all_of(service) if one.HasField("spec")]
    found = next((one for one in known if one.revision == wanted), None)
    if found is None:
        kept = ", ".join(str(one.revision) for one in known[:-1]) or "none"
        raise NotFound(f"service {name} has no revision {wanted} to go back to; kept are: {kept}")
    if found.spec == present(service).spec:
        raise FailedPrecondition(f"service {name} already has the spec of revision {wanted}")
    spec = ServiceSpec()
    spec.CopyFrom(found.spec)
    if service.spec.task.container.HasField("registry_auth"):
        spec.task.container.registry_auth.CopyFrom(service.spec.task.container.registry_auth)
    return spec
