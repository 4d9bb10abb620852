"""`logs` of a service, a task and a container: one command, under three nouns."""

import sys
from typing import Any

import click

from swarm.cli.connect import connect
from swarm.cli.flags import FlagCommand

EPILOG = """\b
Examples:
  swarmctl {noun} logs -f --tail 100 {example}
  swarmctl {noun} logs --since 10m --until 5m -t {example}

The lines of each task come in order. A node that is down or does not answer is named in a warning; then the
exit code is 1.
"""

_OPTIONS = (
    click.option("-f", "--follow", is_flag=True, help="Go on with new output."),
    click.option("-n", "--tail", default="all", show_default=True, help="Last lines of each task."),
    click.option("--since", default="", help="Only after: RFC 3339 time or age such as 10m."),
    click.option("--until", default="", help="Only before: RFC 3339 time or age such as 10m."),
    click.option("-t", "--timestamps", is_flag=True, help="Print when each line was written."),
    click.option("--no-resolve", is_flag=True, help="Print ids instead of names."),
    click.option("--no-task-ids", is_flag=True, help="Do not print task ids."),
    click.option("--no-trunc", is_flag=True, help="Do not shorten ids."),
    click.option(
        "--details", is_flag=True, help="Before each line what --log-opt labels, env and tag name."
    ),
    click.option("--raw", is_flag=True, help="Print the output only."),
)


def logs_command(noun: str, metavar: str, example: str) -> click.Command:
    """Return the command for one noun."""

    def run_it(ctx: click.Context, /, ref: str, **given: Any) -> None:
        """Show what the containers of a service, or that of one task, wrote."""
        from swarm.cli.service_logs import show_logs

        # One container's output needs nobody's name before each line.
        given["of_container"] = noun == "container"
        given["raw"] = given["raw"] or given["of_container"]
        with connect(ctx.obj) as conn:
            if noun == "container":
                from swarm.cli.container_logs import show_container_logs

                ctx.exit(show_container_logs(conn, ref, given, sys.stdout.buffer, sys.stderr.buffer))
            ctx.exit(show_logs(conn, ref, given, sys.stdout.buffer, sys.stderr.buffer))

    run: Any = click.pass_context(run_it)
    for option in reversed(_OPTIONS):
        run = option(run)
    run = click.argument("ref", metavar=metavar)(run)
    return click.command("logs", cls=FlagCommand, epilog=EPILOG.format(noun=noun, example=example))(run)
