from dataclasses import replace

import pytest

from swarm.api.v1.control_pb2 import Filters, UpdateServiceRequest
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import TASK_STATE_FAILED, TASK_STATE_RUNNING, TASK_STATE_SHUTDOWN, UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.errors import (
    Ambiguous,
    FailedPrecondition,
    InvalidArgument,
    NameConflict,
    NotFound,
    StaleVersion,
)
from swarm.manager.controlapi import services
from swarm.manager.controlapi.dependencies import dependency_warnings
from swarm.manager.controlapi.redact import shown_service
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.services import create_service, list_services, remove_service, update_service
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import store_with
from swarm.model.autoscale import BY_HAND, parse_rule, wanted_replicas
from swarm.model.limits import TASKS
from swarm.steps import complete
from tests.unit.controlapi.fakes import a_service, a_spec, a_task

NOW_NS = 1_700_000_000 * SECOND


async def update(store: Store, change=None, *, version: int | None = None, **fields: object) -> Service:
    """Change the spec of s1 as a person would: read, edit, send back."""
    current = store.view.services.get("s1")
    request = UpdateServiceRequest(id="s1", version=version or current.meta.version.index, **fields)
    request.spec.CopyFrom(shown_service(current).spec)
    if change is not None:
        change(request.spec)
    await store.update(lambda tx: update_service(tx, request, NOW_NS))
    return store.view.services.get("s1")


def image(name: str):
    return lambda spec: setattr(spec.task.container, "image", name)


async def test_a_created_service_starts_at_its_first_spec():
    store = store_with()
    await store.update(lambda tx: create_service(tx, a_spec(), "s1"))
    service = store.view.services.get("s1")
    assert service.spec == a_spec()
    assert service.spec_version == 1
    assert not service.HasField("previous_spec")


async def test_a_name_belongs_to_one_service():
    store = store_with(a_service("s1", "web"))
    with pytest.raises(NameConflict, match="web"):
        await store.update(lambda tx: create_service(tx, a_spec(), "s2"))


async def test_a_new_spec_keeps_the_one_before_and_forgets_how_its_update_went():
    service = a_service("s1", "web")
    service.update_status.state = UpdateStatus.STATE_COMPLETED
    store = store_with(service)
    changed = await update(store, image("web:2"))
    assert changed.spec_version == 2
    assert changed.previous_spec == service.spec
    assert changed.previous_spec_version == 1
    assert changed.update_status.state == UpdateStatus.STATE_UPDATING
    assert not changed.update_status.HasField("completed_at")
    again = await update(store, image("web:3"))
    assert (again.spec_version, again.previous_spec_version) == (3, 2)
    assert again.previous_spec.task.container.image == "web:2"


async def test_the_same_spec_changes_nothing():
    store = store_with(a_service("s1", "web"))
    before = store.view.services.get("s1")
    assert await update(store) is before


async def test_the_same_spec_lets_a_paused_update_go_on():
    service = a_service("s1", "web")
    service.update_status.state = UpdateStatus.STATE_PAUSED
    service.previous_spec.CopyFrom(a_spec(image="web:0"))
    store = store_with(service)
    changed = await update(store)
    assert changed.update_status.state == UpdateStatus.STATE_UPDATING
    assert changed.update_status.resumed_at == timestamp(NOW_NS)
    assert changed.spec_version == 1
    assert changed.previous_spec.task.container.image == "web:0"


async def test_an_older_version_is_out_of_sequence():
    store = store_with(a_service("s1", "web"))
    await update(store, image("web:2"))
    with pytest.raises(StaleVersion, match="out of sequence: service web"):
        await update(store, image("web:3"), version=1)


async def test_mode_and_name_cannot_change():
    store = store_with(a_service("s1", "web"))

    def to_global(spec: ServiceSpec) -> None:
        getattr(spec, "global").SetInParent()

    with pytest.raises(FailedPrecondition, match="from replicated to global"):
        await update(store, to_global)
    with pytest.raises(FailedPrecondition, match="renamed to db"):
        await update(store, lambda spec: setattr(spec.annotations, "name", "db"))
    assert (
        await update(store, lambda spec: setattr(spec.replicated, "replicas", 3))
    ).spec.replicated.replicas == 3


async def test_an_invalid_spec_changes_nothing():
    store = store_with(a_service("s1", "web"))
    with pytest.raises(InvalidArgument):
        await update(store, image("not valid"))
    assert store.view.index == 1


