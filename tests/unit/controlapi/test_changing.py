"""Several changes of services in one transaction: all of them or none."""

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.errors import FailedPrecondition, InvalidArgument, NameConflict, NotFound, StaleVersion
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.model.service import new_service
from tests.unit.controlapi.fakes import FakeContext, a_spec
from tests.unit.controlapi.test_planning import a_servicer, asked, creating


async def apply(servicer: ControlServicer, *changes: c.PlannedChange) -> c.ApplyChangesResponse:
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
    assert list(answer.service_ids[1:]) == ["a", "b"]
    assert store.version == before + 1
    assert {one.spec.annotations.name for one in store.view.services} == {"new", "a"}
    assert store.view.services.get("a").spec.replicated.replicas == 5
    assert store.view.services.get(answer.service_ids[0]).spec.task.container.image_digest.startswith(
        "sha256:"
    )
    assert len(asked) == 2


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
    (service_id,) = (await apply(servicer, creating(spec))).service_ids
    before = store.view.services.get(service_id).meta.version.index
    await apply(servicer, updating(store, service_id, spec))
    assert store.view.services.get(service_id).meta.version.index == before
