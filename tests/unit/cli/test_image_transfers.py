"""`swarmctl image pull|push|save|history|prune`: what is asked, what is shown, what is left behind."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput, ContainerSummary
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.types_pb2 import Annotations
from swarm.cli import image, image_transfers
from swarm.cli.image_tree import used
from swarm.errors import Unavailable

NAME = "registry:5000/web:1"


class Control:
    """Answers as a manager would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.chunks: list[bytes | Exception] = [b"abc", b"de"]
        self.left_out: list[str] = []
        self.heard_out = 0
        self.images: list[str] = []
        self.tags: list[str] = []
        self.unwanted = ""
        self.made_of: list[str] = []
        self.silent = ""
        self.configuration: bytes | Exception = b""

    def PullImage(self, request: c.PullImageRequest, timeout: object) -> Iterator[c.PullImageResponse]:
        self.asked.append(request)
        if self.unwanted and request.reference.endswith(self.unwanted):
            raise Unavailable(f"cannot pull {request.reference}")
        for line in ("Pulling", "Pulling from registry:5000: 1MB of 2MB", "Pulling from registry:5000: 2MB"):
            yield c.PullImageResponse(progress=line)
        answer = c.PullImageResponse()
        answer.pulled.image.annotations.name = request.reference
        yield answer

    def ListRegistryTags(
        self, request: c.ListRegistryTagsRequest, timeout: object
    ) -> c.ListRegistryTagsResponse:
        self.asked.append(request)
        return c.ListRegistryTagsResponse(tags=self.tags)

    def PushImage(self, request: c.PushImageRequest, timeout: object) -> Iterator[c.PushImageResponse]:
        self.asked.append(request)
        yield c.PushImageResponse(
            pushed=c.PushedImage(reference=NAME, digest="sha256:1", left_out=self.left_out)
        )
        self.heard_out += 1

    def SaveImages(self, request: c.SaveImagesRequest, timeout: object) -> Iterator[c.SaveImagesResponse]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield c.SaveImagesResponse(chunk=chunk)

    def GetImageHistory(self, request: c.GetImageHistoryRequest) -> c.GetImageHistoryResponse:
        if isinstance(self.configuration, Exception):
            raise self.configuration
        steps = [
            c.ImageHistoryEntry(created_by="ADD  a\n /", layer="sha256:" + "a" * 64, size_bytes=2000),
            c.ImageHistoryEntry(created_by="CMD " + "x" * 100),
        ]
        platforms = [
            c.PlatformImage(platform="linux/amd64", digest="sha256:" + "b" * 64, size_bytes=1200, held=True),
            c.PlatformImage(platform="linux/arm64/v8", digest="sha256:" + "c" * 64),
        ]
        return c.GetImageHistoryResponse(
            entries=steps, configuration=self.configuration, platforms=platforms
        )

    def ListImages(self, request: c.ListImagesRequest) -> c.ListImagesResponse:
        found = [
            Image(annotations=Annotations(name=name), digest="sha256:" + "a" * 64, size_bytes=3_000_000)
            for name in self.images
        ]
        return c.ListImagesResponse(images=found)

    def View(
        self, inputs: Iterator[ContainerInput], timeout: float | None = None
    ) -> Iterator[ContainerOutput]:
        for name in self.made_of:
            yield ContainerOutput(container=ContainerSummary(image=name))
        if self.silent:
            yield ContainerOutput(notice=self.silent)

    def PruneChosenImages(self, request: c.PruneChosenImagesRequest) -> c.PruneImagesResponse:
        self.asked.append(request)
        return c.PruneImagesResponse(unread=[NAME])

    def PruneImages(self, request: c.PruneImagesRequest) -> c.PruneImagesResponse:
        self.asked.append(request)
        return c.PruneImagesResponse(freed_bytes=2000)


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Control:
    fake = Control()
    for module in (image, image_transfers):
        monkeypatch.setattr(
            module,
            "connect",
            lambda _: contextlib.nullcontext(SimpleNamespace(control=fake, containers=fake)),
        )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(image.image, arguments, obj="unix:///x")


def test_a_pull_shows_its_progress_and_prints_the_name(control: Control) -> None:
    done = run("pull", "--platform", "linux/arm64", NAME)
    assert done.stdout == f"{NAME}\n"
    # Where lines cannot be overwritten, counters come only now and then.
    assert done.stderr.splitlines() == [
        "Pulling",
        "Pulling from registry:5000: 1MB of 2MB",
        f"Status: Image is up to date for {NAME}",
    ]
    (request,) = control.asked
    assert list(request.platforms) == ["linux/arm64"]
    assert not request.HasField("registry_auth")
    assert run("pull", "-q", NAME).output == f"{NAME}\n"


