"""docs/scripting.md: what scripts rely on is what the programs do."""

import inspect
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from swarm import errors
from swarm.api.v1.containers_pb2 import ContainerOutput
from swarm.api.v1.users_pb2 import User
from swarm.cli import container_table, node, plan, progress, stack_diff, system_view, user_view, volume_view
from swarm.cli.main import COMMANDS, cli
from swarm.cli.render import WrongTemplate
from swarm.machine import errors as machine_errors
from tests.unit.cli.stage import served

PAGE = (Path(__file__).parents[3] / "docs" / "scripting.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]
FIELDS = {
    row[0].strip("`"): row[1].split(", ") for row in ROWS if len(row) == 2 and re.match(r"`\w+ \w+", row[0])
}
CODES = {(row[0], row[1], row[2]) for row in ROWS if len(row) == 3}


def _answer(**given):
    return ContainerOutput(node_id="n1", **given)


# What only nodes answer is compared without them.
FROM_NODES = {
    "container ls": lambda: container_table.rows(
        [_answer(container={"id": "c"})], {}, {}, 0, truncate=False, described={}
    ),
    "volume ls": lambda: volume_view.rows([_answer(volume={"volume": {"name": "v"}})], {}, {}),
    "system df": lambda: system_view.rows([_answer(disk={})], {}),
    "user ls": lambda: [user_view.row(User(), 0)],
    "node ls": lambda: [node._row(node.o.Node(), "", node.c.RootStatus())],
}


@pytest.mark.parametrize("command", sorted(FIELDS.keys() - FROM_NODES.keys()))
def test_json_has_the_fields_that_the_page_lists(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with served(tmp_path) as address:
        done = CliRunner().invoke(cli, ["--host", address, *command.split(), "--format", "json"])
    assert done.exit_code == 0, done.output
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError:  # an object a line
        found = [json.loads(line) for line in done.stdout.splitlines()]
    for one in found if isinstance(found, list) else [found]:
        assert set(FIELDS[command]) <= set(one)
        assert set(one) <= {*FIELDS[command], *OPTIONAL}, "a new field is worth a word on the page"


OPTIONAL = {"ManagerStatus", "UpdateStatus", "JobStatus"}


@pytest.mark.parametrize("command", FROM_NODES)
def test_what_nodes_answer_has_the_fields_that_the_page_lists(command):
    for row in FROM_NODES[command]():
        assert set(row) - {"IDMark", "StatusMark"} == set(FIELDS[command])  # marks are not in the JSON


def test_every_noun_with_a_list_is_on_the_page():
    context_of = {command.split()[0] for command in FIELDS}
    assert {"config", "container", "context", "image", "network", "node", "secret"} <= context_of
    assert {"service", "stack", "system", "volume"} <= context_of
    assert context_of <= COMMANDS.keys()


def _leaves(base):
    return {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, base) and found is not base
    }


def test_every_error_is_on_the_page_and_has_exit_code_1():
    told = {row[0] for row in ROWS if len(row) == 2 and re.fullmatch(r"[A-Z]\w+", row[0])}
    assert told == _leaves(errors.UserError) | _leaves(errors.TransientError)
    assert not any(hasattr(getattr(errors, name), "exit_code") for name in told)


def test_codes_of_waiting_and_planning_are_those_of_the_page():
    waiting = "those that wait for services"
    assert (waiting, str(progress.EXIT_PAUSED), "the update paused") in CODES
    assert (waiting, str(progress.EXIT_ROLLED_BACK), "the update was rolled back") in CODES
    assert ("`--dry-run`, `service plan`", str(plan.EXIT_DOES_NOT_FIT), "something does not fit") in CODES
    assert ("`stack diff`", str(stack_diff.EXIT_OTHER), "there are differences") in CODES
    assert ("`stack diff`", str(stack_diff.EXIT_TROUBLE), "they could not be found out") in CODES
    of_one = "`inspect` of all kinds, `info`, `version`, `events`"
    assert (of_one, str(WrongTemplate.exit_code), "what `--format` gives is no template") in CODES
    assert progress.EXIT_DETACHED == 130
    assert "| 130 | interrupted (Ctrl-C)" in PAGE


def test_codes_of_machines_are_those_of_the_page():
    wanted = {
        ("`machine`, `cluster`, `doctor`", str(found.exit_code), name)
        for name, found in vars(machine_errors).items()
        if inspect.isclass(found) and getattr(found, "exit_code", 1) != 1 and "exit_code" in vars(found)
    }
    assert wanted == {row for row in CODES if row[0].startswith("`machine`")}
