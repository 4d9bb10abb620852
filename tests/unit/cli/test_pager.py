"""Which pager, and when."""

import pytest

from swarm.cli import pager


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"PAGER": "env -i x"}, ("env", "-i", "x")),
        ({"PAGER": "env", "SWARMCTL_PAGER": "sh -e"}, ("sh", "-e")),
        ({"PAGER": "env", "SWARMCTL_PAGER": ""}, ()),
        ({"PAGER": "cat"}, ()),
        ({"PAGER": " "}, ()),
        ({"PAGER": "no-such-program"}, ()),
        ({"PAGER": "'unbalanced"}, ()),
        ({"PAGER": "env", "TERM": "dumb"}, ()),
        ({}, ("less",)),
    ],
)
def test_the_pager_is_what_the_environment_says_and_only_one_that_is_there(env, words):
    assert pager.command({"TERM": "xterm", **env}) == words


@pytest.mark.parametrize(
    ("text", "rows"),
    [(b"", 0), (b"a\nb\n", 2), (b"\n\n", 2), (b"x" * 80, 1), (b"x" * 81, 2), (b"x" * 160 + b"\ny", 3)],
)
def test_long_lines_take_more_than_one_row(text, rows):
    assert pager.rows_of(text, 80) == rows
