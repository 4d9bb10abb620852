"""Secrets and configs of stacks: a deploy with other content makes a version more, as a rotation does.

Whether it is other content is found by the data itself, not by a digest in a label: that would tell people
who may not read a secret how to try out guesses.
"""

from collections.abc import Iterator
from typing import TypeVar, cast

from swarm.api.v1.objects_pb2 import Config, Secret
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec, ServiceSpec
from swarm.errors import FailedPrecondition
from swarm.manager.controlapi.rotation import collect as collect_versions
from swarm.manager.controlapi.rotation import needs_of, succeed, versions
from swarm.manager.store.tables import Table, copy_of, kind_name, table_of
from swarm.manager.store.transaction import Transaction
from swarm.model.data_versions import family_of, is_replaced, number_of, refer_to
from swarm.model.stacks import NAMESPACE_LABEL, VERSION_OF_LABEL

D = TypeVar("D", Secret, Config)


class Kept:
    """The versions that one request means by the names of its secrets and configs."""

    def __init__(self, by: str = "") -> None:
        """`by` is the name of who asks."""
        self.made: list[str] = []  # what was not there before, e.g. `secret shop_key version 2`
        self._by = by
        self._secrets: dict[str, Secret] = {}
        self._configs: dict[str, Config] = {}

    def keep_secret(self, transaction: Transaction, spec: SecretSpec) -> str:
        """Find, or make, the version of `spec` with its data; return its id. Raises FailedPrecondition."""
        found = self._keep(transaction, Secret(spec=spec, created_by=self._by))
        self._secrets[spec.annotations.name] = found
        return found.id

    def keep_config(self, transaction: Transaction, spec: ConfigSpec) -> str:
        """Find, or make, the version of `spec` with its data; return its id. Raises FailedPrecondition."""
        found = self._keep(transaction, Config(spec=spec, created_by=self._by))
        self._configs[spec.annotations.name] = found
        return found.id

    def _keep(self, transaction: Transaction, item: D) -> D:
        name, kind = item.spec.annotations.name, kind_name(type(item))
        item.spec.annotations.labels[VERSION_OF_LABEL] = name
        current = cast("Table[D]", table_of(transaction, type(item))).by_name(name)
        if current is not None:
            _check_owner(current, item, kind)
            if current.spec == item.spec:
                return current
            relabelled = copy_of(current)
            relabelled.spec.annotations.CopyFrom(item.spec.annotations)
            if relabelled.spec == item.spec:
                return transaction.update(relabelled)
            if (earlier := _in_use(transaction, item)) is not None:
                return earlier
        made = succeed(transaction, current, item)
        number = number_of(made)
        self.made.append(f"{kind} {name} version {number}" if number > 1 else f"{kind} {name}")
        return made

    def filled_in(self, spec: ServiceSpec) -> ServiceSpec:
        """Return `spec` with references to the versions that are meant."""
        if not self._secrets and not self._configs:
            return spec
        filled = ServiceSpec()
        filled.CopyFrom(spec)
        for secret in filled.task.container.secrets:
            if (kept := self._secrets.get(secret.secret_name)) is not None:
                refer_to(secret, kept)
        for config in filled.task.container.configs:
            if (found := self._configs.get(config.config_name)) is not None:
                refer_to(config, found)
        for route in filled.endpoint.routes:
            if (served := self._secrets.get(route.tls_secret_name)) is not None:
                route.tls_secret_id = served.id
        return filled


def _in_use(transaction: Transaction, item: D) -> D | None:
    """Return an earlier version that says the same and is used, as after a stack went back to it."""
    used = needs_of(transaction).used
    for one in reversed(versions(transaction, type(item), item.spec.annotations.name)):
        named = copy_of(one)
        named.spec.annotations.CopyFrom(item.spec.annotations)
        if one.id in used and named.spec == item.spec:
            return one
    return None


def _check_owner(current: Secret | Config, item: Secret | Config, kind: str) -> None:
    """Raise FailedPrecondition unless what has the name already belongs to the same stack."""
    has, wants = current.spec.annotations.labels, item.spec.annotations.labels
    if VERSION_OF_LABEL not in has or has.get(NAMESPACE_LABEL) != wants.get(NAMESPACE_LABEL):
        name = item.spec.annotations.name
        raise FailedPrecondition(
            f"{kind} {name} is there and belongs to {has.get(NAMESPACE_LABEL) or 'no stack'}: "
            "say external: true in the file to use it, or name: to have another one"
        )


def collect(transaction: Transaction, stack: str) -> list[str]:
    """Remove versions of a stack's secrets and configs that nothing needs, also not to go back.

    Return what was removed, e.g. `secret shop_key@1`.
    """
    before = list(_owned(transaction, stack))
    needs = needs_of(transaction)
    for one in before:
        name = family_of(one.spec.annotations.name)
        if isinstance(one, Secret):
            collect_versions(transaction, Secret, name, needs)
        else:
            collect_versions(transaction, Config, name, needs)
    for one in before:
        if not is_replaced(one) and one.id not in needs.used | needs.remembered:
            transaction.remove(one)
    left = {one.id for one in _owned(transaction, stack)}
    gone = [one for one in before if one.id not in left]
    return [f"{kind_name(type(one))} {one.spec.annotations.name}" for one in gone]


def _owned(transaction: Transaction, stack: str) -> Iterator[Secret | Config]:
    for item in (*transaction.secrets, *transaction.configs):
        labels = item.spec.annotations.labels
        if labels.get(NAMESPACE_LABEL) == stack and VERSION_OF_LABEL in labels:
            yield item
