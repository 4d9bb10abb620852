"""What is remembered of the deploys of a stack, and how one goes back to them."""

from hashlib import sha256

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import StackRevision
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.stack_changes import removals, steps, steps_back
from swarm.compose.services import Stack
from swarm.errors import InvalidArgument, NotFound
from swarm.manager.controlapi import stack_history
from swarm.model.limits import DATA_VERSIONS, STACK_REVISIONS, Limit
from swarm.model.spec_changes import changes
from swarm.model.stacks import IMAGE_LABEL, NAMESPACE_LABEL
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.compose.files import Files
from tests.unit.compose.files import stack as a_stack
from tests.unit.controlapi.fakes import FakeContext
from tests.unit.controlapi.test_networks import able
from tests.unit.controlapi.test_planning import a_servicer


def of_image(image: str, secret: str = "", **more: int) -> Stack:
    used = "    secrets: [key]\n" if secret else ""
    text = f"services:\n  web:\n    image: {image}\n{used}"
    for name, replicas in more.items():
        text += f"  {name}:\n    image: {name}:1\n    scale: {replicas}\n"
    text += "secrets: {key: {file: key.txt}}" if secret else ""
    return a_stack(text, files=Files(key__txt=secret))


async def digest_of(image: str, auth: object) -> str:
    return f"sha256:{sha256(image.encode()).hexdigest()}"


class Person:
    """Deploys as swarmctl does."""

    def __init__(self, user: str = "carol") -> None:
        self.servicer, self.store = a_servicer(able("overlay"))
        self.servicer._resolve_image = digest_of
        self._identity = Identity("", Role.OPERATOR, "", user)

    async def apply(self, found) -> c.ApplyChangesResponse:
        request = c.ApplyChangesRequest(changes=[one.change for one in found])
        with acting_as(self._identity):
            return await self.servicer.ApplyChanges(request, FakeContext())

    async def deploy(self, wanted: Stack, *, prune: bool = True) -> c.ApplyChangesResponse:
        there = list(self.store.view.services)
        return await self.apply(steps(wanted, there, prune=prune, resolve="always"))

    async def go_back(self, number: int) -> c.ApplyChangesResponse:
        (target,) = [one for one in await self.revisions() if one.revision == number]
        return await self.apply(
            steps_back("shop", target, list(self.store.view.services), list(target.services))
        )

    async def revisions(self) -> list[StackRevision]:
        answer = await self.servicer.ListStackRevisions(
            c.ListStackRevisionsRequest(stack="shop"), FakeContext()
        )
        return list(answer.revisions)

    def spec(self, name: str = "shop_web") -> ServiceSpec:
        found = self.store.view.services.by_name(name)
        assert found is not None
        return found.spec


async def test_each_deploy_is_remembered_with_who_what_and_the_specs():
    person = Person()
    await person.deploy(of_image("web:1", db=1))
    await person.deploy(of_image("web:2", cache=1))
    first, second = await person.revisions()
    assert (first.revision, first.by, list(first.created)) == (1, "carol", ["shop_web", "shop_db"])
    assert list(second.created) == ["shop_cache"]
    assert list(second.updated) == ["shop_web"]
    assert list(second.removed) == ["shop_db"]
    assert [one.annotations.name for one in second.services] == ["shop_cache", "shop_web"]
    assert second.services[1].task.container.image_digest.startswith("sha256:")


async def test_a_deploy_that_changes_nothing_is_not_remembered_and_writes_nothing():
    person = Person()
    await person.deploy(of_image("web:1", secret="s"))
    version = person.store.version
    await person.deploy(of_image("web:1", secret="s"))
    assert person.store.version == version
    assert len(await person.revisions()) == 1


async def test_what_was_changed_by_hand_in_between_is_remembered_with_the_next_deploy():
    person = Person()
    await person.deploy(of_image("web:1"))
    await person.deploy(of_image("web:1", db=3))
    assert [list(one.created) for one in await person.revisions()] == [["shop_web"], ["shop_db"]]


async def test_going_back_restores_services_secrets_and_removed_ones_as_a_deploy_of_its_own():
    person = Person()
    await person.deploy(of_image("web:1", secret="old", db=2))
    before = person.spec()
    await person.deploy(of_image("web:2", secret="new"))
    assert person.store.view.services.by_name("shop_db") is None
    await person.go_back(1)
    assert changes(before, person.spec()) == ()
    assert str(person.spec()) == str(before)
    (secret,) = person.spec().task.container.secrets
    assert (secret.secret_name, secret.version) == ("shop_key", 0)
    assert person.store.view.secrets.get(secret.secret_id).spec.secret_data == b"old"
    assert person.spec("shop_db").replicated.replicas == 2
    last = (await person.revisions())[-1]
    assert (last.revision, last.back_to, list(last.created)) == (3, 1, ["shop_db"])
    await person.go_back(2)
    assert person.spec().task.container.image == "web:2"


