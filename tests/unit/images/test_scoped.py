"""Images for people with a scope: all are there to be run; only what has their label is theirs to change."""

from types import SimpleNamespace

import pytest

from swarm.api.v1.control_pb2 import LoadImageRequest, PullImageRequest
from swarm.api.v1.images_pb2 import HeldImage
from swarm.api.v1.objects_pb2 import Image, Service, Task
from swarm.errors import FailedPrecondition, NotPermitted
from swarm.manager.images.control import ImageControl
from swarm.manager.images.holders import check_unused, record_held
from swarm.manager.store.testing import LocalProposer, store_with
from swarm.runtime.images.base import LoadedImage
from swarm.security.identity import Identity, Role, acting_as

WEB = "docker.io/library/web:1"
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RED = ("team=red", "shared")


def an_image(name=WEB, digest=OLD, **labels):
    image = Image(id=f"id-{name}", digest=digest, blobs=[digest])
    image.annotations.name = name
    image.annotations.labels.update(labels)
    return image


def a_service(name, team, digest=OLD):
    service = Service(id=name)
    service.spec.annotations.name = name
    service.spec.annotations.labels["team"] = team
    service.spec.task.container.image_digest = digest
    return service


async def record(store, digest=NEW, scope=RED):
    held = [HeldImage(reference=WEB, digest=digest, size_bytes=7, blobs=[digest])]
    await store.update(lambda tx: record_held(tx, held, "m1", ["new0", "new1"], loaded=True, scope=scope))
    return store.view.images.by_name(WEB)


async def test_what_they_pull_has_their_first_label():
    assert dict((await record(store_with())).annotations.labels) == {"team": "red"}
    by_key = await record(store_with(), scope=("mine",))
    assert dict(by_key.annotations.labels) == {"mine": ""}
    assert not (await record(store_with(), scope=())).annotations.labels


@pytest.mark.parametrize("label", [{"team": "red"}, {"shared": "yes"}])
async def test_a_name_of_theirs_gets_other_content_and_keeps_its_labels(label):
    moved = await record(store_with(an_image(**label)))
    assert (moved.digest, dict(moved.annotations.labels)) == (NEW, label)


@pytest.mark.parametrize("label", [{}, {"team": "blue"}])
async def test_what_a_name_means_to_others_stays(label):
    store = store_with(an_image(**label))
    with pytest.raises(NotPermitted, match="web:1 has not team=red or shared"):
        await record(store)
    assert store.view.images.by_name(WEB).digest == OLD
    same = await record(store, digest=OLD)
    assert list(same.holders) == ["m1"], "the same content is no change of the name"
    assert (await record(store, scope=())).digest == NEW


def control(*objects):
    store = store_with(*objects)
    store.attach(LocalProposer(store))
    return ImageControl(store, None, None, None), store


def red():
    return acting_as(Identity("", Role.USER, "", user="ann", scope=RED))


async def test_only_what_is_theirs_is_removed_and_pruned():
    other = "docker.io/library/other:1"
    images, store = control(an_image(), an_image(other, NEW, team="red"))
    with red():
        with pytest.raises(NotPermitted, match="web:1 has not team=red"):
            await images.remove(WEB, force=True)
        images._images = type("Sizes", (), {"size": staticmethod(len)})
        pruned, _ = await images.prune(everything=True)
    assert [one.annotations.name for one in pruned] == [other]
    assert [one.annotations.name for one in store.view.images] == [WEB]


def red_with(*image_names):
    return acting_as(Identity("", Role.USER, "", user="ann", scope=RED, image_names=image_names))


async def test_a_name_is_given_by_people_with_a_scope_below_their_names_only():
    images, store = control(an_image())
    for target in ("postgres:16", "red.example/redd:1", "docker.io/red.example/red:1", "red.example/w:1"):
        with red_with("red.example/red"), pytest.raises(NotPermitted, match=r"below red\.example/red only"):
            await images.tag(WEB, target)
    with red(), pytest.raises(NotPermitted, match="user update NAME --image-name-add"):
        await images.tag(WEB, "red.example/red/web:1")
    with red_with("red.example/red", "other.example"):
        made = await images.tag(WEB, "red.example/red/web:1")
        await images.tag(WEB, "other.example/web:1")
        await images.tag(WEB, "red.example/red")
    assert (made.digest, dict(made.annotations.labels)) == (OLD, {"team": "red"})
    assert len(store.view.images) == 4


async def test_a_name_below_theirs_that_is_another_stays_what_it_is():
    taken = "red.example/red/web:1"
    images, store = control(an_image(), an_image(taken, NEW))
    with red_with("red.example/red"), pytest.raises(NotPermitted, match="has not team=red"):
        await images.tag(WEB, taken)
    assert store.view.images.by_name(taken).digest == NEW


@pytest.mark.parametrize("names", [[], ["red.example/red"]])
async def test_an_archive_is_taken_from_people_with_a_scope_when_all_its_names_are_theirs(names):
    images, _ = control()
    reported = []

    async def report(held, *, loaded, scope):
        reported.append(([one.reference for one in held], loaded, scope))
        return []

    async def load(chunks, reference):
        assert [chunk async for chunk in chunks] == [b"archive"]
        return [LoadedImage(name, NEW, 7, (NEW,)) for name in ("red.example/red/web:1", reference) if name]

    async def archive(reference=""):
        yield LoadImageRequest(chunk=b"archive", reference=reference)

    images._images, images._reports = SimpleNamespace(load=load), SimpleNamespace(report=report)
    with red_with(*names):
        with pytest.raises(NotPermitted, match="what a name means counts for everybody"):
            await images.load(archive("docker.io/library/postgres:16"))
        assert reported == []
        if names:
            await images.load(archive())
            assert reported == [(["red.example/red/web:1"], True, RED)]
        else:
            with pytest.raises(NotPermitted, match="of no name yet"):
                await images.load(archive())
    await images.load(archive("docker.io/library/postgres:16"))
    assert reported[-1][2] == ()


async def test_a_tag_is_not_pinned_to_old_content_by_people_with_a_scope():
    images, _ = control()
    with red(), pytest.raises(NotPermitted, match="pull it by the tag alone"):
        await anext(images.pull(PullImageRequest(reference=f"web:1@{OLD}")))


def test_what_others_need_is_not_forced_away_and_told_by_number():
    image = an_image(team="red")
    store = store_with(image, a_service("mine", "red"), a_service("secretive", "blue"))
    with pytest.raises(
        FailedPrecondition, match=r"services \(mine and 1 that you do not see\): remove"
    ) as told:
        check_unused(store.view, image, force=True, scope=RED)
    assert "by force" not in str(told.value)
    check_unused(store.view, image, force=True)
    alone = store_with(image, a_service("mine", "red"))
    check_unused(alone.view, image, force=True, scope=RED)


def test_running_tasks_of_others_are_counted():
    image, task = an_image(team="red"), Task(id="t", node_id="n1")
    task.spec.container.image_digest = OLD
    with pytest.raises(FailedPrecondition, match=r"running tasks \(1 that you do not see\)"):
        check_unused(store_with(image, task).view, image, force=True, scope=RED)
