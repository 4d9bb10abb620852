"""What a request about services does: functions of a transaction or view and the request."""

from collections.abc import Iterable

from swarm.api.v1.control_pb2 import Filters, ListServicesResponse, ServiceStatus, UpdateServiceRequest
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.clock import timestamp
from swarm.errors import FailedPrecondition, NotFound
from swarm.manager.controlapi.dependencies import check_dependencies
from swarm.manager.controlapi.networks import check_networks, resolve_networks
from swarm.manager.controlapi.published import claim_ports
from swarm.manager.controlapi.redact import shown_service
from swarm.manager.controlapi.references import check_references, resolve_references
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.steering import BY_HAND, check_version
from swarm.manager.controlapi.stepwise import parts, selected
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.autoscale import is_set_by_hand, most_replicas, set_by_hand, wanted_replicas
from swarm.model.job import is_completed, job_of, mode_of, of_last_run, runs_everywhere
from swarm.model.limits import TASKS
from swarm.model.rollout import PAUSED, resume
from swarm.model.selectors import read_filters, service_selected
from swarm.model.service import new_service, replace_spec, roll_back
from swarm.model.task_state import RUNNING
from swarm.model.validate import validate_service
from swarm.steps import Steps


def create_service(transaction: Transaction, spec: ServiceSpec, service_id: str) -> Service:
    """Add a service; raises NameConflict. The spec must be valid."""
    wanted = copy_of_spec(spec)
    keep_auth(wanted.task.container, None)
    resolve_references(transaction, wanted)
    resolve_networks(transaction, wanted)
    claim_ports(transaction, service_id, wanted)
    check_dependencies(transaction, wanted)
    check_tasks(transaction, service_id, wanted)
    return transaction.create(new_service(service_id, wanted))


def update_service(transaction: Transaction, request: UpdateServiceRequest, now_ns: int) -> Service:
    """Give a service another spec, or its previous one; return it as it will be.

    The same spec again changes nothing, except that an update that had paused goes on. Raises NotFound,
    StaleVersion, FailedPrecondition (another mode or name, nothing to go back to, a cycle of
    dependencies) and InvalidArgument.
    """
    current = transaction.services.get(request.id)
    if current is None:
        raise NotFound(f"there is no service {request.id}")
    check_version(current, request.version)
    service = copy_of(current)
    if request.rollback:
        roll_back(service, timestamp(now_ns), BY_HAND, keep_previous=True)
        check_dependencies(transaction, service.spec)
        check_references(transaction, service.spec)
        check_networks(transaction, service.spec)
        claim_ports(transaction, service.id, service.spec, current.spec)
        return transaction.update(service)
    spec = _checked_spec(current, request.spec)
    resolve_references(transaction, spec)
    resolve_networks(transaction, spec, current.spec)
    claim_ports(transaction, current.id, spec, current.spec)
    if request.skip_image_resolution:
        _drop_stale_digest(spec.task.container, current.spec.task.container)
    if spec != current.spec:
        check_dependencies(transaction, spec)
        check_tasks(transaction, current.id, spec)
        replace_spec(service, spec, timestamp(now_ns))
        if is_set_by_hand(current.spec, spec):
            set_by_hand(service, timestamp(now_ns))
    elif current.update_status.state in PAUSED:
        resume(service, timestamp(now_ns))
    else:
        return current
    return transaction.update(service)


def check_tasks(view: ReadView, service_id: str, spec: ServiceSpec) -> None:
    """Raise FailedPrecondition if all services together would want more tasks than the cluster may have.

    Wanting fewer than before is always allowed.
    """
    specs = {service.id: service.spec for service in view.services}
    before = _tasks_wanted(specs[service_id], view) if service_id in specs else 0
    wanted = _tasks_wanted(spec, view)
    if wanted <= before:
        return
    total = sum(_tasks_wanted(one, view) for one in specs.values()) - before + wanted
    for problem in TASKS.exceeded("all services together", total):
        raise FailedPrecondition(f"the cluster has no room for {wanted} tasks of this service: {problem}")


def _tasks_wanted(spec: ServiceSpec, view: ReadView) -> int:
    if runs_everywhere(spec):
        return len(view.nodes)
    job = job_of(spec)
    return job.max_concurrent if job else most_replicas(spec)


def remove_service(transaction: Transaction, ref: str) -> str:
    """Remove a service and return its id; its tasks are stopped and removed by the orchestrator."""
    service = resolve(transaction.services, "service", ref)
    transaction.remove(service)
    return service.id


def list_services(view: ReadView, filters: Filters) -> Steps[ListServicesResponse]:
    """Return the services asked for, oldest first, each with how many tasks run and should."""
    wanted = read_filters(filters)
    services = yield from selected(view.services, lambda service: service_selected(wanted, service))
    services.sort(
        key=lambda service: (service.meta.created_at.seconds, service.meta.created_at.nanos, service.id)
    )
    response = ListServicesResponse()
    for part in parts(services):
        response.services.extend(map(shown_service, part))
        for service in part:
            response.statuses.append(_service_status(view, service))
            yield
    return response


def copy_of_spec(spec: ServiceSpec) -> ServiceSpec:
    """Return a copy of a spec that may be changed."""
    copy = ServiceSpec()
    copy.CopyFrom(spec)
    return copy


def _service_status(view: ReadView, service: Service) -> ServiceStatus:
    job, everywhere = job_of(service.spec), runs_everywhere(service.spec)
    # The tasks themselves are looked at where only they can tell: there may be many.
    tasks = view.tasks.by_service(service.id) if everywhere or job is not None else ()
    if everywhere:
        desired = sum(task.desired_state == RUNNING and not is_completed(task) for task in tasks)
    elif job is not None:
        desired = job.max_concurrent
    else:
        desired = wanted_replicas(service)
    return ServiceStatus(
        service_id=service.id,
        running_tasks=view.tasks.running(service.id),
        desired_tasks=desired,
        completed_tasks=_completed(service, tasks) if job is not None else 0,
    )


def _completed(service: Service, tasks: Iterable[Task]) -> int:
    """Return how many places of the last run of a job did their work, each counted once."""
    done = (task for task in tasks if is_completed(task) and of_last_run(service, task))
    return len({(task.slot, "" if task.slot else task.node_id) for task in done})


def _checked_spec(current: Service, wanted: ServiceSpec) -> ServiceSpec:
    validate_service(wanted)
    name = current.spec.annotations.name
    if wanted.annotations.name != name:
        raise FailedPrecondition(
            f"service {name} cannot be renamed to {wanted.annotations.name}: "
            "create a new one and remove the old"
        )
    now, then = mode_of(current.spec), mode_of(wanted)
    if now != then:
        raise FailedPrecondition(
            f"service {name} cannot change from {now} to {then}: remove it and create it anew"
        )
    spec = copy_of_spec(wanted)
    keep_auth(spec.task.container, current)
    return spec


def keep_auth(wanted: ContainerSpec, service: Service | None) -> None:
    """Keep the credentials of `service` unless new ones came with `wanted`.

    A spec that was read and is sent back has lost its password: it counts as one without credentials.
    """
    if wanted.registry_auth.password or wanted.registry_auth.identity_token:
        return
    wanted.ClearField("registry_auth")
    if service is not None and service.spec.task.container.HasField("registry_auth"):
        wanted.registry_auth.CopyFrom(service.spec.task.container.registry_auth)


def _drop_stale_digest(wanted: ContainerSpec, current: ContainerSpec) -> None:
    """A digest that came with another image is not the new image's."""
    if wanted.image != current.image and wanted.image_digest == current.image_digest:
        wanted.image_digest = ""
