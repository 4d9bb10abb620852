"""What people see of volumes."""

import json
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.volumes_pb2 import NodeVolume, VolumeAnswer
from swarm.cli import prune as prune_choice
from swarm.cli import volume as volume_commands
from swarm.cli.volume import volume
from swarm.cli.volume_view import page, rows
from swarm.clock import SECOND, timestamp
from swarm.errors import InvalidArgument

NODES = {"n1": "worker-1", "n2": "worker-2"}


def answer(name: str, node: str = "n1", **fields: object) -> ContainerOutput:
    found = NodeVolume(name=name, driver="local", mountpoint=f"/v/{name}", **fields)
    found.created_at.CopyFrom(timestamp(1_700_000_000 * SECOND))
    return ContainerOutput(node_id=node, volume=VolumeAnswer(volume=found))


ANSWERS = [
    answer("db-2", "n2", users=["db.2"], labels={"tier": "db"}),
    answer("db-1", users=["db.1", "copy.1"], labels={"tier": "db"}),
    answer("cache"),
    ContainerOutput(node_id="n1", volume=VolumeAnswer(refusal="no")),
    ContainerOutput(done=True),
]


def names(**filters: list[str]) -> list[str]:
    return [row["Name"] for row in rows(ANSWERS, filters, NODES)]


def test_volumes_are_listed_by_name_with_their_node_and_tasks() -> None:
    found = rows(ANSWERS, {}, NODES)
    assert [(row["Name"], row["Node"], row["Users"]) for row in found] == [
        ("cache", "worker-1", ""),
        ("db-1", "worker-1", "db.1, copy.1"),
        ("db-2", "worker-2", "db.2"),
    ]
    assert found[1]["Labels"] == "tier=db"
    assert {found[0][key] for key in ("Links", "Size", "Group", "Availability", "Status")} == {"N/A"}
    ten = [answer(name, labels={str(one): "" for one in range(20)}) for name in ("v10", "v2")]
    assert [row["Name"] for row in rows(ten, {}, NODES)] == ["v2", "v10"]
    labels = list(page(ten[0].volume.volume, "n1", NODES)["Labels"])
    assert labels == sorted(labels)


def test_filters_are_those_of_docker() -> None:
    assert names(name=["db"]) == ["db-1", "db-2"]
    assert names(name=["db-1", "cache"]) == ["cache", "db-1"]
    assert names(dangling=["true"]) == ["cache"]
    assert names(dangling=["0"]) == ["db-1", "db-2"]
    assert names(label=["tier"], driver=["local"]) == ["db-1", "db-2"]
    assert names(label=["tier", "tier=x"]) == []
    assert names(driver=["far"]) == []


def test_a_page_has_dockers_keys_and_the_node() -> None:
    found = page(ANSWERS[1].volume.volume, "n1", NODES)
    assert json.loads(json.dumps(found)) == {
        "CreatedAt": found["CreatedAt"],
        "Driver": "local",
        "Labels": {"tier": "db"},
        "Mountpoint": "/v/db-1",
        "Name": "db-1",
        "Options": {},
        "Scope": "local",
        "NodeID": "n1",
        "Node": "worker-1",
        "Users": ["db.1", "copy.1"],
    }
    assert str(found["CreatedAt"]).startswith("2023-11-14T")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ContainerRequest]:
    requests: list[ContainerRequest] = []

    def ask(_conn: object, request: ContainerRequest, _nodes: object) -> Iterator[ContainerOutput]:
        requests.append(request)
        return iter([answer("data"), answer("data", "n2")])

    for module in (volume_commands, prune_choice):
        monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr(volume_commands, "connect", nullcontext)
    monkeypatch.setattr("swarm.cli.tasks.node_names", lambda _conn: NODES)
    return requests


def run(*arguments: str) -> str:
    done = CliRunner().invoke(volume, arguments, obj="")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_only_names_are_printed_once_for_all_nodes(asked: list[ContainerRequest]) -> None:
    assert run("ls", "-q") == run("ls", "-q", "--format", "table") == "data\n"
    assert run("ls", "-q", "--format", "{{.Name}} on {{.Node}}") == "data on worker-1\ndata on worker-2\n"


def test_volumes_with_names_are_pruned_by_flag_or_by_filter(asked: list[ContainerRequest]) -> None:
    for arguments in (
        ("--all", "--filter=all=1", "--filter=all=TRUE"),
        ("--filter=all=0", "--filter=label=x"),
    ):
        for argument in arguments:
            assert run("prune", "--force", argument) == "Total reclaimed space: 0B\n"
    assert [one.prune_volumes.all for one in asked] == [True, True, True, False, False]


def test_the_name_of_a_new_volume_may_be_given_as_before(asked: list[ContainerRequest]) -> None:
    assert run("create", "--name", "data") == run("create", "data") == "data\n"
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create", "/srv/data"], "is no name for a volume"),
        (["create", "-d", "a/b", "data"], "no name of a volume driver"),
        (["create", "-o", "type=nfs", "data"], 'needs the option "device"'),
        (["ls", "--filter", "dangling=maybe"], "write true or false"),
        (["ls", "--filter", "size=1"], "KEY one of name, label, driver, dangling"),
        (["create", "--name", "a", "b"], "the volume has two names: a (--name) and b"),
        (["prune", "--force", "--filter", "until=1h"], "KEY one of label"),
        (["prune", "--force", "--filter", "all=yes"], "--filter all=yes: write true or false"),
        (["prune", "--all", "--force", "--filter", "all=1"], "say once which volumes are meant"),
    ],
)
def test_bad_input_is_one_error_before_any_node_is_asked(arguments: list[str], reason: str) -> None:
    done = CliRunner().invoke(volume, arguments, obj="unix:///nothing")
    assert isinstance(done.exception, InvalidArgument)
    assert reason in str(done.exception)
