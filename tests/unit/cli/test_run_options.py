"""`container run` as hands and scripts of Docker type it: files for ids and labels, chosen streams."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest, OutputChunk
from swarm.api.v1.logs_pb2 import LOG_STREAM_STDERR, LOG_STREAM_STDOUT
from swarm.api.v1.plain_pb2 import PlainSpec
from swarm.api.v1.types_pb2 import BlockLimit
from swarm.cli import container_run
from swarm.cli.connect import Connection
from swarm.cli.container_run import create, run
from swarm.cli.container_view import container_options, resource_options
from swarm.errors import InvalidArgument, Unavailable

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

    def Operate(self, inputs: Any, timeout: float | None = None) -> Iterator[ContainerOutput]:
        request = next(iter(inputs)).question.request
        self.asked.append(request)
        if self.problem is not None:
            raise self.problem
        if request.HasField("create"):
            yield ContainerOutput(node_id="n1", created="c1")
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
