"""A secret or config gets other content: one transaction for it and all services that use it."""

from collections.abc import Iterator
from typing import Any

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Cluster, Config, Secret
from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotPermitted, SwarmError
from swarm.manager.controlapi import rotation
from swarm.manager.store.tables import copy_of
from swarm.model.limits import Limit
from swarm.model.stacks import VERSION_OF_LABEL
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext, a_spec
from tests.unit.controlapi.test_planning import a_servicer


@pytest.fixture(autouse=True)
def _somebody() -> Iterator[None]:
    with acting_as(Identity("", Role.LOCAL, "")):
        yield


class Person:
    """Works with the secret `key` as swarmctl does."""

    def __init__(self, *objects: Any) -> None:
        self.servicer, self.store = a_servicer(*objects)

    async def create(self, name: str = "key", data: bytes = b"one", **labels: str) -> str:
        spec = SecretSpec(secret_data=data)
        spec.annotations.name = name
        spec.annotations.labels.update(labels)
        request = c.CreateSecretRequest(spec=spec)
        return (await self.servicer.CreateSecret(request, FakeContext())).secret.id

    async def serve(self, name: str, *secrets: str, **spec: Any) -> str:
        wanted = a_spec(name)
        wanted.MergeFrom(type(wanted)(**spec))
        for one in secrets:
            wanted.task.container.secrets.add(secret_name=one, target={"name": one.partition("@")[0]})
        request = c.CreateServiceRequest(spec=wanted, skip_image_resolution=True)
        return (await self.servicer.CreateService(request, FakeContext())).service.id

    async def rotate(self, data: bytes, ref: str = "key") -> c.ApplyChangesResponse:
        change = c.PlannedChange(rotate_secret=c.RotateSecretRequest(ref=ref, secret_data=data))
        return await self.servicer.ApplyChanges(c.ApplyChangesRequest(changes=[change]), FakeContext())

    async def listed(self, **fields: Any) -> list[str]:
        answer = await self.servicer.ListSecrets(c.ListSecretsRequest(**fields), FakeContext())
        return [one.spec.annotations.name for one in answer.secrets]

    def service(self, name: str) -> Any:
        return self.store.view.services.by_name(name)

    def content_of(self, name: str) -> bytes:
        (reference,) = self.service(name).spec.task.container.secrets
        assert reference.secret_name == "key"
        return self.store.view.secrets.get(reference.secret_id).spec.secret_data


async def test_every_service_that_uses_it_gets_the_new_version_and_no_other_changes() -> None:
    person = Person()
    first = await person.create()
    await person.create("other", b"x")
    ids = [await person.serve(name, "key") for name in ("db", "web")]
    await person.serve("rest", "other")
    untouched = copy_of(person.service("rest"))
    with acting_as(Identity(node_id="", role=Role.OPERATOR, cluster_id="c", user="ada")):
        answer = await person.rotate(b"two")
    assert list(answer.rotated_service_ids) == ids
    assert list(answer.made) == ["secret key version 2"]
    assert (person.content_of("db"), person.content_of("web")) == (b"two", b"two")
    assert person.service("rest") == untouched
    web = person.service("web")
    assert web.update_status.state == UpdateStatus.STATE_UPDATING
    assert web.previous_spec.task.container.secrets[0].secret_id == first
    newest = person.store.view.secrets.by_name("key")
    assert (newest.number, newest.created_by, newest.id) == (2, "ada", answer.ids[0])


async def test_people_see_one_secret_and_the_old_versions_when_they_ask() -> None:
    person = Person()
    await person.create(tier="a")
    await person.serve("web", "key")
    await person.rotate(b"two")
    assert await person.listed() == ["key"]
    assert sorted(await person.listed(old_versions=True)) == ["key", "key@1"]
    for ref, size in (("key", 3), ("key@1", 3), ("key@2", 3)):
        found = (await person.servicer.GetSecret(c.GetSecretRequest(ref=ref), FakeContext())).secret
        assert (found.data_bytes, found.spec.secret_data, dict(found.spec.annotations.labels)) == (
            size,
            b"",
            {"tier": "a"},
        )
    with pytest.raises(NotFound):
        await person.servicer.GetSecret(c.GetSecretRequest(ref="key@3"), FakeContext())


