"""Secrets with drivers through the control API: versions, and what may not be done with them."""

from collections.abc import Iterator
from typing import cast

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.logs_pb2 import LogSelector
from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.specs_pb2 import SecretDriver, SecretSpec, VolumeSpec
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotPermitted
from swarm.manager.controlapi import tasks
from swarm.manager.store.scope import ScopedView
from swarm.manager.store.tables import ReadView, Tables
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext
from tests.unit.controlapi.test_rotation import Person as WithData


@pytest.fixture(autouse=True)
def _somebody() -> Iterator[None]:
    with acting_as(Identity("", Role.LOCAL, "")):
        yield


def a_driver(**options: str) -> SecretDriver:
    given = {"address": "https://vault:8200", "path": "a", "token_secret": "token"} | options
    return SecretDriver(name="vault", options={k.replace("_", "-"): v for k, v in given.items()})


class Person(WithData):
    async def with_token(self) -> "Person":
        await self.create("token", b"t")
        return self

    async def create_driven(self, name: str = "key", driver: SecretDriver | None = None) -> str:
        spec = SecretSpec(driver=driver or a_driver())
        spec.annotations.name = name
        request = c.CreateSecretRequest(spec=spec)
        return (await self.servicer.CreateSecret(request, FakeContext())).secret.id

    async def ask(self, driver: SecretDriver, of_number: int = 0) -> list[str]:
        asked = c.RotateSecretRequest(ref="key", driver=driver, of_number=of_number)
        changes = [c.PlannedChange(rotate_secret=asked)]
        answer = await self.servicer.ApplyChanges(c.ApplyChangesRequest(changes=changes), FakeContext())
        return list(answer.made)

    def driver_of(self, name: str) -> SecretDriver:
        (reference,) = self.service(name).spec.task.container.secrets
        return self.store.view.secrets.get(reference.secret_id).spec.driver

    async def remove(self, name: str) -> None:
        await self.servicer.RemoveSecret(c.RemoveSecretRequest(ref=name), FakeContext())


async def test_a_rotation_asks_again_and_rolls_the_services_and_may_come_twice() -> None:
    person = await Person().with_token()
    await person.create_driven()
    await person.serve("web", "key")
    assert await person.ask(a_driver(), of_number=1) == ["secret key version 2"]
    assert await person.ask(a_driver(), of_number=1) == []
    assert await person.ask(a_driver(version="4"), of_number=2) == ["secret key version 3"]
    assert person.driver_of("web").options["version"] == "4"
    assert await person.ask(a_driver(version="4")) == ["secret key version 4"]


async def test_a_secret_may_move_into_a_driver_and_back() -> None:
    person = await Person().with_token()
    await person.create("key", b"one")
    await person.serve("web", "key")
    assert await person.ask(a_driver()) == ["secret key version 2"]
    assert person.driver_of("web").name == "vault"
    await person.rotate(b"two")
    assert (person.content_of("web"), person.driver_of("web").name) == (b"two", "")


async def test_what_is_wrong_with_a_driver_changes_nothing() -> None:
    person = await Person().with_token()
    await person.create_driven()
    with pytest.raises(InvalidArgument, match="no option pth"):
        await person.ask(a_driver(pth="x"))
    with pytest.raises(InvalidArgument, match="there is no secret none, with which"):
        await person.ask(a_driver(token_secret="none"))
    assert await person.listed(old_versions=True) == ["token", "key"]


async def test_nobody_has_a_driver_take_along_what_they_do_not_see() -> None:
    person = await Person().with_token()
    await person.create("mine", b"m", team="a")
    confined = Identity(node_id="", role=Role.OPERATOR, cluster_id="c", user="eve", scope=("team=a",))
    spec = SecretSpec(driver=a_driver())
    spec.annotations.name = "key"
    spec.annotations.labels["team"] = "a"
    with acting_as(confined):
        with pytest.raises(InvalidArgument, match="there is no secret token"):
            await person.servicer.CreateSecret(c.CreateSecretRequest(spec=spec), FakeContext())
        spec.driver.options["token-secret"] = "mine"
        with pytest.raises(NotPermitted, match="an administrator"):
            await person.servicer.CreateSecret(c.CreateSecretRequest(spec=spec), FakeContext())


def test_whoever_is_confined_reads_only_what_they_see_of_a_stack() -> None:
    tables = Tables()
    for number, team in enumerate(("a", "b")):
        service = Service(id=team)
        service.spec.annotations.name = f"shop_{number}"
        service.spec.annotations.labels.update({NAMESPACE_LABEL: "shop", "team": team})
        tables.services.put(service)
    seen = cast("ReadView", ScopedView(tables, ("team=a",)))
    found = tasks.within_view(seen, LogSelector(stack="shop"))
    assert (list(found.service_ids), found.stack) == (["a"], "")
    with pytest.raises(NotFound, match="there is no stack other"):
        tasks.within_view(seen, LogSelector(stack="other"))


async def test_what_a_driver_is_asked_with_stays_as_long_as_the_driver() -> None:
    person = await Person().with_token()
    await person.create_driven()
    await person.serve("web", "key")
    await person.ask(a_driver())
    with pytest.raises(FailedPrecondition, match="the driver of secret key is asked with"):
        await person.remove("token")
    await person.rotate(b"kept here now")
    await person.remove("token")


async def test_only_tasks_are_given_what_a_driver_has() -> None:
    person = await Person(Cluster(id="c")).with_token()
    await person.create_driven()
    volume = VolumeSpec(driver="csi", secrets=[{"key": "a", "secret_name": "key"}])
    volume.annotations.name = "data"
    with pytest.raises(InvalidArgument, match="asked for tasks only"):
        await person.servicer.CreateVolume(c.CreateVolumeRequest(spec=volume), FakeContext())
    volume.secrets[0].secret_name = "plain"
    await person.create("plain", b"one")
    await person.servicer.CreateVolume(c.CreateVolumeRequest(spec=volume), FakeContext())
    change = c.PlannedChange(rotate_secret=c.RotateSecretRequest(ref="plain", driver=a_driver()))
    with pytest.raises(FailedPrecondition, match="drivers are asked for tasks only"):
        await person.servicer.ApplyChanges(c.ApplyChangesRequest(changes=[change]), FakeContext())
