"""A secret or config gets other content: a version more, and every service that uses another one follows.

A version never changes: what nodes, tasks and specs to go back to know is the version they have. The new one
takes over the name, in the same transaction in which the services are updated.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from swarm.api.v1.control_pb2 import UpdateServiceRequest
from swarm.api.v1.objects_pb2 import Config, Secret, Service
from swarm.api.v1.specs_pb2 import SecretDriver, ServiceSpec
from swarm.errors import FailedPrecondition
from swarm.ids import new_id
from swarm.manager.controlapi import data, services
from swarm.manager.controlapi.http_ingress import settle_ingress
from swarm.manager.controlapi.references import find_version
from swarm.manager.store.tables import ReadView, Table, copy_of, kind_name, table_of
from swarm.manager.store.transaction import Transaction
from swarm.model.data_versions import family_of, is_replaced, number_of, old_name, refer_to
from swarm.model.file_references import data_ids
from swarm.model.limits import DATA_VERSIONS
from swarm.model.secret_drivers import named_data
from swarm.model.stacks import VERSION_OF_LABEL
from swarm.model.validate_data import data_of, validate_data

D = TypeVar("D", Secret, Config)
NOTHING: frozenset[str] = frozenset()
_ONCE = ("replicated_job", "global_job")


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be in a secret or config from now on: data, or what a driver gives."""

    data: bytes = b""
    driver: SecretDriver | None = None
    of_number: int = 0  # the version that is to be replaced: the same driver of a newer one stays; 0: any

    def is_new_to(self, current: Secret | Config) -> bool:
        """Whether a version more is needed. The same driver may give something else by now."""
        if self.driver is None:
            return data_of(current.spec) != self.data
        known = current.spec.driver if isinstance(current, Secret) else None
        return known != self.driver or self.of_number in {0, number_of(current)}


@dataclass(frozen=True, slots=True)
class Rotated(Generic[D]):
    """What a rotation left."""

    item: D  # the version in force
    is_new: bool
    services: tuple[tuple[Service, Service], ...]  # those that changed, before and after


def rotate(
    transaction: Transaction, kind: type[D], ref: str, content: Content, by: str, now_ns: int
) -> Rotated[D]:
    """Give a secret or config other content, and its new version to everything that uses an older one.

    The data that it has already makes no new version, so that a request may come twice. Raises NotFound,
    InvalidArgument, FailedPrecondition (an old version, one of a stack) and what updating a service raises.
    """
    current = find_version(cast("Table[D]", table_of(transaction, kind)), kind_name(kind), ref)
    _check(current, kind_name(kind), content)
    is_new = content.is_new_to(current)
    item = _replace(transaction, current, content, by) if is_new else current
    older = frozenset(one.id for one in versions(transaction, kind, item.spec.annotations.name))
    older -= {item.id}
    changed = tuple(_follow(transaction, item, older, now_ns)) if older else ()
    _tell_others(transaction, item, older)
    collect(transaction, kind, item.spec.annotations.name, needs_of(transaction))
    return Rotated(item, is_new, changed)


def versions(view: ReadView, kind: type[D], name: str) -> list[D]:
    """Return the versions of a secret or config that there are, oldest first."""
    table: Iterable[Any] = table_of(view, kind)
    found = [one for one in table if family_of(one.spec.annotations.name) == name]
    return sorted(found, key=number_of)


@dataclass(frozen=True, slots=True)
class Needs:
    """The ids of versions that are needed."""

    used: frozenset[str]  # also by what services may go back to by themselves
    remembered: frozenset[str]  # by what people may take services and stacks back to


def needs_of(view: ReadView) -> Needs:
    """Return what is needed now."""
    return Needs(_used(view), _remembered(view))


def collect(transaction: Transaction, kind: type[D], name: str, needs: Needs) -> None:
    """Remove the old versions that nobody uses or can go back to.

    Those that only earlier revisions of services and stacks need are kept as far as DATA_VERSIONS allows.
    """
    old = [one for one in versions(transaction, kind, name) if is_replaced(one)]
    spare = len(old) - DATA_VERSIONS.value
    for one in old:
        if one.id in needs.used:
            continue
        if one.id not in needs.remembered or spare > 0:
            transaction.remove(one)
            spare -= 1


def _check(current: Secret | Config, kind: str, content: Content) -> None:
    name = current.spec.annotations.name
    if is_replaced(current):
        raise FailedPrecondition(
            f"{kind} {name} is an old version: rotate {family_of(name)} "
            f"(swarmctl {kind} rotate {family_of(name)} FILE)"
        )
    is_asked_again = isinstance(current, Secret) and current.spec.driver == content.driver
    if VERSION_OF_LABEL in current.spec.annotations.labels and not is_asked_again:
        raise FailedPrecondition(
            f"{kind} {name} belongs to a stack, which would take it back: change it there and deploy again "
            "(swarmctl stack deploy)"
        )


