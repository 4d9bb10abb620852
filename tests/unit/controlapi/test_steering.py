import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, StaleVersion
from swarm.manager.controlapi.redact import shown_service
from swarm.manager.controlapi.steering import list_revisions, steer
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with
from swarm.model.service import new_service, replace_spec
from tests.unit.controlapi.fakes import a_spec

NOW_NS = 1_700_000_000 * SECOND
Steer = c.SteerUpdateRequest


def a_service(*images: str) -> Service:
    service = new_service("s1", a_spec(image=images[0]))
    service.spec.task.container.registry_auth.password = "secret"
    for image in images[1:]:
        spec = a_spec(image=image)
        spec.task.container.registry_auth.password = "secret"
        replace_spec(service, spec, timestamp(NOW_NS))
    return service


async def do(store: Store, action: int, **fields: int) -> Service:
    request = Steer(ref="web", action=action, **fields)
    await store.update(lambda tx: steer(tx, request, NOW_NS))
    return store.view.services.get("s1")


async def test_an_update_is_paused_and_resumed_and_a_request_that_comes_twice_writes_once():
    store = store_with(a_service("web:1", "web:2"))
    paused = await do(store, Steer.ACTION_PAUSE)
    assert paused.update_status.state == UpdateStatus.STATE_PAUSED
    assert await do(store, Steer.ACTION_PAUSE) is paused
    resumed = await do(store, Steer.ACTION_RESUME)
    assert resumed.update_status.state == UpdateStatus.STATE_UPDATING
    assert await do(store, Steer.ACTION_RESUME) is resumed


async def test_going_back_needs_the_version_that_was_read_so_that_it_does_not_happen_twice():
    store = store_with(a_service("web:1", "web:2", "web:3"))
    version = store.view.services.get("s1").meta.version.index
    with pytest.raises(StaleVersion):
        await do(store, Steer.ACTION_ROLLBACK)
    back = await do(store, Steer.ACTION_ROLLBACK, version=version, revision=1)
    assert back.spec.task.container.image == "web:1"
    assert back.spec.task.container.registry_auth.password == "secret"
    assert back.update_status.state == UpdateStatus.STATE_ROLLBACK_STARTED
    with pytest.raises(StaleVersion):
        await do(store, Steer.ACTION_ROLLBACK, version=version, revision=1)


async def test_what_cannot_be_done_changes_nothing():
    store = store_with(a_service("web:1"))
    before = store.view.services.get("s1")
    version = before.meta.version.index
    for action in (Steer.ACTION_PAUSE, Steer.ACTION_RESUME, Steer.ACTION_PROMOTE):
        with pytest.raises(FailedPrecondition, match="service web"):
            await do(store, action)
    with pytest.raises(FailedPrecondition, match="no previous spec"):
        await do(store, Steer.ACTION_ROLLBACK, version=version)
    with pytest.raises(NotFound, match="no revision 9"):
        await do(store, Steer.ACTION_ROLLBACK, version=version, revision=9)
    with pytest.raises(InvalidArgument):
        await do(store, Steer.ACTION_UNSPECIFIED)
    with pytest.raises(NotFound):
        await store.update(lambda tx: steer(tx, Steer(ref="nope", action=Steer.ACTION_PAUSE), NOW_NS))
    assert store.view.services.get("s1") is before


async def test_canaries_are_promoted():
    service = a_service("web:1", "web:2")
    service.spec.update.canary = 1
    service.update_status.state = UpdateStatus.STATE_CANARY
    promoted = await do(store_with(service), Steer.ACTION_PROMOTE)
    assert promoted.update_status.promoted
    assert promoted.update_status.state == UpdateStatus.STATE_UPDATING


def test_revisions_are_listed_without_credentials_and_are_no_part_of_a_shown_service():
    store = store_with(a_service("web:1", "web:2", "web:3"))
    answer = list_revisions(store.view, "web")
    assert answer.service_id == "s1"
    assert [one.spec.task.container.image for one in answer.revisions] == ["web:1", "web:2", "web:3"]
    assert b"secret" not in answer.SerializeToString()
    shown = shown_service(store.view.services.get("s1"))
    assert not shown.revisions
    assert shown.revision == 3
