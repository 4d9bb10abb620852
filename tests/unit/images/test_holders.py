import pytest

from swarm.api.v1.images_pb2 import HeldImage
from swarm.api.v1.objects_pb2 import Image, Service, Task
from swarm.api.v1.types_pb2 import TASK_STATE_RUNNING, TASK_STATE_SHUTDOWN
from swarm.errors import Ambiguous, FailedPrecondition, InvalidArgument, NotFound
from swarm.manager.images.find import find_image
from swarm.manager.images.holders import (
    check_report,
    check_unused,
    record_held,
    tag_image,
    unused_images,
    unused_retained,
)
from swarm.manager.images.plan import places_to_ask, plan_replication
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with

WEB = "docker.io/library/web:1"
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def held(digest: str = OLD, reference: str = WEB) -> HeldImage:
    return HeldImage(reference=reference, digest=digest, size_bytes=7, blobs=[digest])


def an_image(
    digest: str = OLD, name: str = WEB, holders: tuple[str, ...] = (), image_id: str = "i1"
) -> Image:
    image = Image(id=image_id, digest=digest, blobs=[digest], holders=holders)
    image.annotations.name = name
    return image


def a_service(digest: str, service_id: str = "s1") -> Service:
    service = Service(id=service_id)
    service.spec.annotations.name = service_id
    service.spec.task.container.image_digest = digest
    return service


async def record(store: Store, *images: HeldImage, node_id: str = "m1", loaded: bool = True) -> None:
    ids = [f"new{position}" for position in range(2 * len(images))]
    await store.update(lambda tx: record_held(tx, images, node_id, ids, loaded=loaded))


async def test_a_loaded_image_is_held_by_the_manager_it_was_loaded_into() -> None:
    store = store_with()
    await record(store, held(), held(NEW, "docker.io/library/db:2"))
    image = store.view.images.by_name(WEB)
    assert image is not None
    assert (image.digest, image.size_bytes, list(image.blobs), list(image.holders)) == (
        OLD,
        7,
        [OLD],
        ["m1"],
    )
    assert len(store.view.images) == 2


async def test_reports_of_other_managers_add_holders_once() -> None:
    store = store_with(an_image(holders=("m1",)))
    for _ in range(2):
        await record(store, held(), node_id="m2", loaded=False)
        await record(store, held(), node_id="m3", loaded=True)
    assert list(next(iter(store.view.images)).holders) == ["m1", "m2", "m3"]


async def test_a_late_report_about_replaced_content_changes_nothing() -> None:
    store = store_with(an_image(NEW, holders=("m1",)))
    before = store.view.index
    await record(store, held(OLD), node_id="m2", loaded=False)
    await record(store, held(OLD, "docker.io/library/gone:1"), node_id="m2", loaded=False)
    assert store.view.index == before


async def test_loading_again_gives_the_reference_the_new_content() -> None:
    store = store_with(an_image(OLD, holders=("m1", "m2")))
    await record(store, held(NEW), node_id="m3")
    (image,) = store.view.images
    assert (image.id, image.digest, list(image.holders)) == ("i1", NEW, ["m3"])


@pytest.mark.parametrize("pinned_by", ["spec", "previous spec"])
async def test_content_that_a_service_is_pinned_to_survives_its_name(pinned_by: str) -> None:
    service = a_service(OLD if pinned_by == "spec" else NEW)
    if pinned_by == "previous spec":
        service.previous_spec.task.container.image_digest = OLD
    store = store_with(an_image(OLD, holders=("m1",)), service)
    await record(store, held(NEW), node_id="m3")
    kept = store.view.images.by_name(f"docker.io/library/web@{OLD}")
    assert kept is not None
    assert (kept.digest, list(kept.holders)) == (OLD, ["m1"])
    assert unused_retained(store.view) == []


