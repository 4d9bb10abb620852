"""The commands by all their names, and what a shell completes."""

import copy
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from swarm.cli.completion import ObjectName, add_names
from swarm.cli.completion_kinds import kinds
from swarm.cli.completion_scripts import SHELLS, VARIABLE
from swarm.cli.main import COMMANDS, cli, main
from swarm.cli.shortcuts import SHORTCUTS, SWARM


def found(*words):
    context = click.Context(cli, info_name="swarmctl")
    command = cli
    for word in words:
        command = command.get_command(context, word)
        context = click.Context(command, parent=context, info_name=word)
    return command


def every_command(command, words=()):
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, parent=click.Context(cli), info_name="x")
        for name in command.list_commands(context):
            yield from every_command(command.get_command(context, name), (*words, name))


ALL = [(words, command) for words, command in every_command(cli) if words]


@pytest.mark.parametrize("short", SHORTCUTS)
def test_a_shortcut_is_the_command_that_it_names(short):
    assert found(short) is found(*SHORTCUTS[short].split())
    assert short not in COMMANDS


@pytest.mark.parametrize("name", SWARM)
def test_commands_of_the_cluster_also_have_the_name_that_docker_gave_them(name):
    assert found("swarm", name) is found(name)


@pytest.mark.parametrize(("noun", "other", "name"), [("node", "list", "ls"), ("service", "remove", "rm")])
def test_ls_and_rm_have_long_names_that_help_does_not_list(noun, other, name):
    assert found(noun, other) is found(noun, name)
    assert f"\n  {other} " not in CliRunner().invoke(cli, [noun, "--help"]).output


@pytest.mark.parametrize("words", [words for words, _ in ALL], ids=" ".join)
def test_every_command_says_what_it_is_for(words):
    command = dict(ALL)[words]
    assert command.get_short_help_str(200), words
    assert CliRunner().invoke(cli, [*words, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("typed", "meant"), [(["servce"], "service"), (["service", "lst"], "ls"), (["ls", "--x"], "")]
)
def test_what_was_mistyped_is_named_with_what_it_looks_like(typed, meant):
    refused = CliRunner().invoke(cli, typed)
    assert refused.exit_code == 2
    assert "Error: No such command" in refused.output
    assert meant in refused.output


def complete(line, **env):
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "swarm.cli.main"],
        env={VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [one.partition(",")[2] for one in done.stdout.splitlines() if one]


def test_commands_and_options_are_completed():
    assert complete("swarmctl ser") == ["service"]
    assert "--replicas-max" in complete("swarmctl service create --repl")


def test_names_are_not_completed_where_no_cluster_answers():
    assert complete("swarmctl service rm ", SWARMCTL_HOST="unix:///nonexistent") == []


def test_arguments_and_options_that_name_objects_know_of_which_kind():
    command = copy.deepcopy(found("service", "create"))
    add_names(command)
    params = {param.name: param for param in command.params}
    assert isinstance(params["image"].type, ObjectName)
    assert kinds("service create", params["image"]) == ["IMAGE"]
    assert kinds("service create", params["network"]) == ["NETWORK"]
    assert kinds("service create", params["name"]) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_its_script(shell):
    printed = CliRunner().invoke(cli, ["completion", shell])
    assert printed.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in printed.output


@pytest.mark.parametrize(
    "words", [words for words, one in ALL if not isinstance(one, click.Group)], ids=" ".join
)
def test_help_of_every_command_has_an_example(words):
    command = dict(ALL)[words]
    text = f"{command.help}\n{command.epilog}"
    assert re.search(rf"swarmctl .*\b{command.name}\b", text), f"no example of {' '.join(words)}"


@pytest.mark.parametrize(
    "options",
    [
        ("--memory", "99999999t"),
        ("--cpus", "99999999999999999999"),
        ("--health-cmd", "true", "--health-interval", "99999999999999h"),
        ("--cpu-shares", "99999999999999999999"),
        ("--oom-score-adj", "99999999999999"),
    ],
    ids=lambda options: options[-2],
)
def test_a_number_that_nothing_can_hold_is_refused_in_a_sentence(options, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["-H", "unix:///nowhere", "run", *options, "web:1"])
    said = capsys.readouterr().err
    assert ended.value.code not in (0, 2)
    assert said.startswith("Error: ")
    assert options[-1] in said
    assert "larger than" in said


@pytest.mark.parametrize("options", [("-v", "../x:/y"), ("--memory", "lots"), ("-p", "80:http")], ids=str)
def test_a_container_that_could_not_be_made_is_told_from_one_that_ended_with_1(options):
    with pytest.raises(SystemExit) as ended:
        main(["-H", "unix:///nowhere", "run", *options, "web:1"])
    assert ended.value.code == 125
