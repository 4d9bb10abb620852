"""`swarmctl system` and what `container run` is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest, ContainerSummary
from swarm.api.v1.control_pb2 import PruneChosenImagesRequest, PruneImagesRequest, PruneImagesResponse
from swarm.api.v1.plain_pb2 import PlainRestart, PlainSpec
from swarm.api.v1.system_pb2 import DiskItem, DiskKind, DiskUsage, FileSystem
from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.api.v1.volumes_pb2 import NodeVolume, VolumeAnswer
from swarm.cli import container_run
from swarm.cli import prune as prune_choice
from swarm.cli import system as system_commands
from swarm.cli.container_run import exit_code, run
from swarm.cli.container_table import rows as container_rows
from swarm.cli.plain_options import restart_policy
from swarm.cli.system import system
from swarm.cli.system_view import item_rows, rows
from swarm.errors import InvalidArgument


def usage(node: str) -> ContainerOutput:
    items = [DiskItem(name="small", size_bytes=1), DiskItem(name="big", size_bytes=5, users=["web.1"])]
    return ContainerOutput(
        node_id=node,
        disk=DiskUsage(
            images=DiskKind(count=2, active=1, size_bytes=1000, reclaimable_bytes=250, items=items),
            file_system=FileSystem(path="/data", total_bytes=1000, free_bytes=400),
        ),
    )


def test_every_node_has_its_rows() -> None:
    found = rows([usage("n2"), usage("n1")], {"n1": "a", "n2": "b"})
    assert [row["Node"] for row in found] == ["a"] * 4 + ["b"] * 4
    assert (found[0]["TotalCount"], found[0]["Active"], found[0]["Reclaimable"]) == ("2", "1", "250B (25%)")
    assert found[3]["Size"] == "600B of 1kB (60%)"
    items = item_rows([usage("n1")], {})
    assert [row["Name"] for row in items] == ["big", "small"]
    assert items[0]["Users"] == "web.1"


def test_prune_says_what_goes_before_it_does_anything() -> None:
    result = CliRunner().invoke(system, ["prune", "--all", "--volumes"], input="n\n", obj="unix:///nowhere")
    assert result.exit_code == 1
    for text in (
        "all nodes",
        "containers that have ended",
        "volumes without a name",
        "images of the cluster",
    ):
        assert text in result.output
    one = CliRunner().invoke(system, ["prune", "--node", "w1"], input="n\n", obj="unix:///nowhere")
    assert "node w1" in one.output
    assert "cluster" not in one.output  # what one node prunes is its own


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> PlainSpec:
    """Return the spec that a command line asks for."""
    found: list[PlainSpec] = []

    def stop(conn: object, spec: PlainSpec, given: object) -> int:
        found.append(spec)
        return 0

    monkeypatch.setattr(container_run, "_run", stop)
    monkeypatch.setattr(container_run, "connect", _nowhere)
    result = CliRunner().invoke(run, list(arguments), obj="", standalone_mode=False)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return found[0]


class _nowhere:  # noqa: N801 -- stands in for a function
    def __init__(self, host: str) -> None:
        pass

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def test_the_options_of_docker_run(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = asked(
        monkeypatch,
        *("-d", "--name", "db", "-e", "A=1", "-v", "data:/data:ro", "-v", "/srv:/srv", "-v", "/own"),
        *("--tmpfs", "/tmp:size=1m", "-p", "8080:80", "-p", "53/udp", "--restart", "on-failure:3"),
        *("--cpus", "0.5", "-m", "64m", "-l", "tier=db", "--add-host", "a:10.0.0.1", "--cap-drop", "ALL"),
        *("--health-cmd", "true", "--stop-timeout", "3", "-u", "app", "img:1", "run", "-x"),
    )
    assert (spec.name, spec.container.image, list(spec.container.args)) == ("db", "img:1", ["run", "-x"])
    kinds = [(one.type, one.source, one.target, one.read_only) for one in spec.container.mounts]
    assert kinds == [
        (Mount.TYPE_VOLUME, "data", "/data", True),
        (Mount.TYPE_BIND, "/srv", "/srv", False),
        (Mount.TYPE_VOLUME, "", "/own", False),
        (Mount.TYPE_TMPFS, "", "/tmp", False),
    ]
    assert all(port.publish_mode == PortConfig.PUBLISH_MODE_HOST for port in spec.ports)
    assert [(port.published_port, port.target_port) for port in spec.ports] == [(8080, 80), (0, 53)]
    assert spec.restart == PlainRestart(condition=PlainRestart.CONDITION_ON_FAILURE, max_retries=3)
    assert spec.resources.limits.nano_cpus == 500_000_000
    assert spec.resources.limits.memory_bytes == 64 << 20
    assert dict(spec.container.labels) == {"tier": "db"}
    assert spec.container.hosts[0].name == "a"
    assert list(spec.container.capability_drop) == ["ALL"]
    assert spec.container.stop_grace_period_ns == 3_000_000_000
    assert not spec.stdin_once


def test_the_input_of_a_pipe_ends_and_that_of_a_terminal_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, "-i", "img").stdin_once
    assert not asked(monkeypatch, "-d", "-i", "img").stdin_once


def test_restart_policies() -> None:
    assert restart_policy("always").condition == PlainRestart.CONDITION_ALWAYS
    for wrong in ("sometimes", "always:3", "on-failure:x", ""):
        with pytest.raises(InvalidArgument, match="--restart"):
            restart_policy(wrong)


def test_exit_codes_without_a_container() -> None:
    assert exit_code('exec: "x": not found in $PATH') == 127
    assert exit_code('cannot start: exec: "/x": no such file or directory') == 127
    assert exit_code('exec: "/etc": permission denied') == 126
    assert exit_code("no node takes the container") == 125


def test_containers_are_told_apart_by_whether_they_have_a_task() -> None:
    answers = [
        ContainerOutput(container=ContainerSummary(id="a", name="db", plain=True, labels={"tier": "db"})),
        ContainerOutput(container=ContainerSummary(id="b", name="web.1.b")),
    ]

    def names(**filters: list[str]) -> list[str]:
        found = {key.replace("_", "-"): values for key, values in filters.items()}
        return [row["Names"] for row in container_rows(answers, found, {}, 0, truncate=True)]

    assert names(is_task=["false"]) == ["db"]
    assert names(is_task=["true"]) == ["web.1.b"]
    assert names(label=["tier=db"]) == ["db"]
    with pytest.raises(InvalidArgument):
        names(is_task=["perhaps"])


class _Images(_nowhere):
    """A manager that tells which images it was to remove."""

    asked: ClassVar[list[object]] = []

    def __enter__(self) -> "_Images":  # type: ignore[override]
        return self

    @property
    def control(self) -> "_Images":
        return self

    def PruneImages(self, _request: PruneImagesRequest) -> PruneImagesResponse:
        return PruneImagesResponse(freed_bytes=5_000)

    def PruneChosenImages(self, request: PruneChosenImagesRequest) -> PruneImagesResponse:
        self.asked.append(request)
        return PruneImagesResponse()


def _container(name: str, **labels: str) -> ContainerOutput:
    summary = ContainerSummary(id=name, name=name, state="exited", labels=labels)
    summary.finished_at.FromSeconds(50)
    summary.written_bytes = 70
    return ContainerOutput(node_id="n1", container=summary)


def _volume(name: str, *users: str, **labels: str) -> ContainerOutput:
    found = NodeVolume(name=name, anonymous=True, labels=labels, users=users)
    return ContainerOutput(node_id="n1", volume=VolumeAnswer(volume=found))


class _Nodes:
    """Nodes with containers and volumes, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str]] = []
        runs = _container("runs")
        runs.container.state = "running"
        self.listed = {
            "list": [_container("a"), _container("kept", keep="x"), runs],
            "list_volumes": [_volume("v"), _volume("used", "web.1"), _volume("kept", keep="x")],
        }

    def ask(self, _conn: object, request: ContainerRequest, nodes: object) -> Iterator[ContainerOutput]:
        verb = request.WhichOneof("verb") or ""
        self.asked.append((verb, request.container_id or request.remove_volume.name))
        return iter(self.listed.get(verb, [ContainerOutput(removed="c1")]))


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> _Nodes:
    found = _Nodes()
    for module in (system_commands, prune_choice):
        monkeypatch.setattr(module, "ask", found.ask)
    monkeypatch.setattr(system_commands, "connect", _Images)
    monkeypatch.setattr(_Images, "asked", [])
    return found