async def test_going_back_swaps_the_specs_and_says_so():
    store = store_with(a_service("s1", "web"))
    with pytest.raises(FailedPrecondition, match="no previous spec"):
        await update(store, rollback=True)
    await update(store, image("web:2"))
    back = await update(store, image("ignored"), rollback=True)
    assert back.spec.task.container.image == "web:1"
    assert back.previous_spec.task.container.image == "web:2"
    assert back.spec_version == 3
    assert back.update_status.state == UpdateStatus.STATE_ROLLBACK_STARTED
    assert back.update_status.started_at == timestamp(NOW_NS)
    forth = await update(store, rollback=True)
    assert forth.spec.task.container.image == "web:2"


async def test_credentials_are_kept_until_new_ones_come():
    service = a_service("s1", "web")
    service.spec.task.container.registry_auth.server = "reg"
    service.spec.task.container.registry_auth.password = "secret"
    store = store_with(service)
    # What a person read has lost its password, and is sent back like that.
    changed = await update(store, image("web:2"))
    assert changed.spec.task.container.registry_auth.password == "secret"
    changed = await update(store, lambda spec: spec.task.container.ClearField("registry_auth"))
    assert changed.spec.task.container.registry_auth.password == "secret"
    changed = await update(store, lambda spec: setattr(spec.task.container.registry_auth, "password", "new"))
    assert changed.spec.task.container.registry_auth.password == "new"
    shown = shown_service(changed)
    assert b"new" not in shown.SerializeToString()
    assert b"secret" not in shown.SerializeToString()
    assert shown.spec.task.container.registry_auth.server == "reg"


async def test_a_digest_that_came_with_another_image_is_dropped():
    service = a_service("s1", "web")
    service.spec.task.container.image_digest = "sha256:old"
    store = store_with(service)
    assert (
        await update(store, lambda spec: spec.task.container.env.append("A=b"), skip_image_resolution=True)
    ).spec.task.container.image_digest == "sha256:old"
    changed = await update(store, image("web:2"), skip_image_resolution=True)
    assert changed.spec.task.container.image_digest == ""


async def test_a_service_that_is_gone_cannot_be_updated_or_removed():
    store = store_with(a_service("s1", "web"))
    stale = copy_of(store.view.services.get("s1"))
    assert await store.update(lambda tx: remove_service(tx, "web")) == "s1"
    with pytest.raises(NotFound):
        await store.update(lambda tx: remove_service(tx, "web"))
    request = UpdateServiceRequest(id="s1", version=stale.meta.version.index, spec=stale.spec)
    with pytest.raises(NotFound):
        await store.update(lambda tx: update_service(tx, request, NOW_NS))


def test_counts_tell_running_from_wanted():
    running, shutdown, failed = TASK_STATE_RUNNING, TASK_STATE_SHUTDOWN, TASK_STATE_FAILED
    web, agent = a_service("s1", "web"), a_service("s2", "agent")
    web.spec.replicated.replicas = 5
    getattr(agent.spec, "global").SetInParent()
    store = store_with(
        web,
        agent,
        a_task("t1", "s1", "n1", running, running),
        a_task("t2", "s1", "n1", running, shutdown, slot=2),
        a_task("t3", "s1", "n1", failed, running, slot=3),
        a_task("t4", "s2", "n1", running, running, slot=0),
        a_task("t5", "s2", "n2", failed, running, slot=0),
        a_task("t6", "s2", "n3", running, shutdown, slot=0),
    )
    listed = complete(list_services(store.view, Filters()))
    counts = {status.service_id: (status.running_tasks, status.desired_tasks) for status in listed.statuses}
    assert counts == {"s1": (1, 5), "s2": (1, 2)}
    assert [s.id for s in listed.services] == [status.service_id for status in listed.statuses]
    assert [s.id for s in complete(list_services(store.view, Filters(modes=["global"]))).services] == ["s2"]


def test_a_reference_is_an_id_a_name_or_the_beginning_of_one_id():
    view = store_with(a_service("abc1", "web"), a_service("abc2", "db"), a_service("db", "other")).view
    assert resolve(view.services, "service", "abc1").id == "abc1"
    assert resolve(view.services, "service", "web").id == "abc1"
    assert resolve(view.services, "service", "db").id == "db"  # an id wins over a name
    with pytest.raises(Ambiguous, match=r"abc1 \(web\), abc2 \(db\)"):
        resolve(view.services, "service", "abc")
    with pytest.raises(NotFound, match="no service nope"):
        resolve(view.services, "service", "nope")
    with pytest.raises(InvalidArgument):
        resolve(view.services, "service", "")


