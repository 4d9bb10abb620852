"""Commands with several objects do all they can, name what failed, and say so with their exit code."""

import io
import json
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner

from swarm.api.v1.control_pb2 import Filters, ListServicesResponse, RootStatus
from swarm.api.v1.objects_pb2 import Image
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.connect import connect
from swarm.cli.container_run import _by_name
from swarm.cli.image import _chunks
from swarm.cli.inspect_view import service_spec
from swarm.cli.main import cli
from swarm.cli.service_group import show_services
from swarm.manager.controlapi import ca
from tests.unit.cli.stage import ListedImages, served


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


def test_an_image_is_inspected_by_its_id_and_among_all_kinds(run):
    short = run("images", "-q").stdout.strip()
    for words in (("image", "inspect"), ("inspect", "--type", "image")):
        done = run(*words, "-f", "{{.Id}} {{.RepoTags}}", short)
        assert (done.exit_code, done.stdout) == (0, "sha256:" + "ab" * 32 + " [web:1]\n"), done.output


def test_a_container_is_made_of_the_image_whose_id_is_given(run, tmp_path):
    with connect(f"unix://{tmp_path / 'control.sock'}") as conn:
        assert _by_name(conn, "ab" * 6) == "docker.io/library/web:1"
        assert _by_name(conn, "sha256:" + "ab" * 32) == "docker.io/library/web:1"
        for other in ("web", "cd" * 6, "abab"):
            assert _by_name(conn, other) == other


def test_all_names_of_an_image_go_by_force_only(run, monkeypatch):
    removed = []
    monkeypatch.setattr("swarm.cli.image_users.check_plain_users", lambda *_given, **_more: None)

    def two_names(_images, _filters):
        image = Image(id="one", digest="sha256:" + "ab" * 32)
        image.annotations.name = "docker.io/library/web:1"
        other = Image(id="two", digest=image.digest)
        other.annotations.name = "docker.io/library/web:stable"
        return [image, other]

    async def remove(_images, ref, *, force):
        removed.append((ref, force))
        return ref

    monkeypatch.setattr(ListedImages, "list", two_names)
    monkeypatch.setattr(ListedImages, "remove", remove)
    refused = run("rmi", "ab" * 6)
    assert refused.exit_code == 1
    assert "2 names (web:1, web:stable)" in refused.stderr
    assert removed == []
    assert run("rmi", "-f", "ab" * 6).exit_code == 0
    assert removed == [("one", True), ("two", True)]
    assert run("rmi", "web:stable").exit_code == 0
    assert removed[2:] == [("two", False)]
    assert run("rmi", "web:stable").stdout == "Untagged: web:stable\n"  # the content has another name
    both = run("rmi", "-f", "ab" * 6).stdout.splitlines()
    assert both == ["Untagged: web:1", "Untagged: web:stable", "Deleted: sha256:" + "ab" * 32]
    gone = run("rmi", "-f", "nosuch")
    assert (gone.exit_code, gone.stdout) == (0, "")
    assert "Warning: image nosuch is not loaded" in gone.stderr
    assert run("rmi", "nosuch").exit_code == 1


def test_a_stack_that_is_gone_already_is_removed_but_cannot_be_looked_at(run):
    removed = run("stack", "rm", "nope", "none")
    assert removed.exit_code == 0, removed.output
    assert "Warning: there is no stack nope" in removed.stderr
    assert "Warning: there is no stack none" in removed.stderr
    assert run("stack", "rm", "--dry-run", "nope").exit_code == 1
    for verb in ("ps", "services"):
        assert "there is no stack nope" in str(run("stack", verb, "nope").exception)


def test_services_are_in_the_order_of_their_numbers(capsys):
    answer = ListServicesResponse()
    for name in ("web10", "web9"):
        answer.services.add().spec.annotations.name = name
        answer.statuses.add()
    conn = SimpleNamespace(control=SimpleNamespace(ListServices=lambda _request: answer))
    show_services(conn, Filters(), "{{.Name}}", quiet=False)
    assert capsys.readouterr().out == "web9\nweb10\n"


def test_labels_of_a_service_are_in_the_order_of_their_keys():
    labels = {str(key): "" for key in range(20)}
    spec = ServiceSpec()
    spec.annotations.labels.update(labels)
    spec.task.container.labels.update(labels)
    shown = service_spec(spec)
    for told in (shown["Labels"], shown["TaskTemplate"]["ContainerSpec"]["Labels"]):
        assert list(told) == sorted(labels)