async def test_replacing_back_and_forth_keeps_each_content_once() -> None:
    store = store_with(an_image(OLD), a_service(OLD), a_service(NEW, "s2"))
    for position in range(4):
        ids = [f"{position}x", f"{position}y"]
        digest = (NEW, OLD)[position % 2]
        await store.update(lambda tx, d=digest, i=ids: record_held(tx, [held(d)], "m1", i, loaded=True))
    names = sorted(image.annotations.name for image in store.view.images)
    assert names == [WEB, f"docker.io/library/web@{OLD}", f"docker.io/library/web@{NEW}"]


async def test_retained_content_without_a_user_is_garbage_and_named_content_never_is() -> None:
    kept = an_image(OLD, f"docker.io/library/web@{OLD}", image_id="i2")
    store = store_with(an_image(NEW), kept)
    assert [image.id for image in unused_retained(store.view)] == ["i2"]
    assert unused_retained(store_with(an_image(NEW), kept, a_service(OLD)).view) == []


@pytest.mark.parametrize(
    "bad",
    [
        HeldImage(reference="web", digest=OLD, blobs=[OLD]),
        HeldImage(reference=WEB, digest="md5:1", blobs=["md5:1"]),
        HeldImage(reference=WEB, digest=OLD, blobs=["../x", OLD]),
        HeldImage(reference=WEB, digest=OLD, blobs=[NEW]),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(bad: HeldImage) -> None:
    with pytest.raises(InvalidArgument):
        check_report([bad], loaded=True)


def test_a_manager_copies_what_it_lacks_and_reports_what_it_holds() -> None:
    missing, untagged, retagged, unreported, done = (
        an_image(OLD, f"docker.io/library/{name}:1", holders, name)
        for name, holders in [("a", ()), ("b", ("me",)), ("c", ()), ("d", ("other",)), ("e", ("me",))]
    )
    pinned = {image.annotations.name: OLD for image in (missing, unreported, done)}
    pinned |= {retagged.annotations.name: NEW, "docker.io/library/stray:1": OLD}
    missing.blobs[:] = [NEW]
    plan = plan_replication(
        [missing, untagged, retagged, unreported, done], "me", pinned, lambda blobs: NEW not in blobs
    )
    assert [image.id for image in plan.copy] == ["a", "b", "c"]
    assert [image.id for image in plan.report] == ["d"]
    assert plan.unknown == [("docker.io/library/stray:1", OLD)]


def test_managers_known_to_hold_an_image_are_asked_first() -> None:
    image = an_image(holders=("m3",))
    assert places_to_ask(image, [("m1", "a"), ("m2", "b"), ("m3", "c")])[0] == ("m3", "c")


def test_people_name_images_in_many_ways() -> None:
    view = store_with(
        an_image(image_id="abc1"), an_image(NEW, "docker.io/library/db:2", image_id="abd2")
    ).view
    for ref in ("abc1", "abc", "web:1", "library/web:1", WEB, OLD):
        assert find_image(view, ref).id == "abc1"
    with pytest.raises(Ambiguous):
        find_image(view, "ab")
    with pytest.raises(NotFound):
        find_image(view, "web:2")
    with pytest.raises(InvalidArgument):
        find_image(view, "")


async def test_further_platforms_of_the_same_image_are_added_and_held_only_where_they_came() -> None:
    store = store_with(an_image(holders=("m1", "m2")))
    more = HeldImage(reference=WEB, digest=OLD, size_bytes=9, blobs=[OLD, NEW])
    await record(store, more, node_id="m2")
    (image,) = store.view.images
    assert (image.id, image.size_bytes, list(image.blobs)) == ("i1", 9, [OLD, NEW])
    assert list(image.holders) == ["m2"]
    await record(store, held(), node_id="m3")
    (image,) = store.view.images
    assert list(image.blobs) == [OLD, NEW]


async def tag(store: Store, target: str) -> Image:
    return await store.update(
        lambda tx: tag_image(tx, find_image(tx, "web:1"), f"docker.io/library/{target}", ("kept", "new"))
    )


async def test_a_tag_is_a_second_name_for_the_same_content() -> None:
    store = store_with(an_image(holders=("m1", "m2")))
    tagged = await tag(store, "shop:2")
    assert (tagged.id, tagged.digest, list(tagged.holders)) == ("new", OLD, ["m1", "m2"])
    assert len(store.view.images) == 2
    stored = store.view.images.get("new")
    assert await tag(store, "shop:2") == stored
    assert (await tag(store, "web:1")).id == "i1"


async def test_a_tag_that_moves_leaves_what_services_use() -> None:
    store = store_with(an_image(), an_image(NEW, "docker.io/library/shop:2", image_id="i2"), a_service(NEW))
    assert (await tag(store, "shop:2")).id == "i2"
    names = {image.annotations.name: image.digest for image in store.view.images}
    assert names == {WEB: OLD, "docker.io/library/shop:2": OLD, f"docker.io/library/shop@{NEW}": NEW}


def unused(*objects: object) -> list[str]:
    return [image.annotations.name for image in unused_images(store_with(an_image(), *objects).view)]


def test_what_a_service_needs_now_or_after_a_rollback_is_not_pruned() -> None:
    assert unused() == [WEB]
    assert unused(a_service(OLD)) == []
    assert unused(a_service(NEW)) == [WEB]
    before = a_service(NEW)
    before.previous_spec.task.container.image_digest = OLD
    assert unused(before) == []
    earlier = a_service(NEW)
    earlier.revisions.add(revision=1).spec.task.container.image_digest = OLD
    assert unused(earlier) == []


def test_a_service_without_a_digest_needs_what_the_name_stands_for() -> None:
    service = a_service("")
    service.spec.task.container.image = "web:1"
    assert unused(service) == []
    service.spec.task.container.image = "web:2"
    assert unused(service) == [WEB]


def test_a_task_that_still_runs_keeps_its_image() -> None:
    task = Task(id="t1")
    task.spec.container.image_digest = OLD
    task.status.state = TASK_STATE_RUNNING
    assert unused(task) == []
    task.status.state = TASK_STATE_SHUTDOWN
    assert unused(task) == [WEB]


def test_an_image_that_is_used_stays_and_who_uses_it_is_named() -> None:
    image, ended = an_image(), Task(id="t", service_id="s1", node_id="n", slot=1)
    ended.service_annotations.name = "shop"
    ended.spec.container.image_digest = OLD
    ended.status.state = TASK_STATE_SHUTDOWN
    running = Task()
    running.CopyFrom(ended)
    running.status.state = TASK_STATE_RUNNING
    check_unused(store_with(image, a_service(NEW)).view, image, force=False)
    for user, reason in ((a_service(OLD), r"services \(s1\)"), (ended, r"ended tasks \(shop\.1\.t\)")):
        view = store_with(image, user).view
        with pytest.raises(FailedPrecondition, match=f"{reason}.*by force"):
            check_unused(view, image, force=False)
        check_unused(view, image, force=True)
    with pytest.raises(FailedPrecondition, match=r"running tasks \(shop\.1\.t\): remove those first$"):
        check_unused(store_with(image, running).view, image, force=True)
    again = an_image(name="docker.io/library/other:1", image_id="i2")
    check_unused(store_with(image, again, running).view, image, force=False)  # it stays under that name


def test_an_image_is_found_by_the_beginning_of_its_digest() -> None:
    other = an_image(OLD, "docker.io/library/shop:2", image_id="i2")
    view = store_with(an_image(), other, an_image(NEW, "docker.io/library/db:1", image_id="i3")).view
    for ref in (OLD, OLD[:12], "a" * 12):
        assert find_image(view, ref).annotations.name == "docker.io/library/shop:2"  # the first of its names
        with pytest.raises(Ambiguous):
            find_image(view, ref, names_one=True)
    assert find_image(view, "bbbb", names_one=True).id == "i3"
    with pytest.raises(NotFound):
        find_image(view, "sha256:")
