"""Several changes of services in one transaction: all of them or none."""

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Secret
from swarm.api.v1.specs_pb2 import SecretSpec
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NotFound,
    NotPermitted,
    StaleVersion,
)
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.model.service import new_service
from swarm.model.stacks import NAMESPACE_LABEL, VERSION_OF_LABEL
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext, a_spec
from tests.unit.controlapi.test_planning import a_servicer, asked, creating, plan


async def apply(servicer: ControlServicer, *changes: c.PlannedChange) -> c.ApplyChangesResponse:
    with acting_as(Identity("", Role.LOCAL, "")):
        return await servicer.ApplyChanges(c.ApplyChangesRequest(changes=changes), FakeContext())


def updating(store, service_id: str, spec) -> c.PlannedChange:
    version = store.view.services.get(service_id).meta.version.index
    return c.PlannedChange(update_service=c.UpdateServiceRequest(id=service_id, version=version, spec=spec))


def removing(ref: str) -> c.PlannedChange:
    return c.PlannedChange(remove_service=c.RemoveServiceRequest(ref=ref))


async def test_all_changes_are_made_in_one_transaction_with_their_images_pinned():
    servicer, store = a_servicer(new_service("a", a_spec("a")), new_service("b", a_spec("b")))
    before = store.version
    answer = await apply(
        servicer, creating(a_spec("new")), updating(store, "a", a_spec("a", replicas=5)), removing("b")
    )
    assert list(answer.ids[1:]) == ["a", "b"]
    assert store.version == before + 1
    assert {one.spec.annotations.name for one in store.view.services} == {"new", "a"}
    assert store.view.services.get("a").spec.replicated.replicas == 5
    assert store.view.services.get(answer.ids[0]).spec.task.container.image_digest.startswith("sha256:")
    assert len(asked) == 1  # once for each image


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (creating(a_spec("")), InvalidArgument),
        (creating(a_spec("b")), NameConflict),
        (creating(a_spec("c")), NameConflict),  # twice in one request
        (removing("nobody"), NotFound),
        (
            c.PlannedChange(update_service=c.UpdateServiceRequest(id="b", version=99, spec=a_spec("b"))),
            StaleVersion,
        ),
        (c.PlannedChange(), InvalidArgument),
        (c.PlannedChange(update_node=c.UpdateNodeRequest(id="n")), InvalidArgument),
    ],
)
async def test_one_that_is_wrong_and_nothing_is_changed(bad: c.PlannedChange, error: type[Exception]):
    servicer, store = a_servicer(new_service("b", a_spec("b")))
    before = store.version
    with pytest.raises(error):
        await apply(servicer, creating(a_spec("c")), bad)
    assert store.version == before
    assert {one.spec.annotations.name for one in store.view.services} == {"b"}


async def test_services_that_come_together_may_depend_on_each_other_but_not_in_a_circle():
    servicer, store = a_servicer()
    web, db = a_spec("web"), a_spec("db")
    web.depends_on.add(service="db")
    assert list((await apply(servicer, creating(web), creating(db))).warnings) == []
    first, second = a_spec("first"), a_spec("second")
    first.depends_on.add(service="second")
    second.depends_on.add(service="first")
    with pytest.raises(FailedPrecondition, match="cycle"):
        await apply(servicer, creating(first), creating(second))
    assert len(store.view.services) == 2


async def test_what_is_the_same_is_not_written():
    servicer, store = a_servicer()
    spec = a_spec("web")
    (service_id,) = (await apply(servicer, creating(spec))).ids
    before = store.view.services.get(service_id).meta.version.index
    await apply(servicer, updating(store, service_id, spec))
    assert store.view.services.get(service_id).meta.version.index == before


def keeping(content: bytes, name: str = "shop_key") -> c.PlannedChange:
    change = c.PlannedChange()
    change.keep_secret.secret_data = content
    change.keep_secret.annotations.name = name
    change.keep_secret.annotations.labels[NAMESPACE_LABEL] = "shop"
    return change


def with_secret(spec, name: str = "shop_key"):
    spec.task.container.secrets.add(secret_name=name, target={"name": "key"})
    return spec


COLLECT = c.PlannedChange(collect_data=c.CollectStackDataRequest(stack="shop"))


def secrets(store) -> dict[str, bytes]:
    return {one.spec.annotations.name: one.spec.secret_data for one in store.view.secrets}


def secret_of(store, name: str) -> bytes:
    (reference,) = store.view.services.by_name(name).spec.task.container.secrets
    assert reference.secret_name == "shop_key"
    return store.view.secrets.get(reference.secret_id).spec.secret_data