def _replace(transaction: Transaction, current: D, content: Content, by: str) -> D:
    item = type(current)(created_by=by)
    item.spec.CopyFrom(current.spec)
    data.set_data(item.spec, content.data)
    if isinstance(item, Secret):
        item.spec.ClearField("driver")
        if content.driver is not None:
            item.spec.driver.CopyFrom(content.driver)
    return succeed(transaction, current, item)


def succeed(transaction: Transaction, current: D | None, item: D) -> D:
    """Add the version `item`, which the caller owns, in place of the one that has its name now, if any.

    Raises InvalidArgument and FailedPrecondition (no room).
    """
    name = item.spec.annotations.name
    validate_data(item.spec)
    number = max((number_of(one) for one in versions(transaction, type(item), name)), default=0) + 1
    item.id, item.number = new_id(), number if number > 1 else 0
    if current is not None:
        old = copy_of(current)
        old.spec.annotations.name = old_name(name, number_of(current))
        old.number = number_of(current)
        transaction.update(old)
    return data.create(transaction, item)


def _follow(
    transaction: Transaction, item: Secret | Config, older: frozenset[str], now_ns: int
) -> Iterator[tuple[Service, Service]]:
    """Update the services that use an older version; a job that runs once did, or does, with what it had."""
    for service in sorted(transaction.services, key=lambda one: one.spec.annotations.name):
        if not older & _of_spec(service.spec) or service.spec.WhichOneof("mode") in _ONCE:
            continue
        spec = _moved(service.spec, item, older)
        request = UpdateServiceRequest(id=service.id, version=service.meta.version.index, spec=spec)
        request.skip_image_resolution = True
        yield service, services.update_service(transaction, request, now_ns)


def _moved(before: ServiceSpec, item: Secret | Config, older: frozenset[str]) -> ServiceSpec:
    """Return a spec with references to this version in place of older ones."""
    spec = services.copy_of_spec(before)
    container = spec.task.container
    for secret in container.secrets if isinstance(item, Secret) else ():
        if secret.secret_id in older:
            refer_to(secret, item)
    for config in container.configs if isinstance(item, Config) else ():
        if config.config_id in older:
            refer_to(config, item)
    for route in spec.endpoint.routes if spec.HasField("endpoint") else ():
        if route.tls_secret_id in older:
            route.tls_secret_id = item.id
    return spec


def _tell_others(transaction: Transaction, item: Secret | Config, older: frozenset[str]) -> None:
    """Give what is not a service the new version: plugins of volumes, and the HTTP proxies."""
    new = item.id
    for found in list(transaction.volumes):
        if any(one.secret_id in older for one in found.spec.secrets):
            if isinstance(item, Secret) and item.spec.HasField("driver"):
                raise FailedPrecondition(
                    f"secret {item.spec.annotations.name} is what the plugin of volume "
                    f"{found.spec.annotations.name} is given, and drivers are asked for tasks only"
                )
            volume = copy_of(found)
            for secret in volume.spec.secrets:
                if secret.secret_id in older:
                    secret.secret_id = new
            transaction.update(volume)
    known = transaction.cluster
    if known is not None and known.spec.http_ingress.tls_secret_id in older:
        cluster = copy_of(known)
        cluster.spec.http_ingress.tls_secret_id = new
        settle_ingress(transaction, cluster.spec)  # raises when it is no certificate
        transaction.update(cluster)


def _used(view: ReadView) -> frozenset[str]:
    """Return the ids of everything in use, also of what services may go back to by themselves."""
    specs = [spec for one in view.services for spec in (one.spec, one.previous_spec)]
    found = {secret.secret_id for one in view.volumes for secret in one.spec.secrets}
    if view.cluster is not None:
        found.add(view.cluster.spec.http_ingress.tls_secret_id)
    return NOTHING.union(found, _asked_with(view), *map(_of_spec, specs))


def _asked_with(view: ReadView) -> Iterator[str]:
    """Yield the ids of what drivers are asked with."""
    for secret in view.secrets:
        for kind, name in named_data(secret.spec.driver) if secret.spec.HasField("driver") else ():
            found = view.secrets.by_name(name) if kind == "secret" else view.configs.by_name(name)
            if found is not None:
                yield found.id


def _remembered(view: ReadView) -> frozenset[str]:
    """Return the ids of what people may take services and stacks back to."""
    specs = [revision.spec for one in view.services for revision in one.revisions]
    specs += [spec for one in view.stacks for revision in one.revisions for spec in revision.services]
    return NOTHING.union(*map(_of_spec, specs))


def _of_spec(spec: ServiceSpec) -> frozenset[str]:
    return data_ids(spec.task.container) | {one.tls_secret_id for one in spec.endpoint.routes}
