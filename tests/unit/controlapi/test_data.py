"""Secrets and configs at the control API: who may read what, what is refused, and by whom they are used."""

from collections.abc import Iterator

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec, ServiceSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NotFound,
    StaleVersion,
)
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.controlapi.services import create_service, update_service
from swarm.manager.controlapi.steering import steer
from swarm.manager.store.tables import copy_of
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext, a_spec
from tests.unit.controlapi.test_servicer import a_servicer

DATA = b"s3cret-data"


@pytest.fixture(autouse=True)
def _somebody() -> Iterator[None]:
    with acting_as(Identity("", Role.LOCAL, "")):
        yield


async def make_secret(servicer: ControlServicer, name: str = "key", **labels: str) -> str:
    spec = SecretSpec(secret_data=DATA)
    spec.annotations.name = name
    spec.annotations.labels.update(labels)
    answer = await servicer.CreateSecret(c.CreateSecretRequest(spec=spec), FakeContext())
    assert DATA not in answer.SerializeToString()
    return answer.secret.id


async def make_config(servicer: ControlServicer, name: str = "ini") -> str:
    spec = ConfigSpec(data=b"a=1")
    spec.annotations.name = name
    return (await servicer.CreateConfig(c.CreateConfigRequest(spec=spec), FakeContext())).config.id


def using(*secrets: str, configs: tuple[str, ...] = (), name: str = "web") -> ServiceSpec:
    spec = a_spec(name)
    for one in secrets:
        spec.task.container.secrets.add(secret_name=one)
    for one in configs:
        spec.task.container.configs.add(config_name=one)
    return spec


async def make_service(servicer: ControlServicer, spec: ServiceSpec) -> Service:
    request = c.CreateServiceRequest(spec=spec, skip_image_resolution=True)
    return (await servicer.CreateService(request, FakeContext())).service


async def test_the_data_of_a_secret_can_be_read_in_no_way() -> None:
    servicer, store, _ = a_servicer()
    secret_id = await make_secret(servicer, tier="a")
    for ref in ("key", secret_id, secret_id[:6]):
        found = (await servicer.GetSecret(c.GetSecretRequest(ref=ref), FakeContext())).secret
        assert (found.spec.annotations.name, found.spec.secret_data) == ("key", b"")
    listed = await servicer.ListSecrets(c.ListSecretsRequest(), FakeContext())
    assert [one.id for one in listed.secrets] == [secret_id]
    assert DATA not in listed.SerializeToString()
    assert store.view.secrets.get(secret_id).spec.secret_data == DATA


async def test_the_data_of_a_config_is_shown_by_name_and_left_out_of_lists() -> None:
    servicer, _, _ = a_servicer()
    await make_config(servicer)
    assert (
        await servicer.GetConfig(c.GetConfigRequest(ref="ini"), FakeContext())
    ).config.spec.data == b"a=1"
    (listed,) = (await servicer.ListConfigs(c.ListConfigsRequest(), FakeContext())).configs
    assert (listed.spec.annotations.name, listed.spec.data) == ("ini", b"")


async def test_a_name_belongs_to_one_secret_and_a_config_may_have_it_too() -> None:
    servicer, _, _ = a_servicer()
    await make_secret(servicer, "key")
    with pytest.raises(NameConflict, match="key"):
        await make_secret(servicer, "key")
    await make_config(servicer, "key")


async def test_lists_are_filtered_by_name_id_and_label() -> None:
    servicer, _, _ = a_servicer()
    first, second = await make_secret(servicer, "key-a", tier="x"), await make_secret(servicer, "other")
    for filters, expected in (
        (c.Filters(name_prefixes=["key"]), [first]),
        (c.Filters(id_prefixes=[second[:8]]), [second]),
        (c.Filters(labels=["tier=x"]), [first]),
        (c.Filters(labels=["tier=y"]), []),
    ):
        answer = await servicer.ListSecrets(c.ListSecretsRequest(filters=filters), FakeContext())
        assert [one.id for one in answer.secrets] == expected
    with pytest.raises(InvalidArgument, match="cannot be filtered by roles"):
        await servicer.ListSecrets(c.ListSecretsRequest(filters=c.Filters(roles=[1])), FakeContext())


async def test_only_labels_can_be_changed_and_only_of_the_version_that_was_read() -> None:
    servicer, store, _ = a_servicer()
    secret_id = await make_secret(servicer, tier="a")
    read = (await servicer.GetSecret(c.GetSecretRequest(ref="key"), FakeContext())).secret
    version = read.meta.version.index
    read.spec.annotations.labels["tier"] = "b"
    request = c.UpdateSecretRequest(id=secret_id, version=version, spec=read.spec)
    changed = (await servicer.UpdateSecret(request, FakeContext())).secret
    assert (dict(changed.spec.annotations.labels), changed.spec.secret_data) == ({"tier": "b"}, b"")
    assert store.view.secrets.get(secret_id).spec.secret_data == DATA
    with pytest.raises(StaleVersion, match="out of sequence"):
        await servicer.UpdateSecret(request, FakeContext())
    version = changed.meta.version.index
    for field, value in (("secret_data", b"other"), ("template_driver", "golang")):
        spec = copy_of(changed).spec
        setattr(spec, field, value)
        with pytest.raises(InvalidArgument, match="only the labels of secret key can be changed"):
            await servicer.UpdateSecret(
                c.UpdateSecretRequest(id=secret_id, version=version, spec=spec), FakeContext()
            )
    with pytest.raises(NotFound):
        await servicer.UpdateSecret(c.UpdateSecretRequest(id="none", spec=spec), FakeContext())


