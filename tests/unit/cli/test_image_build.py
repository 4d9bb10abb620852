"""`swarmctl image build`: which builder, with which options, and what is said when there is none."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from swarm.cli import image
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
    }
    expected = "--file D --build-arg A=1 --build-arg B=2 --label c=d --no-cache --pull"
    assert build_options(given) == expected.split()


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
