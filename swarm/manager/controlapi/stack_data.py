"""Secrets and configs of stacks: each content they ever had is a version of its own.

An object never changes, so other data under the same name is another object with a number behind the name.
Which one is meant is found by the data itself, not by a digest in the name: that would tell people who may
not read a secret how to try out guesses.
"""

from collections.abc import Iterable
from typing import TypeVar

from swarm.api.v1.objects_pb2 import Config, Secret, Service
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec, ServiceSpec
from swarm.ids import new_id
from swarm.manager.controlapi import data
from swarm.manager.controlapi.references import check_unused
from swarm.manager.store.tables import kind_name
from swarm.manager.store.transaction import Transaction
from swarm.model.file_references import data_ids
from swarm.model.stacks import NAMESPACE_LABEL, VERSION_OF_LABEL

Spec = TypeVar("Spec", SecretSpec, ConfigSpec)


class Kept:
    """The versions that one request means by the names of its secrets and configs."""

    def __init__(self) -> None:
        self.made: list[str] = []  # what was not there before, e.g. `secret shop_key-2`
        self._secrets: dict[str, Secret] = {}
        self._configs: dict[str, Config] = {}

    def keep_secret(self, transaction: Transaction, spec: SecretSpec) -> str:
        """Find, or make, the version of `spec` with its data; return its id."""
        name, wanted = spec.annotations.name, _version_of(spec)
        found = next((one for one in transaction.secrets if _version_of(one.spec) == wanted), None)
        if found is None:
            wanted.annotations.name = _free(name, (one.spec.annotations.name for one in transaction.secrets))
            found = data.create(transaction, Secret(id=new_id(), spec=wanted))
            self.made.append(f"secret {wanted.annotations.name}")
        self._secrets[name] = found
        return found.id

    def keep_config(self, transaction: Transaction, spec: ConfigSpec) -> str:
        """Find, or make, the version of `spec` with its data; return its id."""
        name, wanted = spec.annotations.name, _version_of(spec)
        found = next((one for one in transaction.configs if _version_of(one.spec) == wanted), None)
        if found is None:
            wanted.annotations.name = _free(name, (one.spec.annotations.name for one in transaction.configs))
            found = data.create(transaction, Config(id=new_id(), spec=wanted))
            self.made.append(f"config {wanted.annotations.name}")
        self._configs[name] = found
        return found.id

    def filled_in(self, spec: ServiceSpec) -> ServiceSpec:
        """Return `spec` with references to the versions that are meant."""
        if not self._secrets and not self._configs:
            return spec
        filled = ServiceSpec()
        filled.CopyFrom(spec)
        for secret in filled.task.container.secrets:
            if (kept := self._secrets.get(secret.secret_name)) is not None:
                secret.secret_id, secret.secret_name = kept.id, kept.spec.annotations.name
        for config in filled.task.container.configs:
            if (found := self._configs.get(config.config_name)) is not None:
                config.config_id, config.config_name = found.id, found.spec.annotations.name
        return filled


def collect(transaction: Transaction, stack: str) -> None:
    """Remove versions of a stack's secrets and configs that no service needs, also not to go back."""
    needed = frozenset().union(*(_needed(service) for service in transaction.services))
    everything: tuple[Secret | Config, ...] = (*transaction.secrets, *transaction.configs)
    for item in everything:
        labels = item.spec.annotations.labels
        is_version = labels.get(NAMESPACE_LABEL) == stack and VERSION_OF_LABEL in labels
        if is_version and item.id not in needed:
            check_unused(transaction, item, kind_name(type(item)))
            transaction.remove(item)


def _needed(service: Service) -> frozenset[str]:
    """Return the ids of what a service refers to, now or in the spec before."""
    return data_ids(service.spec.task.container) | data_ids(service.previous_spec.task.container)


def _version_of(spec: Spec) -> Spec:
    """Return what versions with the same data have in common: everything but their own name."""
    common = type(spec)()
    common.CopyFrom(spec)
    if VERSION_OF_LABEL not in common.annotations.labels:
        common.annotations.labels[VERSION_OF_LABEL] = spec.annotations.name
    common.annotations.name = ""
    return common


def _free(name: str, taken: Iterable[str]) -> str:
    """Return `name` with the first number that is free."""
    names = frozenset(taken)
    number = 1
    while f"{name}-{number}" in names:
        number += 1
    return f"{name}-{number}"
