"""Completion in shells: commands and options, and the names of what is in the cluster and on this machine.

Only imported while a shell asks: `late` looks at the variable that the shell sets.
"""

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import click
from click.shell_completion import CompletionItem

from swarm.cli.completion_kinds import kinds
from swarm.cli.completion_local import LISTS as LOCAL
from swarm.cli.shortcuts import SHORTCUTS, SWARM
from swarm.errors import SwarmError

PATIENCE_S = 1.0  # a person waits with a finger on the Tab key


class ObjectName(click.ParamType[str]):
    """A text that the shell can complete with the names of objects."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the names that begin so; none where the cluster does not answer."""
        return [CompletionItem(name) for name in names_of(ctx, param, incomplete)]


def names_of(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names that begin so and are of what a parameter takes; none where nobody answers."""
    found: set[str] = set()
    for kind in kinds(_path(ctx), param):
        names = _names(ctx, kind.rstrip(":,"))
        if kind.endswith(","):
            before, comma, _ = incomplete.rpartition(",")
            found |= {f"{before}{comma}{name}" for name in names if name not in before.split(",")}
        else:
            found |= {f"{name}:" for name in names} if kind.endswith(":") else set(names)
    if not isinstance(param, click.Option):
        found -= set(ctx.params.get(param.name or "") or ())
    return [name for name in sorted(found) if name.startswith(incomplete)]


def _path(ctx: click.Context) -> str:
    """Return the words that lead to a command, as it is called where it has its place."""
    words = ctx.command_path.split()[1:]
    if words[:1] == ["swarm"] and words[1:2] and words[1] in SWARM:
        words = words[1:]
    return SHORTCUTS.get(" ".join(words), " ".join(words))


def add_names(command: click.Command) -> None:
    """Give the arguments and options of a command, and of all below it, names to complete with."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_names(inner)
    for param in command.params:
        if isinstance(param.type, click.types.StringParamType):
            param.type = ObjectName()


def _names(ctx: click.Context, kind: str) -> Iterable[str]:
    try:
        if kind in LOCAL:
            return LOCAL[kind]()
        from swarm.cli.completion_remote import LISTS, OF_STACK

        if kind not in OF_STACK:
            return _asked(ctx.find_root(), LISTS[kind])
        # Behind an option that lacks its value click leaves the arguments where they were.
        stack = ctx.params.get("name") or next(iter(ctx.args), "")
        return _asked(ctx.find_root(), partial(OF_STACK[kind], stack)) if stack else []
    except SwarmError:
        return []


def _asked(root: click.Context, list_: Callable[[Any, float], Iterable[str]]) -> Iterable[str]:
    from swarm.cli.connect import connect
    from swarm.cli.contexts import ContextStore, choose, default_root

    store = ContextStore(default_root(os.environ))
    host = choose(root.params.get("context"), root.params.get("host"), os.environ, store)
    with connect(host) as conn:
        return list(list_(conn, PATIENCE_S))