def test_a_prune_with_a_filter_takes_no_images_that_the_filter_was_to_keep(nodes: _Nodes) -> None:
    for text in ("label=tier=test", "until=100"):
        result = CliRunner().invoke(system, ["prune", "-af", "--volumes", "--filter", text], obj="")
        assert (result.exit_code, result.stdout) == (0, "Deleted Containers:\nc1\n\n"), (
            result.output
        )  # no sum: one did not tell
    assert [verb for verb, _ in nodes.asked] == ["prune", "prune_volumes"] * 2
    assert _Images.asked == [
        PruneChosenImagesRequest(all=True, labels=["tier=test"]),
        PruneChosenImagesRequest(all=True, before_ns=100 * 10**9),
    ]
    question = CliRunner().invoke(system, ["prune", "--filter", "until=24h"], input="n\n", obj="")
    assert "as far as the filters fit" in question.output
    assert "images that nodes pulled" not in question.output


def test_the_space_is_the_sum_of_what_nodes_tell_or_nothing_is_claimed(nodes: _Nodes) -> None:
    volume = VolumeAnswer(removed="v1", removed_bytes=30_000)
    nodes.listed["prune"] = [
        ContainerOutput(removed="c1", removed_bytes=1_000),
        ContainerOutput(removed="c2", removed_bytes=0),
    ]
    nodes.listed["prune_volumes"] = [ContainerOutput(volume=volume)]
    nodes.listed["collect_images"] = [ContainerOutput(freed_bytes=200)]
    arguments = ["prune", "-f", "--volumes"]
    told = CliRunner().invoke(system, arguments, obj="").stdout
    assert told == ("Deleted Containers:\nc1\nc2\n\nDeleted Volumes:\nv1\n\nTotal reclaimed space: 36.2kB\n")
    nodes.listed["prune"].append(ContainerOutput(removed="c3"))  # of a node that does not tell
    told = CliRunner().invoke(system, arguments, obj="").stdout
    assert "c3\n" in told
    assert "space" not in told