async def test_versions_of_secrets_stay_while_a_deploy_is_remembered_that_used_them():
    person = Person()
    for number in range(int(STACK_REVISIONS.value) + 3):
        await person.deploy(of_image("web:1", secret=f"content {number}"))
    kept = {one.id for one in person.store.view.secrets}
    used = {
        one.secret_id
        for revision in await person.revisions()
        for spec in revision.services
        for one in spec.task.container.secrets
    }
    assert used <= kept
    assert len(used) == STACK_REVISIONS.value
    assert len(kept) <= DATA_VERSIONS.value + 1  # a service may remember more


async def test_a_secret_that_was_removed_by_hand_is_named_and_nothing_is_changed():
    person = Person()
    await person.deploy(of_image("web:1", secret="old"))
    await person.deploy(of_image("web:2"))
    await person.deploy(of_image("web:3"))
    gone = person.store.view.secrets.by_name("shop_key")
    assert gone is not None
    with acting_as(Identity("", Role.OPERATOR, "", "carol")):
        await person.servicer.RemoveSecret(c.RemoveSecretRequest(ref=gone.id), FakeContext())
    with pytest.raises(InvalidArgument, match="no secret shop_key"):
        await person.go_back(1)
    assert person.spec().task.container.image == "web:3"


async def test_no_more_than_the_limit_is_kept_and_numbers_go_on():
    person = Person()
    for number in range(int(STACK_REVISIONS.value) + 2):
        await person.deploy(of_image(f"web:{number}"))
    revisions = await person.revisions()
    assert len(revisions) == STACK_REVISIONS.value
    assert revisions[-1].revision == STACK_REVISIONS.value + 2


async def test_of_a_deploy_larger_than_the_limit_only_is_kept_that_there_was_one(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(stack_history, "STACK_HISTORY_BYTES", Limit("STACK_HISTORY_BYTES", 200, "bytes", ""))
    person = Person()
    await person.deploy(of_image("web:1"))
    (only,) = await person.revisions()
    assert not only.services
    assert list(only.created) == ["shop_web"]
    await person.deploy(of_image("web:1"))
    assert len(await person.revisions()) == 1


async def test_credentials_are_not_remembered():
    person = Person()
    wanted = of_image("web:1")
    wanted.services[0].task.container.registry_auth.password = "secret"
    await person.deploy(wanted)
    assert person.spec().task.container.registry_auth.password == "secret"
    assert "secret" not in str(await person.revisions())
    await person.deploy(of_image("web:2"))
    await person.go_back(1)
    assert person.spec().task.container.registry_auth.password == "secret"


async def test_the_history_goes_with_the_last_service_and_with_it_the_secrets():
    person = Person()
    await person.deploy(of_image("web:1", secret="s"))
    answer = await person.apply(removals("shop", list(person.store.view.services)))
    assert list(answer.removed) == ["secret shop_key", "network shop_default"]
    with pytest.raises(NotFound, match="shop"):
        await person.revisions()
    assert len(person.store.view.secrets) == len(person.store.view.stacks) == 0


async def test_a_plan_tells_the_specs_before_and_after_and_what_else_comes_and_goes():
    person = Person()
    await person.deploy(of_image("web:1", db=1))
    there = list(person.store.view.services)
    wanted = steps(of_image("web:2", secret="s"), there, prune=True, resolve="always")
    request = c.PlanChangesRequest(changes=[one.change for one in wanted], with_specs=True)
    with acting_as(Identity("", Role.LOCAL, "")):
        answer = await person.servicer.PlanChanges(request, FakeContext())
    web, db = answer.specs
    assert (web.before.task.container.image, web.after.task.container.image) == ("web:1", "web:2")
    assert db.service_name == "shop_db"
    assert not db.HasField("after")
    assert list(answer.made) == ["secret shop_key"]
    assert list(answer.removed) == []
    assert person.spec().task.container.image == "web:1"


def test_labels_mark_what_belongs_to_a_stack():
    labels = of_image("web:1").services[0].annotations.labels
    assert (labels[NAMESPACE_LABEL], labels[IMAGE_LABEL]) == ("shop", "web:1")


async def test_a_stack_needs_a_name():
    person = Person()
    for name in ("", "x" * 64):
        change = c.PlannedChange(record_deploy=c.RecordDeployRequest(stack=name))
        with acting_as(Identity("", Role.LOCAL, "")), pytest.raises(InvalidArgument):
            await person.servicer.ApplyChanges(c.ApplyChangesRequest(changes=[change]), FakeContext())
