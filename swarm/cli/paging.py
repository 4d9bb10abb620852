"""Which commands may want a pager; the pager itself is imported on a terminal only."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

# What only shows something and comes to an end. `logs --follow` does not.
VERBS = frozenset(
    {
        "audit",
        "config",
        "df",
        "diff",
        "history",
        "inspect",
        "logs",
        "ls",
        "plan",
        "port",
        "ps",
        "services",
        "why",
    }
)


def page(command: click.Command) -> None:
    """Make `command`, and all below it, page what they print on a terminal: help, and lists by verb."""
    if command.get_help.__name__ == "paged_help":
        return
    print_help = command.get_help

    def paged_help(ctx: click.Context) -> str:
        begin()
        return print_help(ctx)

    command.get_help = paged_help  # type: ignore[method-assign]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            page(inner)
    elif command.name in VERBS and command.callback is not None:
        command.callback = _paged(command.callback)


def _paged(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def run(*args: Any, **given: Any) -> Any:
        if not given.get("follow"):
            begin()
        return callback(*args, **given)

    return run


def begin() -> None:
    """Page what is printed from here on, if it goes to a terminal and nobody said --no-pager."""
    if sys.stdout.isatty():
        from swarm.cli import pager

        pager.begin()


def end() -> None:
    """Show what is left, and wait for the reader of the pager."""
    if "swarm.cli.pager" in sys.modules:
        from swarm.cli import pager

        pager.end()
