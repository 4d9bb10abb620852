"""Do the secrets and configs exist that a service refers to, and who refers to one?"""

from collections.abc import Iterator
from typing import TypeVar

from swarm.api.v1.objects_pb2 import Config, Secret, Service
from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.controlapi.http_ingress import certificate_users
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.store.tables import ReadView, Table
from swarm.model.data_versions import family_of, is_replaced, number_of, old_name, refer_to
from swarm.model.file_references import data_ids, reference_problems
from swarm.model.limits import shown
from swarm.model.rollout import is_unfinished
from swarm.model.secret_drivers import named_data

D = TypeVar("D", Secret, Config)

SERVICES_SHOWN = 5


def resolve_references(view: ReadView, spec: ServiceSpec) -> None:
    """Fill in the ids and names that the references in `spec`, which the caller owns, leave out.

    Raises InvalidArgument when one of them does not exist, or is another than its name says.
    """
    container = spec.task.container
    if not container.secrets and not container.configs:
        return  # even to look at them would make the messages present in the spec
    problems: list[str] = []
    for secret in container.secrets:
        found = _find(view.secrets, "secret", secret.secret_id, secret.secret_name, problems)
        if found is not None:
            refer_to(secret, found)
    for config in container.configs:
        known = _find(view.configs, "config", config.config_id, config.config_name, problems)
        if known is not None:
            refer_to(config, known)
    problems.extend(reference_problems(container))
    if problems:
        raise InvalidArgument(f"invalid service: {'; '.join(problems)}")


def check_references(view: ReadView, spec: ServiceSpec) -> None:
    """Raise FailedPrecondition when a spec that was right once refers to what is gone."""
    container = spec.task.container
    gone = [f"secret {one.secret_name}" for one in container.secrets if one.secret_id not in view.secrets]
    gone += [f"config {one.config_name}" for one in container.configs if one.config_id not in view.configs]
    if gone:
        raise FailedPrecondition(f"the service cannot go back to that spec: {', '.join(gone)} was removed")


def check_unused(view: ReadView, item: Secret | Config, kind: str) -> None:
    """Raise FailedPrecondition, with who does, while services or volumes refer to a secret or config."""
    volumes = sorted(
        one.spec.annotations.name
        for one in view.volumes
        if any(secret.secret_id == item.id for secret in one.spec.secrets)
    )
    if volumes:
        raise FailedPrecondition(
            f"{kind} {item.spec.annotations.name} is what the plugin of volume {volumes[0]} is given: "
            f"remove the volume first (swarmctl volume rm {volumes[0]})"
        )
    for secret in _asked_with(view, item, kind):
        raise FailedPrecondition(
            f"{kind} {item.spec.annotations.name} is what the driver of secret {secret} is asked with: "
            f"remove that one first (swarmctl secret rm {secret})"
        )
    for user in certificate_users(view, item.id):
        raise FailedPrecondition(f"{kind} {item.spec.annotations.name} is the certificate of {user}")
    users = sorted(one.spec.annotations.name for one in view.services if _uses(one, item.id))
    if not users:
        return
    names = ", ".join(users[:SERVICES_SHOWN]) + (", …" if len(users) > SERVICES_SHOWN else "")
    name, many = item.spec.annotations.name, "s" if len(users) > 1 else ""
    raise FailedPrecondition(
        f"{kind} {name} is in use by service{many} {names}: take it from there first "
        f"(swarmctl service update --{kind}-rm {family_of(name)} SERVICE)"
    )


def _asked_with(view: ReadView, item: Secret | Config, kind: str) -> Iterator[str]:
    """Yield the names of secrets whose drivers are asked with what this one's name leads to."""
    wanted = (kind, item.spec.annotations.name)
    for one in view.secrets:
        if one.spec.HasField("driver") and not is_replaced(one) and wanted in named_data(one.spec.driver):
            yield one.spec.annotations.name


def _uses(service: Service, data_id: str) -> bool:
    """Whether a service refers to it, also in the spec that an update under way may go back to."""
    if _refers(service.spec.task.container, data_id):
        return True
    return is_unfinished(service.update_status) and _refers(service.previous_spec.task.container, data_id)


def _refers(container: ContainerSpec, data_id: str) -> bool:
    return bool(container.secrets or container.configs) and data_id in data_ids(container)


def find_version(table: Table[D], kind: str, ref: str) -> D:
    """Return the version that `ref` names: the newest, or NAME@NUMBER; raises as resolve."""
    return _numbered(table, ref) or resolve(table, kind, ref)


def _numbered(table: Table[D], ref: str) -> D | None:
    """Return the newest version when `ref` names it with its number."""
    newest = table.by_name(family_of(ref))
    is_meant = newest is not None and ref == old_name(family_of(ref), number_of(newest))
    return newest if is_meant else None


def _find(table: Table[D], kind: str, data_id: str, name: str, problems: list[str]) -> D | None:
    found = table.get(data_id) if data_id else table.by_name(name) or _numbered(table, name)
    if found is None or (name and family_of(name) != family_of(found.spec.annotations.name)):
        problems.append(
            f"there is no {kind} {shown(name or data_id)}; create it first "
            f"(swarmctl {kind} create NAME FILE)"
        )
        return None
    return found
