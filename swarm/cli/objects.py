"""Finding, listing and removing objects the same way for every noun."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from swarm.errors import SwarmError


def each(refs: Iterable[str], act: Callable[[str], str]) -> int:
    """Do `act` for every ref, print what it returns, go on after a failure; return the exit code."""
    failed = False
    for ref in refs:
        try:
            click.echo(act(ref))
        except SwarmError as problem:
            click.echo(f"Error: {problem}", err=True)
            failed = True
    return 1 if failed else 0


def inspect_options(metavar: str) -> Callable[[Any], Any]:
    """Add what every `inspect` of objects with a page for people takes: the objects, --format, --pretty."""

    def add(command: Any) -> Any:
        command = click.option("--pretty", is_flag=True, help="Print for people.")(command)
        command = click.option("-f", "--format", "layout", default="", help="json or TEMPLATE.")(command)
        return click.argument("refs", metavar=metavar, nargs=-1, required=True)(command)

    return add


def inspect(refs: Iterable[str], get: Callable[[str], Any], layout: str, *, pretty: bool = False) -> int:
    """Print the objects found as `--format` asks, then the failures; return the exit code.

    With `pretty`, `get` returns pages for people: they are printed as they are.
    """
    from swarm.cli.render import show_objects

    if pretty:
        return each(refs, get)
    found, problems = [], []
    for ref in refs:
        try:
            found.append(get(ref))
        except SwarmError as problem:
            problems.append(problem)
    if found or not layout:
        show_objects(found, layout)
    for failure in problems:
        click.echo(f"Error: {failure}", err=True)
    return 1 if problems else 0
