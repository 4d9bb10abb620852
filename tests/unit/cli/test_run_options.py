"""`container run` as hands and scripts of Docker type it: files for ids and labels, chosen streams."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerOutput, ContainerRequest, OutputChunk
from swarm.api.v1.logs_pb2 import LOG_STREAM_STDERR, LOG_STREAM_STDOUT
from swarm.api.v1.plain_pb2 import CreateContainer, PlainSpec
from swarm.api.v1.types_pb2 import BlockLimit, Mount
from swarm.cli import container_run, container_volumes
from swarm.cli.connect import Connection
from swarm.cli.container_calls import Target
from swarm.cli.container_run import create, run
from swarm.cli.container_view import container_options, resource_options
from swarm.cli.container_volumes import add_volumes_from, mounts_of
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.model.volumes import anonymous_name

OUTPUT = (
    ContainerOutput(started=True),
    ContainerOutput(chunk=OutputChunk(stream=LOG_STREAM_STDOUT, data=b"out\n")),
    ContainerOutput(chunk=OutputChunk(stream=LOG_STREAM_STDERR, data=b"err\n")),
    ContainerOutput(exit_code=3),
)


class Node:
    """Makes container c1, which writes to both streams and ends."""

    def __init__(self) -> None:
        self.asked: list[ContainerRequest] = []
        self.problem: Exception | None = None
        self.warnings: list[str] = []

    def Operate(self, inputs: Any, timeout: float | None = None) -> Iterator[ContainerOutput]:
        request = next(iter(inputs)).question.request
        self.asked.append(request)
        if self.problem is not None:
            raise self.problem
        if request.HasField("create"):
            yield ContainerOutput(node_id="n1", created="c1", warnings=self.warnings)
        else:
            yield from OUTPUT

    @property
    def spec(self) -> PlainSpec:
        return self.asked[0].create.spec


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    node = Node()

    @contextlib.contextmanager
    def connect(_host: str) -> Iterator[Connection]:
        yield Connection(control=None, local=None, containers=node)

    monkeypatch.setattr(container_run, "connect", connect)
    monkeypatch.setenv("HOME", str(tmp_path))
    return node


def type_(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--quiet", *arguments, "web:1"], obj="")


@pytest.mark.parametrize(
    ("options", "out", "err"),
    [
        ((), "out\n", "err\n"),
        (("-a", "stdout"), "out\n", ""),
        (("--attach", "STDERR"), "", "err\n"),
        (("-a", "stdin", "-a", "stdout", "-a", "stderr"), "out\n", "err\n"),
        (("-a", "stdin"), "c1\n", ""),
    ],
)
def test_one_is_attached_to_what_one_names(node: Node, options: tuple[str, ...], out: str, err: str) -> None:
    result = type_(run, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (3, out, err)


@pytest.mark.parametrize("command", [create, run])
def test_what_the_container_lacks_is_said_on_stderr_also_to_who_wants_quiet(
    node: Node, command: Any
) -> None:
    node.warnings = ["swap: left out", "less of it"]
    result = type_(command)
    assert result.stderr.startswith("WARNING: swap: left out\nWARNING: less of it\n")
    assert "WARNING" not in result.stdout


def test_input_goes_there_when_it_is_wanted_and_named(node: Node) -> None:
    for options, passed in ((("-i",), True), (("-i", "-a", "stdin"), True), (("-i", "-a", "stdout"), False)):
        node.asked.clear()
        type_(run, *options)
        assert node.spec.open_stdin
        assert node.spec.stdin_once is passed
        assert node.asked[1].attach.stdin is passed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-a", "output"), "--attach output: write stdin, stdout or stderr"),
        (("-d", "-a", "stdout"), "--attach and --detach exclude each other"),
    ],
)
def test_streams_that_mean_nothing_are_refused(node: Node, options: tuple[str, ...], sentence: str) -> None:
    result = type_(run, *options)
    assert result.exit_code == 125
    assert sentence in result.output
    assert not node.asked


@pytest.mark.parametrize("command", [run, create])
def test_the_id_is_in_a_file_that_was_not_there(node: Node, tmp_path: Path, command: Any) -> None:
    file = tmp_path / "cid"
    type_(command, "--cidfile", str(file))
    assert file.read_text() == "c1"
    asked = len(node.asked)
    result = type_(command, "--cidfile", str(file))
    assert "the file is there" in f"{result.exception} {result.stderr}"
    assert (len(node.asked), file.read_text()) == (asked, "c1"), "nothing was made"


def test_there_is_no_file_for_a_container_that_was_not_made(node: Node, tmp_path: Path) -> None:
    node.problem = Unavailable("the node is away")
    file = tmp_path / "cid"
    assert isinstance(type_(create, "--cidfile", str(file)).exception, Unavailable)
    assert not file.exists()
    result = type_(create, "--cidfile", str(tmp_path / "no" / "cid"))
    assert "No such file or directory" in str(result.exception)


def test_labels_come_from_files_and_by_hand(node: Node, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# ours\nteam=red\nowner\n\nteam2=a=b\n")
    type_(create, "--label-file", str(tmp_path / "labels"), "-l", "owner=kim")
    assert dict(node.spec.container.labels) == {"team": "red", "owner": "kim", "team2": "a=b"}
    missing = type_(create, "--label-file", str(tmp_path / "missing"))
    assert f"--label-file {tmp_path}/missing" in str(missing.exception)


def test_the_driver_is_for_volumes_with_names(node: Node) -> None:
    type_(create, "--volume-driver", "nfs", "-v", "data:/a", "-v", "/srv:/b", "-v", "/c", "--tmpfs", "/d")
    drivers = {mount.target: mount.volume.driver for mount in node.spec.container.mounts}
    assert drivers == {"/a": "nfs", "/b": "", "/c": "", "/d": ""}


def test_annotations_are_for_the_runtime_and_shown(node: Node) -> None:
    type_(create, "--annotation", "com.example.a=b", "--annotation", "c")
    container = node.spec.container
    assert dict(container.annotations) == {"com.example.a": "b", "c": ""}
    assert container_options(container)["Annotations"] == {"com.example.a": "b", "c": ""}


def test_limits_of_single_disks_are_gathered_by_disk_and_shown(node: Node) -> None:
    type_(
        create,
        *("--blkio-weight-device", "/dev/sda:300", "--device-read-bps", "/dev/sda:1mb"),
        *("--device-write-bps", "/dev/sdb:1024", "--device-read-iops", "/dev/sda:9"),
        *("--device-write-iops", "/dev/sda:8", "--memory", "64m"),
    )
    resources = node.spec.resources
    assert list(resources.block_limits) == [
        BlockLimit(device="/dev/sda", weight=300, read_bps=1 << 20, read_iops=9, write_iops=8),
        BlockLimit(device="/dev/sdb", write_bps=1024),
    ]
    assert resource_options(resources) == {
        "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 300}],
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1 << 20}],
        "BlkioDeviceWriteBps": [{"Path": "/dev/sdb", "Rate": 1024}],
        "BlkioDeviceReadIOps": [{"Path": "/dev/sda", "Rate": 9}],
        "BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 8}],
    }
    node.asked.clear()
    type_(create)
    assert not node.spec.HasField("resources")


@pytest.mark.parametrize("text", ["/dev/sda", "sda:5", "/dev/sda:", "/dev/sda:fast", "/dev/sda:-1"])
def test_what_is_no_limit_of_a_disk_is_refused(node: Node, text: str) -> None:
    for flag in ("--device-read-bps", "--device-write-iops"):
        assert isinstance(type_(create, flag, text).exception, InvalidArgument)
    assert not node.asked


def test_ports_devices_and_domain_are_as_docker_reads_them(node: Node) -> None:
    options = ("-P", "--expose", "7000-7001/udp", "--domainname", "shop.test", "--pull", "never")
    type_(create, *options, "--gpus", "device=0,1")
    exposed = [(one.target_port, one.protocol) for one in node.spec.exposed]
    assert (node.spec.publish_all, exposed) == (True, [(7000, 1), (7001, 1)])
    assert node.spec.container.sysctls["kernel.domainname"] == "shop.test"
    assert [one.cdi_name for one in node.spec.container.devices] == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    assert node.asked[0].create.pull == CreateContainer.PULL_NEVER


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--gpus", "2"), "shares its GPUs"),
        (("--expose", "http"), "--expose"),
        (("--pull", "often"), "often"),
    ],
)
def test_what_a_container_of_no_service_cannot_have_is_refused(
    node: Node, options: tuple[str, ...], sentence: str
) -> None:
    done = type_(create, *options)
    assert sentence in f"{done.stderr} {done.exception}"
    assert node.asked == []


def test_what_another_container_mounts_is_had_too_at_most_to_read() -> None:
    found = ContainerDetails()
    found.summary.id, found.summary.name = "c1", "db"
    found.spec.mounts.add(type=Mount.TYPE_VOLUME, target="/data/")
    found.spec.mounts.add(type=Mount.TYPE_VOLUME, source="logs", target="/logs", read_only=True)
    found.spec.mounts.add(type=Mount.TYPE_TMPFS, target="/tmp")
    own, logs = mounts_of(found, read_only=False)
    assert own.source == anonymous_name("c1", "/data")
    assert (own.read_only, logs.source, logs.read_only) == (False, "logs", True)
    assert [one.read_only for one in mounts_of(found, read_only=True)] == [True, True]
    found.spec.mounts.add(type=Mount.TYPE_VOLUME, source="{{.Task.Slot}}", target="/x")
    with pytest.raises(FailedPrecondition, match=r"Task\.Slot"):
        list(mounts_of(found, read_only=False))


def test_volumes_are_had_on_the_node_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ContainerDetails()
    found.spec.mounts.add(type=Mount.TYPE_BIND, source="/srv", target="/srv")
    found.spec.mounts.add(type=Mount.TYPE_VOLUME, source="logs", target="/logs")
    monkeypatch.setattr(container_volumes, "find_container", lambda conn, ref: Target(ref, "n1"))
    monkeypatch.setattr(container_volumes, "ask_one", lambda *_: [ContainerOutput(details=found)])
    spec, conn = PlainSpec(), Connection(control=None, local=None, containers=None)
    spec.container.mounts.add(type=Mount.TYPE_VOLUME, source="mine", target="/logs/")
    assert add_volumes_from(conn, spec, ["db:ro"], []) == ["n1"]
    assert [one.source for one in spec.container.mounts] == ["mine", "/srv"]
    with pytest.raises(FailedPrecondition, match="not n2"):
        add_volumes_from(conn, spec, ["db"], ["n2"])
    with pytest.raises(InvalidArgument, match="rx"):
        add_volumes_from(conn, spec, ["db:rx"], [])
