"""Commands with several objects do all they can, name what failed, and say so with their exit code."""

import io
import json

import pytest
import yaml
from click.testing import CliRunner

from swarm.api.v1.control_pb2 import RootStatus
from swarm.cli.image import _chunks
from swarm.cli.main import cli
from swarm.manager.controlapi import ca
from tests.unit.cli.stage import served


@pytest.fixture
def run(tmp_path):
    with served(tmp_path) as address:
        yield lambda *words: CliRunner().invoke(cli, ["--host", address, *words])


@pytest.mark.parametrize(("noun", "there"), [("service", "web"), ("node", "alpha")])
def test_tasks_of_those_that_there_are_are_listed_beside_the_names_of_the_others(run, noun, there):
    alone, mixed = run(noun, "ps", "-q", there), run(noun, "ps", "-q", "nope", there, "none")
    assert alone.exit_code == 0
    assert mixed.exit_code == 1 or mixed.exception is not None
    assert mixed.stdout == alone.stdout != ""
    assert f"there is no {noun} nope" in mixed.stderr
    assert f"there is no {noun} none" in mixed.stderr


def test_nothing_is_listed_where_nothing_is_found(run):
    done = run("service", "ps", "nope")
    assert done.stdout == ""
    assert done.exit_code == 1


def test_lists_of_nodes_are_the_same_in_json_and_yaml(run, monkeypatch):
    monkeypatch.setattr(ca, "status", lambda _view: RootStatus())  # the cluster of the stage has no root
    as_json = [json.loads(line) for line in run("node", "ls", "--format", "json").stdout.splitlines()]
    assert yaml.safe_load(run("node", "ls", "--format", "yaml").stdout) == as_json


def test_an_archive_comes_in_through_a_pipe_of_which_nobody_knows_the_size():
    archive = bytes(range(256)) * 5000
    assert b"".join(one.chunk for one in _chunks(io.BytesIO(archive), "", 0)) == archive
