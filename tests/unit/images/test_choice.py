"""Which images `image prune --filter` means."""

import json
from types import SimpleNamespace

import pytest

from swarm.api.v1.control_pb2 import PruneChosenImagesRequest
from swarm.api.v1.objects_pb2 import Image
from swarm.errors import InvalidArgument, Unavailable
from swarm.manager.images.choice import is_chosen
from swarm.manager.images.control import ImageControl
from swarm.manager.store.testing import LocalProposer, store_with

DAY_NS = 86400 * 10**9


def an_image(name="docker.io/library/web:1", digest="sha256:" + "a" * 64, day=0):
    image = Image(id=f"id-{name}", digest=digest, blobs=[digest])
    image.annotations.name = name
    image.meta.created_at.FromNanoseconds(day * DAY_NS)
    return image


def says(created="1970-01-01T00:00:00Z", **labels):
    return json.dumps({"created": created, "config": {"Labels": labels or None}}).encode()


def chosen(configuration, day=0, **choice):
    return is_chosen(PruneChosenImagesRequest(**choice), an_image(day=day), configuration)


def test_labels_must_all_be_there_and_none_of_the_others():
    assert chosen(says(), labels=[])
    assert chosen(says(tier="test", keep=""), labels=["tier=test", "keep"])
    assert not chosen(says(tier="test"), labels=["tier=prod"])
    assert not chosen(says(tier="test"), labels=["tier", "keep"])
    assert not chosen(says(keep="yes"), without_labels=["keep"])
    assert chosen(says(keep="yes"), without_labels=["keep=no"])


@pytest.mark.parametrize(
    ("built", "day", "old"),
    [
        ("1970-01-01T00:00:00Z", 1, True),
        ("1970-01-04T00:00:00Z", 1, False),
        ("1970-01-01T00:00:00Z", 4, False),
        ("yesterday", 1, True),
        (None, 4, False),
    ],
)
def test_an_image_is_as_young_as_its_build_or_its_name(built, day, old):
    assert chosen(says(built), day=day, before_ns=3 * DAY_NS) is old


@pytest.mark.parametrize("broken", [b"", b"[]", b'{"config": {"Labels": ["a"]}}'])
def test_what_cannot_be_read_is_not_guessed(broken):
    with pytest.raises(InvalidArgument):
        chosen(broken, without_labels=["keep"])


async def test_only_what_is_chosen_goes_and_what_cannot_be_read_stays():
    digests = [f"sha256:{letter * 64}" for letter in "abc"]
    known = {digests[0]: says(keep=""), digests[1]: says()}
    images = [an_image(f"docker.io/library/{digest[7]}:1", digest) for digest in digests]
    store = store_with(*images)
    store.attach(LocalProposer(store))

    async def bring(image):
        if image.digest not in known:
            raise Unavailable("no manager has it")

    held = SimpleNamespace(history=lambda digest: ((), known[digest]), size=len)
    control = ImageControl(store, held, None, SimpleNamespace(bring=bring))
    choice = PruneChosenImagesRequest(all=True, without_labels=["keep"])
    removed, freed, unread = await control.prune_chosen(choice, everything=True)
    assert ([one.digest for one in removed], freed) == ([digests[1]], 1)
    assert unread == ["docker.io/library/c:1"]
    assert sorted(one.digest for one in store.view.images) == [digests[0], digests[2]]