def depends_on(*names: str):
    def change(spec: ServiceSpec) -> None:
        for name in names:
            spec.depends_on.add(service=name)

    return change


async def test_a_dependency_that_closes_a_cycle_is_refused_with_its_way_at_creation_and_later():
    web = a_service("s1", "web")
    web.spec.depends_on.add(service="db")
    store = store_with(web)
    spec = a_spec()
    spec.annotations.name = "db"
    depends_on("web")(spec)
    with pytest.raises(FailedPrecondition, match="db → web → db is a cycle"):
        await store.update(lambda tx: create_service(tx, spec, "s2"))
    del spec.depends_on[:]
    spec.depends_on.add(service="disk")
    await store.update(lambda tx: create_service(tx, spec, "s2"))
    disk = a_spec()
    disk.annotations.name = "disk"
    await store.update(lambda tx: create_service(tx, disk, "s3"))
    request = UpdateServiceRequest(id="s3", version=store.view.services.get("s3").meta.version.index)
    request.spec.CopyFrom(disk)
    depends_on("web")(request.spec)
    with pytest.raises(FailedPrecondition, match="disk → web → db → disk is a cycle"):
        await store.update(lambda tx: update_service(tx, request, NOW_NS))


async def test_services_that_are_depended_on_and_do_not_exist_are_warned_of():
    store = store_with(a_service("s1", "web"))
    spec = a_spec()
    depends_on("web", "db")(spec)
    (warning,) = dependency_warnings(store.view, spec)
    assert warning.startswith("service db does not exist yet")


async def test_another_dependency_alone_replaces_no_task():
    store = store_with(a_service("s1", "web"))
    before = store.view.services.get("s1").spec_version
    service = await update(store, depends_on("db"))
    assert service.spec_version == before
    assert [one.service for one in service.spec.depends_on] == ["db"]


def scaled(least: int, most: int, replicas: int | None = None) -> ServiceSpec:
    spec = a_spec()
    spec.replicated.ClearField("replicas")
    if replicas is not None:
        spec.replicated.replicas = replicas
    spec.task.resources.reservations.nano_cpus = 10**9
    spec.autoscale.replicas_min, spec.autoscale.replicas_max = least, most
    spec.autoscale.rules.append(parse_rule("cpu=70"))
    return spec


def decide(count: int):
    def change(tx) -> None:
        service = copy_of(tx.services.get("s1"))
        service.autoscale_status.replicas = count
        tx.update(service)

    return change


async def test_an_autoscaled_service_counts_what_was_decided_and_a_number_by_hand_wins_for_now():
    store = store_with()
    await store.update(lambda tx: create_service(tx, scaled(2, 9), "s1"))
    assert complete(list_services(store.view, Filters())).statuses[0].desired_tasks == 2
    await store.update(decide(6))
    assert complete(list_services(store.view, Filters())).statuses[0].desired_tasks == 6
    service = await update(store, image("web:2"))
    assert wanted_replicas(service) == 6
    service = await update(store, lambda spec: setattr(spec.replicated, "replicas", 4))
    assert (wanted_replicas(service), service.autoscale_status.reason) == (4, BY_HAND)
    await store.update(decide(8))
    service = await update(store, lambda spec: setattr(spec.autoscale, "scaled_by_hand", 1))
    assert wanted_replicas(service) == 4, "the same number again, but said again"
    assert service.spec_version == 2, "and no task is replaced for it"


async def test_a_number_by_hand_outside_of_the_bounds_is_refused():
    store = store_with()
    await store.update(lambda tx: create_service(tx, scaled(2, 9), "s1"))
    with pytest.raises(InvalidArgument, match="10 replicas are not between replicas-min 2"):
        await update(store, lambda spec: setattr(spec.replicated, "replicas", 10))
    assert wanted_replicas(store.view.services.get("s1")) == 2


async def test_going_back_keeps_as_many_as_there_are():
    store = store_with()
    await store.update(lambda tx: create_service(tx, scaled(2, 9, replicas=3), "s1"))
    await update(store, image("web:2"))
    await store.update(decide(7))
    assert wanted_replicas(await update(store, rollback=True)) == 7


async def test_the_room_for_tasks_is_asked_for_the_most_that_there_may_be(monkeypatch):
    monkeypatch.setattr(services, "TASKS", replace(TASKS, value=10))
    store = store_with()
    with pytest.raises(FailedPrecondition, match="no room for 11 tasks"):
        await store.update(lambda tx: create_service(tx, scaled(1, 11), "s1"))
    await store.update(lambda tx: create_service(tx, scaled(1, 10), "s1"))
