"""`swarmctl stack logs`: what all services of a stack write, told apart by name and colour."""

import os
import sys
from typing import Any, BinaryIO

import click

from swarm.api.v1.logs_pb2 import LogMessage, LogSelector
from swarm.api.v1.objects_pb2 import Service
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagCommand
from swarm.cli.live import can_draw
from swarm.cli.stack_calls import existing
from swarm.errors import NotFound

_BASIC = ("cyan", "yellow", "green", "magenta", "blue")
COLOURS = (*_BASIC, *(f"bright_{one}" for one in _BASIC))


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl stack logs -f --tail 100 shop\n"
    "  swarmctl stack logs --since 10m -t shop web db      # of these services only\n\n"
    "-f goes on with tasks that come later, and without SERVICE with services that a later deploy makes. "
    "The lines of each task come in order. A node that is down or does not answer is named in a warning; "
    "then the exit code is 1.",
)
@click.argument("name", metavar="STACK")
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with new output.")
@click.option("-n", "--tail", default="all", show_default=True, help="Last lines of each task.")
@click.option("--since", default="", help="Only after: RFC 3339 time or age such as 10m.")
@click.option("--until", default="", help="Only before: RFC 3339 time or age such as 10m.")
@click.option("-t", "--timestamps", is_flag=True, help="Print when each line was written.")
@click.option("--no-color", is_flag=True, help="Without colours, as with the variable NO_COLOR.")
@click.option("--no-log-prefix", "raw", is_flag=True, help="Print the output only.")
@click.pass_context
def logs(ctx: click.Context, /, name: str, services: tuple[str, ...], no_color: bool, **given: Any) -> None:
    """Show what the tasks of a stack wrote, those of some services or of all."""
    from swarm.cli.service_logs import show_selected

    colourful = can_draw(sys.stdout) and not no_color and not os.environ.get("NO_COLOR")
    with connect(ctx.obj) as conn:
        found = _chosen(name, existing(conn, name), services)
        # By its name, so that services which a later deploy makes are followed, too.
        ids = [one.id for one in found] if services else []
        selector = LogSelector(service_ids=ids, stack="" if services else name)
        prefixes = StackPrefixes(conn, name, given, colourful=colourful)
        ctx.exit(show_selected(conn, selector, given, prefixes, _out(), sys.stderr.buffer))


def _out() -> BinaryIO:
    return sys.stdout.buffer


def _chosen(stack: str, there: list[Service], names: tuple[str, ...]) -> list[Service]:
    """Return the services that are asked for, all without names; raises NotFound."""
    known = {one.spec.annotations.name: one for one in there}
    short = {name.removeprefix(f"{stack}_"): one for name, one in known.items()}
    for name in names:
        if name not in known and name not in short:
            raise NotFound(f"stack {stack} has no service {name}; it has {', '.join(sorted(short))}")
    return [known.get(name) or short[name] for name in dict.fromkeys(names)] or there


class StackPrefixes:
    """What stands before each line: `web.1@node | `, with a colour for each task."""

    def __init__(self, conn: Connection, stack: str, given: dict[str, Any], *, colourful: bool) -> None:
        """`given` are the options; without `colourful` the terminal is told nothing of colours."""
        from swarm.cli.service_logs import Prefixes

        self._plain = Prefixes(conn, {**given, "no_resolve": False, "no_trunc": False, "no_task_ids": True})
        self._stack = stack
        self._raw = given["raw"]
        self._colourful = colourful
        self._colours: dict[str, str] = {}
        self._width = 0

    def of(self, message: LogMessage) -> str:
        """Return the prefix for one line."""
        from swarm.cli.inspect_view import when

        stamp = f"{when(message.timestamp)} " if self._plain.with_times else ""
        if self._raw:
            return stamp
        source = self._plain.source(message).removeprefix(f"{self._stack}_")
        self._width = max(self._width, len(source))
        colour = self._colours.setdefault(message.task_id, COLOURS[len(self._colours) % len(COLOURS)])
        text = f"{source:<{self._width}} | "
        return (click.style(text, fg=colour) if self._colourful else text) + stamp