def test_what_must_not_have_a_label_is_chosen_here_and_removed_one_by_one(nodes: _Nodes) -> None:
    """Nodes of an older version would overlook it, and remove everything."""
    result = CliRunner().invoke(system, ["prune", "-f", "--volumes", "--filter", "label!=keep"], obj="")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Total reclaimed space: 70B"), (
        result.output
    )
    assert nodes.asked == [("list", ""), ("remove", "a"), ("list_volumes", ""), ("remove_volume", "v")]
    nodes.asked.clear()
    young = ["prune", "-f", "--filter", "label!=keep", "--filter", "until=50"]
    assert CliRunner().invoke(system, young, obj="").exit_code == 0
    assert nodes.asked == [("list", "")]


def test_events_are_those_of_the_cluster() -> None:
    found = system.get_command(click.Context(system), "events")
    assert found is not None
    assert "Follow what happens" in (found.help or "")


def test_hands_of_docker_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    volumes = ("-v", "./data:/d", "-v", "./x/..:/here:ro", "-v", "data:/v")
    spec = asked(monkeypatch, "-h", "front", *volumes, "img")
    assert spec.container.hostname == "front"
    kinds = [(one.type, one.source) for one in spec.container.mounts]
    assert kinds == [
        (Mount.TYPE_BIND, f"{tmp_path}/data"),
        (Mount.TYPE_BIND, str(tmp_path)),
        (Mount.TYPE_VOLUME, "data"),
    ]
    bare = asked(monkeypatch, "--entrypoint", "", "img", "echo", "hi").container
    assert (list(bare.command), list(bare.args)) == (["echo"], ["hi"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--entrypoint", "", "img"), "which command"),
        (("--network", "container:db", "img"), "find each other by name"),
        (("-v", "~/x:/d", "img"), "--volume"),
    ],
)
def test_a_run_that_cannot_be_asked_for_ends_as_one_that_could_not_be_made(
    words: tuple[str, ...], reason: str
) -> None:
    done = CliRunner().invoke(run, list(words), obj="unix:///nowhere")
    assert (done.exit_code, reason in done.stderr) == (125, True), done.output
