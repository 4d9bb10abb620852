"""What Docker's config.json says of formats, keys and prunes holds here too."""

import json

import click
import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import ContainerOutput
from swarm.cli import container, volume
from swarm.cli.docker_settings import DETACH_KEYS
from swarm.cli.main import cli
from swarm.cli.prune import LABELS, chosen
from tests.unit.cli.stage import served


@pytest.fixture
def say(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return (tmp_path / "config.json").write_text


@pytest.fixture
def run(tmp_path):
    with served(tmp_path) as address:
        yield lambda *words: CliRunner().invoke(cli, ["--host", address, *words])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("imagesFormat", ("images",)),
        ("networksFormat", ("network", "ls")),
        ("nodesFormat", ("node", "ls")),
        ("servicesFormat", ("service", "ls")),
        ("servicesFormat", ("stack", "services", "shop")),
        ("serviceInspectFormat", ("service", "inspect", "web")),
        ("tasksFormat", ("service", "ps", "web")),
        ("secretFormat", ("secret", "ls")),
        ("configFormat", ("config", "ls")),
    ],
)
def test_a_list_looks_as_set_unless_it_is_told_how(say, run, key, words):
    say(json.dumps({key: "set {{len .ID}}"}))
    assert run(*words).stdout.startswith("set ")
    assert run(*words, "--format", "given").stdout.startswith("given")
    quiet = "--pretty" if words[1:2] == ("inspect",) else "-q"
    assert "set" not in run(*words, quiet).stdout.split()


def test_lists_of_what_nodes_have_look_as_set(say, run, monkeypatch):
    found = [
        ContainerOutput(node_id="n1", container={"id": "c1", "name": "db", "state": "running"}),
        ContainerOutput(node_id="n1", volume={"volume": {"name": "data"}}),
    ]
    for module in (container, volume):
        monkeypatch.setattr(module, "ask", lambda *_given: iter(found))
    say('{"psFormat": "set {{.Names}}", "volumesFormat": "set {{.Name}}"}')
    assert run("ps").stdout == "set db\n"
    assert run("ps", "-q").stdout == "c1\n"
    assert run("ps", "-q", "--format", "raw").stdout == "container_id: c1\n"
    assert run("volume", "ls").stdout == "set data\n"
    assert run("volume", "ls", "-q").stdout == "data\n"


def test_beside_quiet_the_format_of_containers_is_ignored(run, monkeypatch):
    monkeypatch.setattr(container, "ask", lambda *_given: iter(()))
    assert "--format is ignored beside --quiet" in run("ps", "-q", "--format", "{{.Names}}").stderr


def test_keys_that_detach_are_those_that_are_set(say):
    shown = click.Command("attach")
    DETACH_KEYS(shown)
    assert shown.make_context("attach", []).params["detach_keys"] == "ctrl-p,ctrl-q"
    say('{"detachKeys": "ctrl-x"}')
    assert shown.make_context("attach", []).params["detach_keys"] == "ctrl-x"
    assert shown.make_context("attach", ["--detach-keys", "q"]).params["detach_keys"] == "q"


def test_every_prune_spares_what_is_to_be_spared_unless_it_is_asked_for(say):
    say('{"pruneFilters": ["label!=keep", "label=old", "until=1h", 7]}')
    assert (chosen(()).without_labels, chosen(()).labels) == (["keep"], ["old"])
    assert chosen(()).before_ns
    assert not chosen((), LABELS).before_ns
    asked = chosen(("label=keep", "label!=old"))
    assert (asked.labels, asked.without_labels) == (["keep"], ["old"])


@pytest.mark.parametrize("text", ["{", "[]", '{"imagesFormat": 7}', ""])
def test_settings_that_make_no_sense_hold_for_nothing(say, run, text):
    say(text)
    done = run("images")
    assert (done.exit_code, done.stdout.split()[0]) == (0, "REPOSITORY")
    assert ("Warning: cannot read" in done.stderr) == (text == "{")
