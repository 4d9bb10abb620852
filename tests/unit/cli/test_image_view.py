"""The rows of `image ls`."""

import json

import pytest

from swarm.api.v1.objects_pb2 import Image
from swarm.cli import image_view as view
from swarm.cli.image_view import rows
from swarm.cli.render import fill
from swarm.errors import Ambiguous, InvalidArgument, NotFound

NOW = 10_000 * 10**9


def an_image(name, at_s):
    image = Image(id=f"id{at_s}", digest="sha256:" + f"{at_s:064d}", size_bytes=1_500_000)
    image.annotations.name = name
    image.meta.created_at.seconds = at_s
    return image


IMAGES = [
    an_image("docker.io/shop/web:1.2", 100),
    an_image("docker.io/shop/web:2.0", 200),
    an_image("docker.io/library/db:1.2", 300),
    an_image("docker.io/library/db@sha256:" + "1" * 64, 400),
]


def named(**filters):
    found = rows(IMAGES, {key: [value] for key, value in filters.items()}, NOW, truncate=True)
    return [f"{row['Repository']}:{row['Tag']}" for row in found]


def test_images_are_listed_by_name():
    assert named() == ["db:1.2", "db:<none>", "shop/web:1.2", "shop/web:2.0"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"reference": "shop/web"}, ["shop/web:1.2", "shop/web:2.0"]),
        ({"reference": "shop/*:2.*"}, ["shop/web:2.0"]),
        ({"reference": "*:1.2"}, ["db:1.2", "shop/web:1.2"]),
        ({"reference": "web"}, []),
        ({"dangling": "true"}, ["db:<none>"]),
        ({"dangling": "false", "reference": "db"}, ["db:1.2"]),
        ({"before": "shop/web:2.0"}, ["shop/web:1.2"]),
        ({"since": "shop/web:2.0"}, ["db:1.2", "db:<none>"]),
    ],
)
def test_filters_choose_images(filters, names):
    assert named(**filters) == names


def test_a_digest_and_a_whole_id_are_there_for_those_who_ask():
    (row,) = rows(IMAGES, {"reference": ["db:1.2"]}, NOW, truncate=False)
    assert row["ID"] == row["Digest"] == "sha256:" + f"{300:064d}"
    assert row["CreatedSince"] == "3 hours ago"


def test_filters_that_mean_nothing_are_refused():
    with pytest.raises(InvalidArgument, match="dangling=maybe"):
        named(dangling="maybe")
    with pytest.raises(NotFound, match="nothing:1"):
        named(since="nothing:1")


TWICE = [an_image("docker.io/shop/web:1", 5), an_image("docker.io/shop/web:stable", 5), *IMAGES]
SHORT = TWICE[0].digest.removeprefix("sha256:")


def test_an_image_is_meant_by_a_name_or_by_the_id_that_lists_print():
    assert [one.annotations.name for one in view.named(TWICE, "shop/web:stable")] == [
        "docker.io/shop/web:stable"
    ]
    for ref in (SHORT, TWICE[0].digest, f"sha256:{SHORT}"):
        assert [one.annotations.name for one in view.named(TWICE, ref)] == [
            "docker.io/shop/web:1",
            "docker.io/shop/web:stable",
        ]
    with pytest.raises(Ambiguous):
        view.named(TWICE, "000000000000")
    for nothing in ("nope", "sha256:", "shop/web:3"):
        with pytest.raises(NotFound):
            view.named(TWICE, nothing)


def test_inspect_of_an_image_has_the_words_of_docker():
    page = view.page(TWICE[0], TWICE)
    assert page["Id"] == page["Digest"] == TWICE[0].digest
    assert page["RepoTags"] == ["shop/web:1", "shop/web:stable"]
    assert fill("{{index .RepoDigests 0}}", page) == f"shop/web@{TWICE[0].digest}"
    assert page["Created"] == "1970-01-01T00:00:05.000000000Z"


def test_inspect_shows_what_an_image_says_of_itself():
    told = {
        "created": "2026-01-02T03:04:05Z",
        "architecture": "arm64",
        "os": "linux",
        "config": {"Cmd": ["serve"], "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
        "history": [{"comment": "older"}, {"comment": "mended"}],
    }
    page = view.page(TWICE[0], TWICE, json.dumps(told).encode())
    said = fill("{{.Os}}/{{.Architecture}} {{.Config.Cmd}} {{.Config.User}}{{len .RootFS.Layers}}", page)
    assert said == "linux/arm64 [serve] 1"
    assert page["Created"] == "2026-01-02T03:04:05Z"
    assert page["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert page["Comment"] == "mended"


@pytest.mark.parametrize(
    "told", [b"", b"no json", b"[1]", b'{"config": 3, "rootfs": [], "os": null, "history": 1}']
)
def test_an_image_that_says_nonsense_of_itself_is_shown_all_the_same(told):
    assert view.page(TWICE[0], TWICE, told)["Id"] == TWICE[0].digest