async def test_what_a_service_refers_to_must_exist_and_gets_its_id() -> None:
    servicer, store, _ = a_servicer()
    secret_id, config_id = await make_secret(servicer), await make_config(servicer)
    with pytest.raises(InvalidArgument) as caught:
        await make_service(servicer, using("key", "nothing", configs=("neither",)))
    assert "there is no secret nothing" in str(caught.value)
    assert "there is no config neither" in str(caught.value)
    assert len(store.view.services) == 0
    container = (await make_service(servicer, using("key", configs=("ini",)))).spec.task.container
    assert container.secrets[0].secret_id == secret_id
    assert container.configs[0].config_id == config_id


async def test_an_id_fills_the_name_in_and_an_id_of_another_name_is_refused() -> None:
    servicer, _, _ = a_servicer()
    secret_id = await make_secret(servicer)
    spec = a_spec("by-id")
    spec.task.container.secrets.add(secret_id=secret_id)
    assert (await make_service(servicer, spec)).spec.task.container.secrets[0].secret_name == "key"
    spec = a_spec("wrong")
    spec.task.container.secrets.add(secret_id=secret_id, secret_name="other")
    with pytest.raises(InvalidArgument, match="there is no secret other"):
        await make_service(servicer, spec)
    spec = using("key", name="twice")
    spec.task.container.secrets.add(secret_id=secret_id)
    with pytest.raises(InvalidArgument, match="has the target /run/secrets/key"):
        await make_service(servicer, spec)


async def test_an_update_to_what_does_not_exist_changes_nothing_and_the_same_spec_replaces_no_task() -> None:
    servicer, _, _ = a_servicer()
    await make_secret(servicer)
    service = await make_service(servicer, using("key"))
    request = c.UpdateServiceRequest(id=service.id, version=service.meta.version.index)
    request.skip_image_resolution = True
    request.spec.CopyFrom(using("key"))
    assert (await servicer.UpdateService(request, FakeContext())).service == service
    request.spec.CopyFrom(using("gone"))
    with pytest.raises(InvalidArgument, match="there is no secret gone"):
        await servicer.UpdateService(request, FakeContext())
    assert (await servicer.GetService(c.GetServiceRequest(ref="web"), FakeContext())).service == service


async def test_what_is_used_is_not_removed_and_the_services_are_named() -> None:
    servicer, store, _ = a_servicer()
    await make_secret(servicer)
    await make_config(servicer)
    for name in ("web", "api"):
        await make_service(servicer, using("key", configs=("ini",), name=name))
    with pytest.raises(FailedPrecondition, match="secret key is in use by services api, web"):
        await servicer.RemoveSecret(c.RemoveSecretRequest(ref="key"), FakeContext())
    with pytest.raises(FailedPrecondition, match="config ini is in use by services api, web"):
        await servicer.RemoveConfig(c.RemoveConfigRequest(ref="ini"), FakeContext())
    for name in ("web", "api"):
        await servicer.RemoveService(c.RemoveServiceRequest(ref=name), FakeContext())
    await servicer.RemoveSecret(c.RemoveSecretRequest(ref="key"), FakeContext())
    await servicer.RemoveConfig(c.RemoveConfigRequest(ref="ini"), FakeContext())
    assert (len(store.view.secrets), len(store.view.configs)) == (0, 0)
    with pytest.raises(NotFound, match="there is no secret key"):
        await servicer.RemoveSecret(c.RemoveSecretRequest(ref="key"), FakeContext())


async def test_the_old_secret_stays_until_the_update_away_from_it_is_over_and_then_nothing_goes_back() -> (
    None
):
    servicer, store, _ = a_servicer()
    await make_secret(servicer, "old")
    await make_secret(servicer, "new")
    service = await make_service(servicer, using("old"))
    request = c.UpdateServiceRequest(id=service.id, version=service.meta.version.index, spec=using("new"))
    await store.update(lambda tx: update_service(tx, request, 1))
    with pytest.raises(FailedPrecondition, match="in use by service web"):
        await servicer.RemoveSecret(c.RemoveSecretRequest(ref="old"), FakeContext())

    def settle(transaction) -> None:
        changed = copy_of(transaction.services.get(service.id))
        changed.update_status.state = UpdateStatus.STATE_COMPLETED
        transaction.update(changed)

    await store.update(settle)
    await servicer.RemoveSecret(c.RemoveSecretRequest(ref="old"), FakeContext())
    back = c.SteerUpdateRequest(ref="web", action=c.SteerUpdateRequest.ACTION_ROLLBACK)
    back.version = store.view.services.get(service.id).meta.version.index
    with pytest.raises(FailedPrecondition, match="secret old was removed"):
        await store.update(lambda tx: steer(tx, back, 1))


async def test_a_service_without_references_is_stored_as_it_was_sent() -> None:
    _, store, _ = a_servicer()
    await store.update(lambda tx: create_service(tx, a_spec(), "s1"))
    assert store.view.services.get("s1").spec == a_spec()
