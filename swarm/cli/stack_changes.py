"""What has to change in the cluster so that it runs a stack? Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service, StackRevision
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.model.stacks import IMAGE_LABEL

if TYPE_CHECKING:
    from swarm.compose.services import Stack

REMOVING = "Removing"
ALWAYS, CHANGED, NEVER = RESOLVE = ("always", "changed", "never")


@dataclass(frozen=True, slots=True)
class Step:
    """A change, and how people are told of it."""

    verb: str  # Creating, Updating, Removing; empty: people are told otherwise, or not at all
    name: str
    change: c.PlannedChange


def steps(stack: "Stack", there: Sequence[Service], *, prune: bool, resolve: str) -> list[Step]:
    """Return the steps from the services that are `there` to those of `stack`, in the order of the files.

    `resolve` says for which images a registry is asked: always, changed (where the file names another
    image than before) or never. Without `prune`, services that are not wanted any more stay.
    """
    known = {service.spec.annotations.name: service for service in there}
    names: set[str] = set()
    found = [_kept(c.PlannedChange(keep_network=one)) for one in stack.networks]
    found += [_kept(c.PlannedChange(keep_secret=one)) for one in stack.secrets]
    found += [_kept(c.PlannedChange(keep_config=one)) for one in stack.configs]
    for spec in stack.services:
        name = spec.annotations.name
        names.add(name)
        service = known.get(name)
        found.append(_create(spec, resolve) if service is None else _update(spec, service, resolve))
    if prune:
        found += [_remove(service) for name, service in sorted(known.items()) if name not in names]
    return [*found, _record(stack.name), _collect(stack.name, networks=prune)]


def steps_back(
    stack: str, revision: StackRevision, there: Sequence[Service], specs: Sequence[ServiceSpec]
) -> list[Step]:
    """Return the steps from the services that are `there` to what was deployed once.

    `specs` are those of the revision, perhaps with credentials. Images stay what they were: no registry is
    asked.
    """
    known = {service.spec.annotations.name: service for service in there}
    own = {one.annotations.name for one in revision.networks}
    found = [_kept(c.PlannedChange(keep_network=one)) for one in revision.networks]
    for spec in specs:
        wanted = _with_networks_by_name(spec, own)
        service = known.pop(spec.annotations.name, None)
        found.append(_create(wanted, NEVER) if service is None else _back(wanted, service))
    found += [_remove(service) for _, service in sorted(known.items())]
    return [*found, _record(stack, revision.revision), _collect(stack, networks=True)]


def _with_networks_by_name(spec: ServiceSpec, own: Collection[str]) -> ServiceSpec:
    """Return `spec` with the names only of the stack's networks: they may have been made anew since."""
    wanted = ServiceSpec()
    wanted.CopyFrom(spec)
    for one in wanted.task.networks:
        if one.network_name in own:
            one.ClearField("network_id")
    return wanted


def _back(spec: ServiceSpec, service: Service) -> Step:
    request = c.UpdateServiceRequest(id=service.id, version=service.meta.version.index, spec=spec)
    request.skip_image_resolution = True
    request.spec.task.force_update = service.spec.task.force_update
    return Step("Updating", spec.annotations.name, c.PlannedChange(update_service=request))


def removals(stack: str, there: Iterable[Service]) -> list[Step]:
    """Return the steps that remove a stack's services, secrets, configs and networks."""
    services = sorted(there, key=lambda one: one.spec.annotations.name)
    return [*map(_remove, services), _collect(stack, networks=True)]


def _kept(change: c.PlannedChange) -> Step:
    return Step("", "", change)


def _record(stack: str, back_to: int = 0) -> Step:
    request = c.RecordDeployRequest(stack=stack, back_to=back_to)
    return Step("", "", c.PlannedChange(record_deploy=request))


def _collect(stack: str, *, networks: bool) -> Step:
    request = c.CollectStackDataRequest(stack=stack, networks=networks)
    return Step("", "", c.PlannedChange(collect_data=request))


def _create(spec: ServiceSpec, resolve: str) -> Step:
    request = c.CreateServiceRequest(spec=spec, skip_image_resolution=resolve == NEVER)
    return Step("Creating", spec.annotations.name, c.PlannedChange(create_service=request))


def _update(spec: ServiceSpec, service: Service, resolve: str) -> Step:
    request = c.UpdateServiceRequest(id=service.id, version=service.meta.version.index, spec=spec)
    before = service.spec
    request.spec.task.force_update = before.task.force_update
    if resolve == NEVER or (resolve == CHANGED and not _other_image(spec, before.annotations.labels)):
        request.skip_image_resolution = True
        if not _other_image(spec, before.annotations.labels):
            request.spec.task.container.image_digest = before.task.container.image_digest
    return Step("Updating", spec.annotations.name, c.PlannedChange(update_service=request))


def _other_image(spec: ServiceSpec, labels: Mapping[str, str]) -> bool:
    """Whether the file names another image than when the service was deployed last."""
    return labels.get(IMAGE_LABEL, "") != spec.task.container.image


def _remove(service: Service) -> Step:
    request = c.RemoveServiceRequest(ref=service.id)
    return Step(REMOVING, service.spec.annotations.name, c.PlannedChange(remove_service=request))