def test_the_credentials_of_the_registry_travel_with_the_request(control: Control, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"registry:5000": {"auth": "Y2Fyb2w6cHc="}}}')
    run("push", NAME)
    run("pull", "other:5000/web")
    assert control.asked[0].registry_auth.password == "pw"
    assert not control.asked[1].HasField("registry_auth")


def test_all_tags_of_a_name_are_pulled_and_those_that_fail_are_named(
    control: Control, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"registry:5000": {"auth": "Y2Fyb2w6cHc="}}}')
    control.tags, control.unwanted = ["1", "2", "latest"], ":2"
    done = run("pull", "-qa", "--platform", "all", "registry:5000/web")
    assert done.stdout == f"{NAME}\nregistry:5000/web:latest\n"
    assert (done.exit_code, done.stderr) == (1, "Error: cannot pull registry:5000/web:2\n")
    first, *pulled = control.asked
    assert isinstance(first, c.ListRegistryTagsRequest)
    assert [one.reference.rpartition(":")[2] for one in pulled] == control.tags
    assert {tuple(one.platforms) for one in pulled} == {("all",)}
    assert {one.registry_auth.password for one in control.asked} == {"pw"}


def test_all_tags_of_a_name_are_pushed_and_no_others(control: Control) -> None:
    other, digest = "registry:5000/web2:1", "@sha256:" + "a" * 64
    repository = NAME.rpartition(":")[0]
    control.images = [f"{repository}:2", NAME, other, repository + digest]
    assert run("push", "-q", "--all-tags", repository).output == "sha256:1\n" * 2
    pushed = [one.ref for one in control.asked if isinstance(one, c.PushImageRequest)]
    assert pushed == [NAME, f"{repository}:2"]
    assert "leave the tag" in str(run("push", "-a", NAME).exception)
    assert "no image of the name" in str(run("push", "-a", "else").exception)


def test_a_push_is_heard_to_its_end_or_the_audit_trail_has_it_as_given_up(control: Control) -> None:
    assert run("push", "-q", NAME).output == "sha256:1\n"
    assert control.heard_out == 1


def test_a_push_says_what_the_registry_did_not_get(control: Control) -> None:
    assert run("push", NAME).output == "1: digest: sha256:1 size: 0 sent: 0\n"
    control.left_out = ["linux/arm64"]
    done = run("push", "-q", NAME)
    assert done.stdout == "sha256:1\n"
    assert "does not hold this image for linux/arm64" in done.stderr


def test_a_saved_file_appears_only_when_it_is_whole(control: Control, tmp_path: Path) -> None:
    target = tmp_path / "web.tar"
    assert run("save", "-o", str(target), NAME).exit_code == 0
    assert target.read_bytes() == b"abcde"
    control.chunks.append(Unavailable("the manager went away"))
    assert isinstance(run("save", "-o", str(target), NAME).exception, Unavailable)
    assert [path.name for path in tmp_path.iterdir()] == ["web.tar"]
    assert target.read_bytes() == b"abcde"
    assert "cannot write" in str(run("save", "-o", str(tmp_path / "no" / "web.tar"), NAME).exception)
    control.chunks.pop()
    assert run("save", NAME).stdout_bytes == b"abcde"


def test_a_history_shows_the_latest_step_first(control: Control) -> None:
    lines = run("history", NAME).output.splitlines()
    assert lines[1].split()[:3] == ["<none>", "N/A", "CMD"]
    assert lines[1].split()[3].endswith("x…")
    assert "ADD a /" in lines[2]
    assert "2kB" in lines[2]
    assert run("history", "--no-trunc", "--format", "{{.CreatedBy}}", NAME).output.startswith(
        "CMD " + "x" * 100
    )
    assert run("history", "--format", "{{.ID}}", NAME).output == "<none>\n" + "a" * 12 + "\n"
    in_full = run("history", "--no-trunc", "--format", "{{.ID}}", NAME).output
    assert in_full == "<none>\nsha256:" + "a" * 64 + "\n"
    assert run("history", "-q", NAME).output == "sha256:" + "a" * 64 + "\n"


