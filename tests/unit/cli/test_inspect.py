"""`inspect` of any kind, with templates that not every object answers."""

import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerOutput, ContainerSummary
from swarm.cli import container_calls, inspect
from swarm.cli.main import cli
from swarm.errors import NotFound
from tests.unit.cli.stage import served

TASK = {"ID": "t1", "DesiredState": "running", "Status": {"State": "running"}, "NodeID": "n1"}
CONTAINER = {"Id": "t1", "State": {"Pid": 7, "Status": "running"}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    def finds(view):
        def find(_conn, ref):
            if ref == "t1":
                return view
            raise NotFound(ref)

        return find

    monkeypatch.setitem(inspect.KINDS, "task", finds(TASK))
    monkeypatch.setitem(inspect.KINDS, "container", finds(CONTAINER))
    with served(tmp_path) as address:
        yield lambda *words: CliRunner().invoke(cli, ["--host", address, "inspect", *words])


@pytest.mark.parametrize(
    ("template", "said"),
    [("{{.Status.State}} {{.NodeID}}", "running n1"), ("{{.State.Pid}} {{.State.Status}}", "7 running")],
)
def test_a_task_and_its_container_have_one_id_and_the_one_with_the_fields_is_shown(run, template, said):
    assert run("-f", template, "t1").stdout.strip() == said


def test_containers_of_tasks_are_found_by_the_ids_of_these(tmp_path, monkeypatch):
    asked = []

    def answer(_conn, target, _request):
        asked.append(target)
        details = ContainerDetails(summary=ContainerSummary(id=target.container_id, pid=7))
        return [ContainerOutput(details=details)]

    monkeypatch.setattr(container_calls, "ask_one", answer)
    with served(tmp_path) as address:
        here = CliRunner().invoke(cli, ["--host", address, "service", "ps", "-q", "web"]).stdout.split()[0]
        done = CliRunner().invoke(cli, ["--host", address, "inspect", "-f", "{{.State.Pid}}", here])
    assert done.stdout.strip() == "7", done.stderr
    assert not asked[0].plain


def test_without_a_template_the_task_is_shown_and_a_field_of_neither_is_refused(run):
    assert '"NodeID": "n1"' in run("t1").stdout
    refused = run("-f", "{{.Nothing}}", "t1")
    assert refused.exit_code == 1
    assert "known: ID, DesiredState" in refused.stderr


def test_what_one_object_lacks_keeps_none_of_the_others_back(run):
    done = run("-f", "{{.NodeID}}", "web", "t1")
    assert (done.exit_code, done.stdout.strip()) == (1, "n1")
    assert 'there is no "NodeID" here' in done.stderr
