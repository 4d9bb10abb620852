"""What loses data: every such command asks, or wants to be told that people mean it."""

import io

import click
import pytest
from click.testing import CliRunner

from swarm.cli.confirm import Declined, confirm_on_terminal
from swarm.cli.main import cli, main
from tests.unit.cli.test_main import ALL

# What is lost is not named one by one: a question, unless the option says that it is meant.
ASKS = {
    "container prune": "--force",
    "image prune": "--force",
    "network prune": "--force",
    "system prune": "--force",
    "volume prune": "--force",
}
# Named by whoever types it. On a terminal a question all the same; a script is not asked, as Docker does it.
ASKS_ON_TERMINALS = {"volume rm": "--yes"}
# The same as ASKS for machines, whose records are read first: see tests/unit/machine.
MACHINES = {"machine rm": "--yes", "cluster down": "--yes"}
# Refused by the cluster without --force where something would be lost.
NEEDS_FORCE = {"node rm", "leave", "swarm leave", "container rm", "image rm", "context rm", "restore"}
# No data is lost: what is in use is refused, what a spec describes can be made again, and volumes stay.
HARMLESS = {
    "config rm",
    "secret rm",
    "network rm",
    "service rm",
    "stack rm",
    "stack down",
    "user rm",
    "dev down",
}

DESTRUCTIVE = {"rm", "prune", "down", "leave", "restore", "remove", "destroy", "reset", "delete"}


def test_every_command_that_removes_something_is_judged_here():
    found = {" ".join(words) for words, _ in ALL if words[-1] in DESTRUCTIVE}
    judged = {*ASKS, *ASKS_ON_TERMINALS, *MACHINES, *NEEDS_FORCE, *HARMLESS}
    assert found == judged


@pytest.mark.parametrize("words", sorted({*ASKS, *ASKS_ON_TERMINALS, *MACHINES, *NEEDS_FORCE}))
def test_every_command_that_loses_data_can_be_told_that_it_is_meant(words):
    command = {" ".join(words): command for words, command in ALL}[words]
    sure = {**ASKS, **ASKS_ON_TERMINALS, **MACHINES}.get(words, "--force")
    assert sure in {
        name for param in command.params if isinstance(param, click.Option) for name in param.opts
    }


def run(words, answer):
    host = ["--host", "unix:///nonexistent"]
    return CliRunner().invoke(cli, [*host, *words.split()], input=answer, standalone_mode=False)


@pytest.mark.parametrize("words", ASKS)
@pytest.mark.parametrize("answer", ["n\n", "\n", "", "what\n"])
def test_without_a_yes_nothing_is_done(words, answer):
    done = run(words, answer)
    assert isinstance(done.exception, click.ClickException)
    assert "cancelled, nothing was removed; --force does not ask" in str(done.exception)
    assert "Go on? [y/N]" in done.output


@pytest.mark.parametrize(
    ("words", "answer"),
    [*((words, "y\n") for words in ASKS), *((f"{words} {sure}", "") for words, sure in ASKS.items())],
)
def test_with_a_yes_or_the_option_the_cluster_is_asked(words, answer):
    assert "cannot reach swarmd" in str(run(words, answer).exception)


@pytest.mark.parametrize(("words", "sure"), ASKS_ON_TERMINALS.items())
def test_what_is_named_is_asked_for_on_a_terminal_only(words, sure, monkeypatch):
    assert "cannot reach swarmd" in str(run(f"{words} x", "").exception)
    monkeypatch.setattr("swarm.cli.volume.confirm_on_terminal", _refuse)
    assert "asked" in str(run(f"{words} x", "").exception)
    assert "cannot reach swarmd" in str(run(f"{words} {sure} x", "").exception)


def _refuse(*_):
    raise click.ClickException("asked")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_who_sits_at_a_terminal_is_asked_and_a_pipe_is_not(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    with pytest.raises(Declined):
        confirm_on_terminal("This removes everything.", "--yes")
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    confirm_on_terminal("This removes everything.", "--yes")


def test_a_no_is_exit_code_1_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        main(["--host", "unix:///nonexistent", "volume", "prune"])
    assert ended.value.code == 1
    assert "Error: cancelled, nothing was removed" in capsys.readouterr().err