async def test_other_content_is_another_version_and_services_get_that():
    servicer, store = a_servicer()
    first = await apply(servicer, keeping(b"one"), creating(with_secret(a_spec("web"))), COLLECT)
    assert list(first.made) == ["secret shop_key"]
    assert secret_of(store, "web") == b"one"
    web = first.ids[1]
    version = store.view.services.get(web).meta.version.index

    again = await apply(servicer, keeping(b"one"), updating(store, web, with_secret(a_spec("web"))), COLLECT)
    assert list(again.made) == []
    assert store.view.services.get(web).meta.version.index == version

    made = await apply(servicer, keeping(b"two"), updating(store, web, with_secret(a_spec("web"))), COLLECT)
    assert list(made.made) == ["secret shop_key version 2"]
    assert secret_of(store, "web") == b"two"
    assert secrets(store) == {"shop_key@1": b"one", "shop_key": b"two"}  # to go back to

    await apply(servicer, keeping(b"three"), updating(store, web, with_secret(a_spec("web"))), COLLECT)
    assert secret_of(store, "web") == b"three"
    assert secrets(store) == {"shop_key@1": b"one", "shop_key@2": b"two", "shop_key": b"three"}

    await apply(servicer, removing(web), COLLECT)
    assert secrets(store) == {}


async def test_what_people_or_other_stacks_made_is_neither_taken_nor_collected():
    for labels in ({}, {NAMESPACE_LABEL: "shop"}, {NAMESPACE_LABEL: "other", VERSION_OF_LABEL: "shop_key"}):
        other = Secret(id="x", spec=SecretSpec(secret_data=b"one"))
        other.spec.annotations.name = "shop_key"
        other.spec.annotations.labels.update(labels)
        servicer, store = a_servicer(other)
        with pytest.raises(FailedPrecondition, match="secret shop_key is there and belongs to"):
            await apply(servicer, keeping(b"one"), creating(with_secret(a_spec("web"))), COLLECT)
        assert len(store.view.services) == 0
        await apply(servicer, COLLECT)
        assert secrets(store) == {"shop_key": b"one"}


async def test_other_labels_make_no_version_and_numbers_go_on_when_the_newest_is_gone():
    servicer, store = a_servicer()
    made = await apply(servicer, keeping(b"one"), creating(with_secret(a_spec("web"))), COLLECT)
    labelled = keeping(b"one")
    labelled.keep_secret.annotations.labels["a"] = "b"
    again = await apply(servicer, labelled)
    assert (list(again.made), again.ids[0]) == ([], made.ids[0])
    assert store.view.secrets.by_name("shop_key").spec.annotations.labels["a"] == "b"
    await apply(servicer, keeping(b"two"))
    assert secrets(store) == {"shop_key@1": b"one", "shop_key": b"two"}
    await apply(servicer, COLLECT)  # the service has version 1, and nobody the newest
    assert secrets(store) == {"shop_key@1": b"one"}
    web = made.ids[1]
    answer = await apply(
        servicer, keeping(b"three"), updating(store, web, with_secret(a_spec("web"))), COLLECT
    )
    assert list(answer.made) == ["secret shop_key version 2"]
    assert secrets(store) == {"shop_key@1": b"one", "shop_key": b"three"}


async def test_a_stack_that_goes_back_uses_the_version_of_then_as_long_as_somebody_has_it():
    servicer, store = a_servicer()
    made = await apply(servicer, keeping(b"one"), creating(with_secret(a_spec("web"))))
    await apply(servicer, keeping(b"two"))  # web still has version 1
    back = await apply(servicer, keeping(b"one"), updating(store, made.ids[1], with_secret(a_spec("web"))))
    assert (list(back.made), back.ids[0]) == ([], made.ids[0])
    (used,) = store.view.services.get(made.ids[1]).spec.task.container.secrets
    assert used.secret_id == made.ids[0]
    forward = await apply(
        servicer, keeping(b"two"), updating(store, made.ids[1], with_secret(a_spec("web")))
    )
    assert list(forward.made) == []
    await apply(servicer, removing("web"))
    unused = await apply(servicer, keeping(b"one"))  # a version that nobody has is none to share
    assert list(unused.made) == ["secret shop_key version 3"]


async def test_a_secret_that_cannot_be_is_refused_with_everything():
    servicer, store = a_servicer()
    with pytest.raises(InvalidArgument) as refused:
        await apply(servicer, creating(a_spec("web")), keeping(b"x" * 600_000))
    assert "SECRET_BYTES" in str(refused.value)
    with pytest.raises(InvalidArgument, match="there is no secret nobody"):
        await apply(servicer, keeping(b"x"), creating(with_secret(a_spec("web"), "nobody")))
    assert len(store.view.services) + len(store.view.secrets) == 0


async def test_a_viewer_cannot_try_out_guesses_of_a_secret():
    servicer, _ = a_servicer()
    with pytest.raises(NotPermitted):
        await plan(servicer, keeping(b"guess"), role=Role.VIEWER)
    assert list((await plan(servicer, keeping(b"guess"))).steps) == []
