"""Lines that Docker's users type without thinking, and scripts have in them."""

import click
import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerSummary
from swarm.cli import container as container_commands
from swarm.cli import container_calls, container_plain, volume
from swarm.cli.main import cli
from swarm.cli.render import WrongTemplate
from swarm.cli.update import update as cluster_update
from swarm.errors import NotFound
from tests.unit.cli.stage import served


@pytest.fixture
def run(tmp_path):
    with served(tmp_path) as address:
        yield lambda *words: CliRunner().invoke(cli, ["--host", address, *words])


def test_a_volume_of_several_nodes_is_one_name_for_the_command_that_removes_it(run, monkeypatch):
    answers = [
        ContainerOutput(node_id=node, volume={"volume": {"name": name}})
        for name, node in (("data", "n1"), ("data", "n2"), ("logs", "n1"))
    ]
    monkeypatch.setattr(volume, "ask", lambda *_given: iter(answers))
    assert run("volume", "ls", "-q").stdout == "data\nlogs\n"
    assert run("volume", "ls", "--format", "{{.Name}}").stdout == "data\ndata\nlogs\n"


def test_what_is_removed_by_force_may_be_gone_already(run, monkeypatch):
    silent = []
    monkeypatch.setattr(container_calls, "ask", lambda *_given: iter(silent))
    gone = run("rm", "-f", "nobody")
    assert (gone.exit_code, gone.stdout) == (0, "")
    assert 'Warning: no container, task or service "nobody"' in gone.stderr
    assert run("rm", "nobody").exit_code == 1
    silent.append(ContainerOutput(notice="node alpha is down"))
    unknown = run("rm", "-f", "nobody")  # that node may have it
    assert unknown.exit_code == 1
    assert "node alpha is down" in unknown.stderr


def test_top_of_a_container_lists_its_processes(run, monkeypatch):
    def find(_conn, ref):
        raise NotFound(f"looked for {ref}")

    monkeypatch.setattr(container_commands, "find_container", find)
    done = run("top", "web.1")
    assert str(done.exception) == "looked for web.1"


def test_a_name_may_have_the_slash_that_inspect_shows(run, monkeypatch):
    asked = []

    def ask(_conn, request, _nodes):
        asked.extend(request.list.refs)
        return iter([ContainerOutput(node_id="n1", container=ContainerSummary(id="c1", name="db"))])

    monkeypatch.setattr(container_calls, "ask", ask)
    assert container_calls.find_plain(None, "/db").container_id == "c1"
    assert asked == ["db"]


@pytest.mark.parametrize(
    ("words", "of_containers"),
    [
        (["--restart", "always", "db"], True),
        (["--memory=64m", "db", "web"], True),
        (["db"], True),
        (["--autolock"], False),
        (["--task-history-limit", "10"], False),
        (["--memori", "64m", "db"], False),
        (["--help"], False),
    ],
)
def test_update_with_names_is_that_of_containers(words, of_containers):
    _, command, rest = cli.resolve_command(click.Context(cli), ["update", *words])
    assert command is (container_plain.update if of_containers else cluster_update)
    assert rest == words


def test_the_architecture_is_called_as_images_call_it(run, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert run("version", "--format", "{{.Client.Os}}/{{.Client.Arch}}").stdout == "linux/amd64\n"


@pytest.mark.parametrize(
    "words", [("service", "inspect", "web"), ("inspect", "web"), ("version",), ("events",)]
)
def test_what_is_no_template_ends_with_the_code_that_docker_has_for_it(run, words):
    done = run(*words, "--format", "{{.Name")
    assert isinstance(done.exception, WrongTemplate)
    assert (done.exception.exit_code, done.stdout) == (64, "")
