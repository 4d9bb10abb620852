"""Everything that names an object completes with the names of those there are."""

import json

import click
import pytest

from swarm.cli.completion_kinds import kinds
from swarm.cli.completion_local import LISTS as LOCAL
from swarm.cli.completion_remote import LISTS as REMOTE
from swarm.cli.completion_remote import OF_STACK
from swarm.cli.contexts import Context, ContextStore
from swarm.cli.main import cli
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.store import MachineStore, Record
from tests.unit.cli.stage import served
from tests.unit.cli.test_main import complete

# What is no name of an object: new ones, commands of programs, places, tokens.
NAMELESS = {
    *("config create name", "secret create name", "context create name", "context import name"),
    *("network create name", "volume create name", "user create name", "machine create name"),
    *("container rename name", "container port port", "backup inspect file", "restore file"),
    *("context export file", "context import file", "machine import file", "image build context"),
    "image import name",
    *("join addresses", "swarm join addresses", "node rejoin addresses"),
}


def arguments(command=cli, path=(), ctx=None):
    ctx = ctx or click.Context(cli)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            yield from arguments(inner, (*path, name), click.Context(inner, info_name=name, parent=ctx))
        return
    for param in command.params:
        if isinstance(param, click.Argument):
            yield " ".join(path), param


def test_every_argument_that_names_an_object_completes():
    missing = []
    for path, param in arguments():
        plain = isinstance(param.type, click.types.StringParamType)
        new = f"{path} {param.name}" in NAMELESS or param.name in {"file", "args", "command"}
        if plain and not new and not kinds(path, param):
            missing.append(f"{path} {param.name}")
        if new:
            assert not kinds(path, param), f"{path} {param.name} is no name"
    assert missing == []


def test_every_kind_has_somebody_who_knows_its_names():
    asked = {kind.rstrip(":,") for path, param in arguments() for kind in kinds(path, param)}
    assert asked <= {*LOCAL, *REMOTE, *OF_STACK}


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".docker").mkdir()
    auths = {"registry.example.com:5000": {"auth": "YTpi"}}
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": auths}))
    ContextStore(tmp_path / "swarmctl").save(Context("lab", "ssh://lab"))
    machines = MachineStore(tmp_path / "data" / "swarmctl" / "machines")
    for name in ("m1", "m2"):
        machines.add(Record(name, "generic", Endpoint(Hop(name)), cluster="prod"))
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "SWARMCTL_HOST": "unix:///nonexistent",
    }


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("--context ", ["default", "lab"]),
        ("context use l", ["lab"]),
        ("machine ssh m", ["m1", "m2"]),
        ("machine rm m1 ", ["m2"]),
        ("machine exec m1,", ["m1,m2"]),
        ("machine scp m1", ["m1:"]),
        ("machine upgrade --cluster ", ["prod"]),
        ("machine create --driver g", ["generic"]),
        ("network create --driver o", ["overlay"]),
        ("logout reg", ["registry.example.com:5000"]),
        ("secret create --driver ", ["vault"]),
        ("machine create m", []),
        ("context create l", []),
    ],
)
def test_names_of_this_machine_need_no_cluster(home, line, names):
    assert complete(f"swarmctl {line}", **home) == names


def test_what_a_stack_has_completes_behind_its_name(home, tmp_path):
    with served(tmp_path) as address:
        there = {**home, "SWARMCTL_HOST": address}
        assert complete("swarmctl stack logs shop ", **there) == ["db"]
        assert complete("swarmctl stack logs shop db ", **there) == []
        assert complete("swarmctl stack rollback shop --to ", **there) == ["1"]
        assert complete("swarmctl stack rollback --to ", **there) == []
        assert complete("swarmctl stack rollback other --to ", **there) == []


def test_names_of_the_cluster(home, tmp_path):
    with served(tmp_path) as address:
        there = {**home, "SWARMCTL_HOST": address}
        assert complete("swarmctl node ps al", **there) == ["alpha"]
        assert "web" in complete("swarmctl inspect w", **there)
        assert complete("swarmctl rm web.", **there)[0] == "web.1"
        assert complete("swarmctl image push w", **there) == ["web:1"]
        assert complete("swarmctl volume create --driver l", **there) == ["local"]