def test_pruning_asks_or_is_told_not_to(control: Control) -> None:
    assert "--force does not ask" in run("prune", "-a").output
    assert control.asked == []
    assert run("prune", "-a", "-f").output == "Total reclaimed space: 2kB\n"
    assert control.asked == [c.PruneImagesRequest(all=True)]


def test_pruning_by_filters_asks_for_no_more_than_they_choose(control: Control) -> None:
    filters = ("--filter", "until=100", "--filter", "label=tier=test", "--filter", "label!=keep")
    result = run("prune", "-af", *filters)
    chosen = c.PruneChosenImagesRequest(all=True, labels=["tier=test"], without_labels=["keep"])
    chosen.before_ns = 100 * 10**9
    assert control.asked == [chosen]
    assert (result.exit_code, f"image {NAME} stays" in result.stderr) == (1, True)
    assert "label!" in str(run("prune", "-f", "--filter", "name=x").exception)


def test_an_image_that_lost_its_name_is_listed_without_a_tag(control: Control) -> None:
    control.images = [f"docker.io/library/web@sha256:{'a' * 64}", "docker.io/library/web:1", NAME]
    lines = run("ls", "--format", "{{.Repository}} {{.Tag}}").output.splitlines()
    assert lines == ["registry:5000/web 1", "web 1", "web <none>"]


def test_a_tree_shows_an_image_under_its_names_with_its_platforms(control: Control) -> None:
    control.images = [NAME, "registry:5000/web:2"]
    control.made_of = [NAME, "else:1", ""]
    shown = run("ls", "--tree")
    assert shown.exit_code == 0
    assert [line.rstrip() for line in shown.output.splitlines()] == [
        "                                          Info → U In Use",
        "",
        "IMAGE                 ID             CONTENT SIZE   EXTRA",
        "registry:5000/web:1",
        "registry:5000/web:2   aaaaaaaaaaaa            3MB   U",
        "├─ linux/amd64        bbbbbbbbbbbb          1.2kB",
        "└─ linux/arm64/v8     cccccccccccc             0B",
    ]
    assert "U\n" not in run("ls", "--tree", "--filter", "reference=none").output
    for flag in ("--quiet", "--digests", "--no-trunc", "--format=json"):
        assert f"{flag.partition('=')[0]} is for the table" in str(run("ls", "--tree", flag).exception)


def test_a_tree_says_what_nobody_could_say(control: Control) -> None:
    control.images, control.configuration = [NAME], Unavailable("no manager that is there holds it")
    control.silent = "node n2 does not answer"
    shown = run("ls", "--tree")
    assert (shown.exit_code, "aaaaaaaaaaaa" in shown.stdout) == (1, True)
    assert shown.stderr.splitlines() == [
        f"Warning: image {NAME}: its platforms are not shown: no manager that is there holds it",
        "Warning: node n2 does not answer",
    ]


def test_an_image_is_in_use_by_its_name_or_its_content() -> None:
    one = Image(digest="sha256:" + "a" * 64, annotations=Annotations(name=NAME))
    other = Image(digest="sha256:" + "d" * 64, annotations=Annotations(name="docker.io/library/db:1"))
    for made_of, digest in (
        (NAME, one.digest),
        ("db:1", other.digest),
        (f"{NAME}@{other.digest}", other.digest),  # its name moved on
    ):
        assert used([one, other], [ContainerSummary(image=made_of)]) == {digest}
    assert not used([one, other], [ContainerSummary(image="db:2"), ContainerSummary(image="!")])


def test_sizes_of_an_image_are_for_people_or_for_scripts(control: Control) -> None:
    wanted = ("history", "--format", "{{.Size}}", NAME)
    assert run(*wanted).stdout.splitlines()[-1] == "2kB"
    for flag in ("--no-human", "--human=false"):
        assert run(*wanted, flag).stdout.splitlines()[-1] == "2000"


def test_inspect_tells_what_an_image_says_of_itself_or_why_not(control: Control) -> None:
    control.images, control.configuration = [NAME], b'{"os": "linux", "config": {"User": "app"}}'
    told = run("inspect", "-f", "{{.Os}} {{.Config.User}}", NAME)
    assert (told.exit_code, told.stdout) == (0, "linux app\n")
    control.configuration = Unavailable("no manager that is there holds it")
    told = run("inspect", "-f", "{{.Reference}}", NAME)
    assert (told.exit_code, told.stdout) == (0, f"{NAME}\n")
    assert "configuration is not shown: no manager that is there holds it" in told.stderr
