"""What people see, in files that people can read: each command of a transcript prints what stands below it.

`SWARM_WRITE_TRANSCRIPTS=1 pytest THIS_FILE` writes what they print now; read the difference.
"""

import os
import shlex
from pathlib import Path

import click
import pytest

from swarm.cli.main import COMMANDS, cli, main
from tests.unit.cli.stage import NOW_NS, CountingSecrets, served

FOLDER = Path(__file__).with_name("transcripts")
SCENES = sorted(path.stem for path in FOLDER.glob("*.txt"))
PROMPT = "$ swarmctl "


@pytest.fixture(autouse=True)
def _the_same_each_time(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("swarm.clock.SystemClock.now_ns", lambda _self: NOW_NS)
    monkeypatch.setattr("swarm.ids.secrets", CountingSecrets())


def printed(words, capsys):
    """Return what a command prints, with what went wrong, and its exit code where it is not 0."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    text = "".join(capsys.readouterr())
    code = ended.value.code or 0
    lines = [line.rstrip() for line in text.splitlines()]
    return [*lines, *([f"(exit code {code})"] if code else [])]


def replayed(path, capsys):
    """Return a transcript with what its commands print now."""
    lines = []
    for line in path.read_text().splitlines():
        if line.startswith("#") or (line == "" and (not lines or lines[-1].startswith("#"))):
            lines.append(line)
        elif line.startswith(PROMPT):
            words = shlex.split(line.removeprefix(PROMPT))
            lines += [line, *printed(words, capsys), ""]
    return "\n".join(lines).rstrip() + "\n"


def check(path, now):
    if "SWARM_WRITE_TRANSCRIPTS" in os.environ:
        path.write_text(now)
    assert path.read_text() == now


@pytest.mark.parametrize("scene", SCENES)
def test_commands_print_what_their_transcript_says(scene, tmp_path, capsys, monkeypatch):
    path = FOLDER / f"{scene}.txt"
    with served(tmp_path) as address:
        monkeypatch.setenv("SWARMCTL_HOST", address)
        now = replayed(path, capsys).replace(str(tmp_path), "/run")
    check(path, now)


def commands_of(words):
    """Yield a command and all below it."""
    context = click.Context(cli, info_name="swarmctl")
    command = cli
    for word in words:
        command = command.get_command(context, word)
        context = click.Context(command, parent=context, info_name=word)
    yield words
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands_of((*words, name))


def forget_help(words):
    """Undo what click keeps from a test that called a command by itself: how its --help was called there."""
    command = cli
    for word in words:
        command = command.get_command(click.Context(cli), word)
    command._help_option = None


@pytest.mark.parametrize("noun", ["", *(name for name in COMMANDS if name != "swarm")])
def test_help_says_what_its_transcript_says(noun, capsys):
    path = FOLDER / "help" / f"{noun or 'swarmctl'}.txt"
    lines = []
    for words in commands_of((noun,)) if noun else [()]:
        forget_help(words)
        lines += [" ".join([PROMPT.strip(), *words, "--help"]), *printed([*words, "--help"], capsys), ""]
    check(path, "\n".join(lines).rstrip() + "\n")


def test_no_transcript_is_of_a_command_that_is_gone():
    known = {"swarmctl", *COMMANDS}
    assert {path.stem for path in (FOLDER / "help").iterdir()} <= known
