"""Finding, listing and removing objects the same way for every noun."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import click

from swarm.errors import SwarmError

R = TypeVar("R")


def each(refs: Iterable[str], act: Callable[[str], str | None]) -> int:
    """Do `act` for every ref, print what it returns, go on after a failure; return the exit code."""
    failed = False
    for ref in refs:
        try:
            done = act(ref)
            if done is not None:
                click.echo(done)
        except SwarmError as problem:
            click.echo(f"Error: {problem}", err=True)
            failed = True
    return 1 if failed else 0


def found(refs: Iterable[str], get: Callable[[str], R]) -> tuple[list[R], list[SwarmError]]:
    """Return the objects that there are, and what is wrong with the others."""
    objects: list[R] = []
    problems: list[SwarmError] = []
    for ref in refs:
        try:
            objects.append(get(ref))
        except SwarmError as problem:
            problems.append(problem)
    return objects, problems


def failures(problems: Iterable[SwarmError]) -> int:
    """Print what is wrong, each in a line; return the exit code."""
    code = 0
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
        code = 1
    return code


def inspect_options(metavar: str) -> Callable[[Any], Any]:
    """Add what every `inspect` of objects with a page for people takes: the objects, --format, --pretty."""

    def add(run: Any) -> Any:
        @wraps(run)
        def command(*args: Any, layout: str, pretty: bool, **rest: Any) -> Any:
            if pretty and layout:
                raise click.UsageError("--format and --pretty: give one of them")
            is_pretty = pretty or layout == "pretty"
            return run(*args, layout="" if is_pretty else layout, pretty=is_pretty, **rest)

        command = click.option("--pretty", is_flag=True, help="Print for people.")(command)
        layout = click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
        command = layout(command)
        return click.argument("refs", metavar=metavar, nargs=-1, required=True)(command)

    return add


def inspect(refs: Iterable[str], get: Callable[[str], Any], layout: str, *, pretty: bool = False) -> int:
    """Print the objects found as `--format` asks, then the failures; return the exit code.

    With `pretty`, `get` returns pages for people: they are printed as they are.
    """
    from swarm.cli.render import check, show_objects

    if pretty:
        return each(refs, get)
    check(layout)
    shown, problems = found(refs, get)
    if layout in {"", "json", "yaml"}:
        if shown or not layout:
            show_objects(shown, layout)
        return failures(problems)
    for one in shown:
        try:
            show_objects([one], layout)
        except SwarmError as problem:  # what a template asks of one, another may have
            problems.append(problem)
    return failures(problems)
