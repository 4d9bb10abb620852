"""Commands that are imported when they are asked for."""

import importlib
import os
from collections.abc import Mapping

import click

from swarm.cli.completion_scripts import VARIABLE
from swarm.cli.flags import FlagGroup
from swarm.cli.paging import page
from swarm.cli.postponed import OTHER_PROTOBUF, postpone


def load(place: str) -> click.Command:
    """Import the command at `module:attribute`, with paging, and with names to complete if a shell asks."""
    postpone(OTHER_PROTOBUF)
    module, _, attribute = place.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    if VARIABLE in os.environ:
        from swarm.cli.completion import add_names

        add_names(command)
    page(command)
    return command


def late_group(elsewhere: Mapping[str, str], kind: type[click.Group] = FlagGroup) -> type[click.Group]:
    """Return a `kind` of group that has commands in other modules, too: name -> `module:attribute`."""

    class Late(kind):  # type: ignore[valid-type, misc]
        def list_commands(self, ctx: click.Context) -> list[str]:
            return sorted([*super().list_commands(ctx), *elsewhere])

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            if cmd_name in elsewhere:
                return load(elsewhere[cmd_name])
            found: click.Command | None = super().get_command(ctx, cmd_name)
            return found

    return Late
