"""`swarmctl image build`: which builder, with which options, and what is said when there is none."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Image
from swarm.cli import image, image_build
from swarm.cli.image_build import build_options, buildah_environment, choose_builder
from swarm.errors import FailedPrecondition, InvalidArgument

NOTHING = {
    "file": "",
    "target": "",
    "platform": "",
    "build_args": (),
    "labels": (),
    "no_cache": False,
    "pull": False,
}


@pytest.mark.parametrize(
    ("wanted", "here", "runs", "chosen"),
    [
        ("auto", {"buildah", "docker"}, True, "buildah"),
        ("auto", {"docker"}, True, "docker"),
        ("docker", {"buildah", "docker"}, True, "docker"),
        ("buildah", {"buildah"}, False, "buildah"),
    ],
)
def test_buildah_is_taken_before_docker(wanted: str, here: set[str], runs: bool, chosen: str) -> None:
    assert choose_builder(wanted, here.__contains__, lambda: runs) == chosen


@pytest.mark.parametrize(
    ("wanted", "here", "why"),
    [
        ("auto", set(), "buildah is not installed, and docker cannot be used, it is not installed"),
        ("auto", {"docker"}, "docker cannot be used, its daemon does not run"),
        ("docker", {"buildah", "docker"}, "its daemon does not run"),
        ("buildah", {"docker"}, "buildah is not installed here"),
    ],
)
def test_without_a_builder_the_reason_and_the_way_out_are_said(
    wanted: str, here: set[str], why: str
) -> None:
    with pytest.raises(FailedPrecondition, match=why) as refused:
        choose_builder(wanted, here.__contains__, lambda: False)
    assert "apt-get install buildah" in str(refused.value)


def test_options_are_handed_on() -> None:
    assert build_options(NOTHING) == []
    given = NOTHING | {
        "file": "D",
        "build_args": ("A=1", "B=2"),
        "labels": ("c=d",),
        "no_cache": True,
        "pull": True,
        "network": "host",
        "hosts": ("db:10.0.0.1",),
        "secrets": ("id=key,src=key.pem",),
    }
    expected = "--file D --network host --build-arg A=1 --build-arg B=2 --label c=d --add-host db:10.0.0.1"
    expected += " --secret id=key,src=key.pem --no-cache --pull"
    assert build_options(given) == expected.split()
    assert build_options(NOTHING | {"network": "default"}) == []


def test_a_machine_with_both_versions_of_cgroups_builds_with_runc_unless_told_otherwise() -> None:
    assert buildah_environment({"A": "b"}, unified=False, has_runc=True) == {
        "A": "b",
        "BUILDAH_RUNTIME": "runc",
    }
    assert buildah_environment({"A": "b"}, unified=True, has_runc=True) == {"A": "b"}
    assert buildah_environment({"A": "b"}, unified=False, has_runc=False) == {"A": "b"}
    told = {"BUILDAH_ISOLATION": "chroot"}
    assert buildah_environment(told, unified=False, has_runc=True) == told


def test_bad_input_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    def refusal(*arguments: str) -> BaseException | None:
        return CliRunner().invoke(image.image, ["build", *arguments], obj="unix:///x").exception

    assert "is not a folder" in str(refusal("-t", "web", str(tmp_path / "no")))
    assert isinstance(refusal("-t", "Web:1", str(tmp_path)), InvalidArgument)
    assert "contains a digest" in str(refusal("-t", "web@sha256:" + "a" * 64, str(tmp_path)))
    assert "no Dockerfile" in str(refusal("-t", "web", "-f", str(tmp_path / "D"), str(tmp_path)))


class Builder:
    """A machine with buildah, and a cluster that takes what it makes."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def run(self, command: Sequence[str], quiet: bool, environment: object) -> None:
        if command[1] == "bud":
            self.built = list(command)
            Path(command[command.index("--iidfile") + 1]).write_text("sha256:1")
        else:
            Path(command[-1].split(":")[1]).write_bytes(b"archive")

    def ListImages(self, request: c.ListImagesRequest) -> c.ListImagesResponse:
        return c.ListImagesResponse()

    def LoadImage(self, requests: Iterator[c.LoadImageRequest], timeout: object) -> c.LoadImageResponse:
        assert b"".join(one.chunk for one in requests) == b"archive"
        return c.LoadImageResponse(images=[Image(digest="sha256:2")])


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    found = Builder()
    monkeypatch.setattr(image_build, "_run", found.run)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/buildah")
    connected = contextlib.nullcontext(SimpleNamespace(control=found))
    monkeypatch.setattr(image_build, "connect", lambda _: connected)
    return found


def test_the_id_of_the_clusters_image_is_written_down(builder: Builder, tmp_path: Path) -> None:
    words = ["build", "-q", "-t", "web:1", "--iidfile", str(tmp_path / "id"), str(tmp_path)]
    result = CliRunner().invoke(image.image, words, obj="")
    assert (result.exit_code, result.output) == (0, "docker.io/library/web:1\n")
    assert (tmp_path / "id").read_text() == "sha256:2"
    words[words.index("--iidfile") + 1] = str(tmp_path / "no" / "id")
    assert "the image is built" in str(CliRunner().invoke(image.image, words, obj="").exception)


@pytest.mark.parametrize(
    ("text", "arguments", "cached"),
    [
        ("FROM a\nARG V\nENV X=$V\n", ("--build-arg", "V=1"), False),
        ("FROM a\nARG V\nENV X=$V\n", (), True),
        ("FROM a\nARG V\nRUN make $V\n", ("--build-arg", "V=1"), True),
        (None, ("--build-arg", "V=1"), False),
    ],
)
def test_steps_of_other_arguments_are_not_taken_from_the_cache(
    builder: Builder, tmp_path: Path, text: str | None, arguments: tuple[str, ...], cached: bool
) -> None:
    if text is not None:
        (tmp_path / "Dockerfile").write_text(text)
    CliRunner().invoke(image.image, ["build", "-t", "web:1", *arguments, str(tmp_path)], obj="")
    assert ("--no-cache" not in builder.built) is cached