async def test_the_same_request_twice_makes_one_version() -> None:
    person = Person()
    await person.create()
    await person.serve("web", "key")
    made = await person.rotate(b"two")
    before = copy_of(person.service("web"))
    again = await person.rotate(b"two")
    assert (list(again.ids), list(again.made), list(again.rotated_service_ids)) == (list(made.ids), [], [])
    assert person.service("web") == before


async def test_one_service_that_cannot_follow_leaves_everything_as_it_was() -> None:
    person = Person()
    await person.create()
    await person.serve("web", "key")
    before = copy_of(person.service("web"))
    for data in (b"", b"x" * 600_000):
        with pytest.raises(InvalidArgument):
            await person.rotate(data)
    with pytest.raises(NotFound):
        await person.rotate(b"two", "nothing")
    assert (person.service("web"), person.content_of("web")) == (before, b"one")
    assert await person.listed(old_versions=True) == ["key"]


async def test_going_back_brings_the_version_before_and_rotating_again_goes_on_counting() -> None:
    person = Person()
    await person.create()
    service_id = await person.serve("web", "key")
    await person.rotate(b"two")
    version = person.service("web").meta.version.index
    request = c.UpdateServiceRequest(id=service_id, version=version, rollback=True)
    await person.servicer.UpdateService(request, FakeContext())
    assert person.content_of("web") == b"one"
    # What else changes of it leaves the version alone: nobody changes a password by scaling.
    spec = copy_of(person.service("web")).spec
    spec.replicated.replicas = 3
    version = person.service("web").meta.version.index
    request = c.UpdateServiceRequest(id=service_id, version=version, spec=spec, skip_image_resolution=True)
    await person.servicer.UpdateService(request, FakeContext())
    assert person.content_of("web") == b"one"
    # The same content once more brings it back to the version in force.
    assert list((await person.rotate(b"two")).rotated_service_ids) == [service_id]
    assert person.content_of("web") == b"two"
    assert list((await person.rotate(b"three")).made) == ["secret key version 3"]


async def test_what_nobody_can_go_back_to_is_collected() -> None:
    person = Person()
    await person.create()
    await person.rotate(b"two")
    assert await person.listed(old_versions=True) == ["key"]
    await person.serve("web", "key")
    await person.rotate(b"three")
    await person.rotate(b"four")
    assert sorted(await person.listed(old_versions=True)) == ["key", "key@2", "key@3"]
    await person.servicer.RemoveService(c.RemoveServiceRequest(ref="web"), FakeContext())
    await person.rotate(b"five")
    assert await person.listed(old_versions=True) == ["key"]


async def test_old_versions_only_people_could_go_back_to_have_a_limit(monkeypatch: Any) -> None:
    monkeypatch.setattr(rotation, "DATA_VERSIONS", Limit("DATA_VERSIONS", 2, "old versions", ""))
    person = Person()
    await person.create()
    await person.serve("web", "key")
    for data in (b"two", b"three", b"four", b"five"):
        await person.rotate(data)
    assert sorted(await person.listed(old_versions=True)) == ["key", "key@3", "key@4"]
    assert person.service("web").previous_spec.task.container.secrets[0].version == 4


async def test_jobs_that_run_once_keep_what_they_ran_with() -> None:
    person = Person()
    await person.create()
    await person.serve("migrate", "key", replicated_job={"max_concurrent": 1, "total_completions": 1})
    assert list((await person.rotate(b"two")).rotated_service_ids) == []
    assert person.content_of("migrate") == b"one"


async def test_removing_it_removes_all_versions_unless_one_is_in_use() -> None:
    person = Person()
    await person.create()
    await person.serve("web", "key")
    await person.rotate(b"two")
    with pytest.raises(FailedPrecondition, match="web"):
        await person.servicer.RemoveSecret(c.RemoveSecretRequest(ref="key"), FakeContext())
    assert sorted(await person.listed(old_versions=True)) == ["key", "key@1"]
    await person.servicer.RemoveService(c.RemoveServiceRequest(ref="web"), FakeContext())
    await person.servicer.RemoveSecret(c.RemoveSecretRequest(ref="key"), FakeContext())
    assert await person.listed(old_versions=True) == []


