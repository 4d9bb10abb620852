"""Docker's commands and flags: docs/docker.md says what became of each."""

from pathlib import Path

import pytest

from swarm.cli.shortcuts import NOT_HERE
from tools.docker_table.__main__ import COMMANDS, REASONS, command_of, flags_of, page, reason_for

DOC = Path(__file__).parents[3] / "docs" / "docker.md"


def absent_flags():
    for command, flags in COMMANDS.items():
        ours = command_of(command)
        if ours is not None:
            yield from ((command, flag) for flag in flags if flag not in flags_of(ours))


def test_the_page_is_what_the_commands_are():
    assert DOC.read_text() == page(), "python -m tools.docker_table > docs/docker.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_not_here_has_a_reason(command):
    if command_of(command) is None:
        assert NOT_HERE[command]
    unexplained = [flag for name, flag in absent_flags() if name == command and not reason_for(name, flag)]
    assert not unexplained


def test_no_reason_is_given_for_what_is_here():
    gone = {command for command in NOT_HERE if command_of(command) is not None}
    known = {name for command, flag in absent_flags() for name in (flag, f"{command} --{flag}")}
    assert not gone | (REASONS.keys() - known)
