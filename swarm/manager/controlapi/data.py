"""What people do with secrets and configs: create, look, label, remove."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.api.v1.objects_pb2 import Config, Secret
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec
from swarm.clock import nanoseconds
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, StaleVersion
from swarm.ids import new_id
from swarm.manager.controlapi.redact import shown_config, shown_secret
from swarm.manager.controlapi.references import check_unused, find_version
from swarm.manager.controlapi.routing import Router
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.tables import ReadView, Table, copy_of, kind_name, table_of
from swarm.manager.store.transaction import Transaction
from swarm.model.data_versions import family_of, is_replaced
from swarm.model.limits import DATA_BYTES
from swarm.model.secret_drivers import named_data
from swarm.model.selectors import data_selected
from swarm.model.validate_data import data_of, validate_data
from swarm.security.identity import caller

R = TypeVar("R")
D = TypeVar("D", Secret, Config)
Context = grpc.aio.ServicerContext[Any, Any]


def create(transaction: Transaction, item: D) -> D:
    """Add a secret or config with a valid spec.

    Raises NameConflict, InvalidArgument (its driver is asked with what is not there, or not there for the
    caller) and FailedPrecondition (no room).
    """
    _check_driver(transaction, item)
    held = sum(len(data_of(one.spec)) for table in _tables(transaction) for one in table)
    for problem in DATA_BYTES.exceeded("with this one", held + len(data_of(item.spec))):
        raise FailedPrecondition(f"the cluster has no room for it: {problem}")
    return transaction.create(item)


def _check_driver(transaction: Transaction, item: Secret | Config) -> None:
    """Nobody may have a driver send elsewhere what they could not give to a service."""
    if not isinstance(item, Secret):
        return
    for kind, name in named_data(item.spec.driver):
        found = transaction.secrets.by_name(name) if kind == "secret" else transaction.configs.by_name(name)
        if found is None:
            raise InvalidArgument(
                f"there is no {kind} {name}, with which the driver of secret {item.spec.annotations.name} "
                f"is to be asked; create it first (swarmctl {kind} create {name} FILE)"
            )


def relabel(transaction: Transaction, current: D | None, item: D, version: int) -> D:
    """Give a secret or config the labels of `item`; raises NotFound, StaleVersion and InvalidArgument.

    Everything else must be as it is; data may be left out, because nobody can read it.
    """
    kind = kind_name(type(item))
    if current is None:
        raise NotFound(f"there is no {kind} {item.id}")
    name = current.spec.annotations.name
    if version != current.meta.version.index:
        raise StaleVersion(
            f"update out of sequence: {kind} {name} changed since version {version} was read; read it again "
            "and repeat the change"
        )
    if is_replaced(current):
        raise FailedPrecondition(f"{kind} {name} is an old version: change {family_of(name)}")
    changed = copy_of(current)
    changed.spec.annotations.ClearField("labels")
    changed.spec.annotations.labels.update(item.spec.annotations.labels)
    wanted = copy_of(item).spec
    set_data(wanted, data_of(wanted) or data_of(current.spec))
    if wanted != changed.spec:
        raise InvalidArgument(
            f"only the labels of {kind} {name} can be changed: rotate it to give it, and the services that "
            f"use it, other content (swarmctl {kind} rotate {name} FILE)"
        )
    validate_data(changed.spec)
    return transaction.update(changed)


def remove(transaction: Transaction, kind: type[D], ref: str) -> str:
    """Remove a secret or config, with its old versions unless `ref` names one of those; return its id.

    Raises NotFound, FailedPrecondition (in use).
    """
    table: Table[D] = table_of(transaction, kind)  # type: ignore[assignment]
    found = find_version(table, kind_name(kind), ref)
    name = found.spec.annotations.name
    going = [one for one in table if one is found or family_of(one.spec.annotations.name) == name]
    for one in going:
        check_unused(transaction, one, kind_name(kind))
    for one in going:
        transaction.remove(one)
    return found.id


def listed(
    items: Iterable[D], request: control.ListSecretsRequest | control.ListConfigsRequest
) -> Iterable[D]:
    """Return the secrets or configs asked for; old versions only if those are."""
    return (
        one
        for one in items
        if (request.old_versions or not is_replaced(one)) and data_selected(request.filters, one)
    )


def oldest_first(items: Iterable[D]) -> list[D]:
    """Return secrets or configs by age."""
    return sorted(items, key=lambda one: (nanoseconds(one.meta.created_at), one.id))


def _tables(view: ReadView) -> tuple[Iterable[Secret | Config], ...]:
    return view.secrets, view.configs


def set_data(spec: SecretSpec | ConfigSpec, data: bytes) -> None:
    """Give the spec of a secret or config, which the caller owns, this data."""
    if isinstance(spec, SecretSpec):
        spec.secret_data = data
    else:
        spec.data = data


class DataServicer(ControlBase):
    """The part of service Control that is about secrets and configs."""

    _store: ScopedStore
    _router: Router

    def _update(self, change: Callable[[Transaction], R], timeout_s: float) -> Awaitable[R]:
        """Commit `change` as the whole servicer does."""
        raise NotImplementedError

    async def CreateSecret(
        self, request: control.CreateSecretRequest, context: Context
    ) -> control.CreateSecretResponse:
        """Keep a secret."""
        validate_data(request.spec)
        item = Secret(id=new_id(), spec=request.spec, created_by=caller(context).user)

        async def commit(timeout_s: float) -> control.CreateSecretResponse:
            made = await self._update(lambda transaction: create(transaction, item), timeout_s)
            return control.CreateSecretResponse(secret=self._secret(made))

        return await self._router.write("CreateSecret", request, context, commit)

    async def GetSecret(
        self, request: control.GetSecretRequest, context: Context
    ) -> control.GetSecretResponse:
        """Return a secret, without its data, by id, name or unique id prefix."""

        def answer() -> control.GetSecretResponse:
            found = find_version(self._store.view.secrets, "secret", request.ref)
            return control.GetSecretResponse(secret=shown_secret(found))

        return await self._router.read("GetSecret", request, context, answer)

    async def ListSecrets(
        self, request: control.ListSecretsRequest, context: Context
    ) -> control.ListSecretsResponse:
        """Return the secrets asked for, oldest first, without their data."""

        def answer() -> control.ListSecretsResponse:
            found = listed(self._store.view.secrets, request)
            return control.ListSecretsResponse(secrets=map(shown_secret, oldest_first(found)))

        return await self._router.read("ListSecrets", request, context, answer)

    async def UpdateSecret(
        self, request: control.UpdateSecretRequest, context: Context
    ) -> control.UpdateSecretResponse:
        """Give a secret other labels."""
        item = Secret(id=request.id, spec=request.spec)

        async def commit(timeout_s: float) -> control.UpdateSecretResponse:
            changed = await self._update(
                lambda transaction: relabel(
                    transaction, transaction.secrets.get(item.id), item, request.version
                ),
                timeout_s,
            )
            return control.UpdateSecretResponse(secret=self._secret(changed))

        return await self._router.write("UpdateSecret", request, context, commit)

    async def RemoveSecret(
        self, request: control.RemoveSecretRequest, context: Context
    ) -> control.RemoveSecretResponse:
        """Remove a secret that no service uses."""

        async def commit(timeout_s: float) -> control.RemoveSecretResponse:
            removed = await self._update(
                lambda transaction: remove(transaction, Secret, request.ref), timeout_s
            )
            return control.RemoveSecretResponse(id=removed)

        return await self._router.write("RemoveSecret", request, context, commit)

    async def CreateConfig(
        self, request: control.CreateConfigRequest, context: Context
    ) -> control.CreateConfigResponse:
        """Keep a config."""
        validate_data(request.spec)
        item = Config(id=new_id(), spec=request.spec, created_by=caller(context).user)

        async def commit(timeout_s: float) -> control.CreateConfigResponse:
            made = await self._update(lambda transaction: create(transaction, item), timeout_s)
            return control.CreateConfigResponse(config=self._config(made))

        return await self._router.write("CreateConfig", request, context, commit)

    async def GetConfig(
        self, request: control.GetConfigRequest, context: Context
    ) -> control.GetConfigResponse:
        """Return a config with its data, by id, name or unique id prefix."""

        def answer() -> control.GetConfigResponse:
            found = find_version(self._store.view.configs, "config", request.ref)
            return control.GetConfigResponse(config=found)

        return await self._router.read("GetConfig", request, context, answer)

    async def ListConfigs(
        self, request: control.ListConfigsRequest, context: Context
    ) -> control.ListConfigsResponse:
        """Return the configs asked for, oldest first, without their data."""

        def answer() -> control.ListConfigsResponse:
            found = listed(self._store.view.configs, request)
            return control.ListConfigsResponse(configs=map(shown_config, oldest_first(found)))

        return await self._router.read("ListConfigs", request, context, answer)

    async def UpdateConfig(
        self, request: control.UpdateConfigRequest, context: Context
    ) -> control.UpdateConfigResponse:
        """Give a config other labels."""
        item = Config(id=request.id, spec=request.spec)

        async def commit(timeout_s: float) -> control.UpdateConfigResponse:
            changed = await self._update(
                lambda transaction: relabel(
                    transaction, transaction.configs.get(item.id), item, request.version
                ),
                timeout_s,
            )
            return control.UpdateConfigResponse(config=self._config(changed))

        return await self._router.write("UpdateConfig", request, context, commit)

    async def RemoveConfig(
        self, request: control.RemoveConfigRequest, context: Context
    ) -> control.RemoveConfigResponse:
        """Remove a config that no service uses."""

        async def commit(timeout_s: float) -> control.RemoveConfigResponse:
            removed = await self._update(
                lambda transaction: remove(transaction, Config, request.ref), timeout_s
            )
            return control.RemoveConfigResponse(id=removed)

        return await self._router.write("RemoveConfig", request, context, commit)

    def _secret(self, written: Secret) -> Secret:
        """Return what was just written as it is in the store, with its version, fit to be shown."""
        return shown_secret(self._store.view.secrets.get(written.id) or written)

    def _config(self, written: Config) -> Config:
        return shown_config(self._store.view.configs.get(written.id) or written)