async def test_old_versions_and_those_of_stacks_are_not_rotated() -> None:
    person = Person()
    await person.create()
    await person.create("shop_key-1", **{VERSION_OF_LABEL: "shop_key"})
    await person.serve("web", "key")
    await person.rotate(b"two")
    for ref, why in (("key@1", "old version"), ("shop_key-1", "stack")):
        with pytest.raises(FailedPrecondition, match=why):
            await person.rotate(b"three", ref)


async def test_a_viewer_cannot_try_out_guesses() -> None:
    person = Person()
    await person.create()
    change = c.PlannedChange(rotate_secret=c.RotateSecretRequest(ref="key", secret_data=b"one"))
    viewer = Identity(node_id="", role=Role.VIEWER, cluster_id="c", user="eve")
    with acting_as(viewer), pytest.raises(NotPermitted):
        await person.servicer.PlanChanges(c.PlanChangesRequest(changes=[change]), FakeContext())


async def test_looking_ahead_shows_the_tasks_that_would_be_replaced_and_changes_nothing() -> None:
    person = Person()
    await person.create()
    await person.serve("web", "key")
    change = c.PlannedChange(rotate_secret=c.RotateSecretRequest(ref="key", secret_data=b"two"))
    request = c.PlanChangesRequest(changes=[change], with_specs=True)
    answer = await person.servicer.PlanChanges(request, FakeContext())
    assert [one.service_name for one in answer.specs] == ["web"]
    assert list(answer.made) == ["secret key version 2"]
    assert b"two" not in answer.SerializeToString()
    assert person.content_of("web") == b"one"
    assert await person.listed(old_versions=True) == ["key"]


async def test_an_old_version_keeps_its_labels() -> None:
    person = Person()
    await person.create()
    await person.serve("web", "key")
    await person.rotate(b"two")
    old = person.store.view.secrets.by_name("key@1")
    request = c.UpdateSecretRequest(id=old.id, version=old.meta.version.index, spec=old.spec)
    with pytest.raises(FailedPrecondition, match="change key"):
        await person.servicer.UpdateSecret(request, FakeContext())


async def test_a_certificate_is_replaced_by_certificates_only() -> None:
    person = Person(Cluster(id="c"))
    await person.create("cert", b"no certificate")
    cluster = copy_of(person.store.view.cluster)
    cluster.spec.http_ingress.tls_secret_id = person.store.view.secrets.by_name("cert").id
    await person.store.update(lambda transaction: transaction.update(cluster), 1.0)
    with pytest.raises(SwarmError, match="is no certificate"):
        await person.rotate(b"neither", "cert")
    assert person.store.view.secrets.by_name("cert").spec.secret_data == b"no certificate"


async def test_configs_are_rotated_likewise() -> None:
    person = Person()
    spec = ConfigSpec(data=b"a=1")
    spec.annotations.name = "ini"
    await person.servicer.CreateConfig(c.CreateConfigRequest(spec=spec), FakeContext())
    wanted = a_spec("web")
    wanted.task.container.configs.add(config_name="ini")
    await person.servicer.CreateService(
        c.CreateServiceRequest(spec=wanted, skip_image_resolution=True), FakeContext()
    )
    change = c.PlannedChange(rotate_config=c.RotateConfigRequest(ref="ini", data=b"a=2"))
    await person.servicer.ApplyChanges(c.ApplyChangesRequest(changes=[change]), FakeContext())
    (reference,) = person.service("web").spec.task.container.configs
    assert person.store.view.configs.get(reference.config_id).spec.data == b"a=2"
    assert (reference.config_name, reference.version) == ("ini", 2)
    shown = (await person.servicer.GetConfig(c.GetConfigRequest(ref="ini@1"), FakeContext())).config
    assert shown.spec.data == b"a=1"
    assert isinstance(shown, Config)
    assert not isinstance(shown, Secret)
