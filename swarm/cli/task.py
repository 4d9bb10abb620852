"""`swarmctl task`: one attempt to run a container, and what happened to it."""

from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import objects
from swarm.cli.connect import connect
from swarm.cli.exec import exec_command
from swarm.cli.flags import FlagGroup
from swarm.cli.logs import logs_command


@click.group(cls=FlagGroup)
def task() -> None:
    """Tasks: what they are and what happened to them."""


task.add_command(exec_command("task", "TASK", "web.1"))
task.add_command(logs_command("task", "TASK", "web.1"))


@task.command("inspect", epilog="\b\nExample:\n  swarmctl task inspect web.1")
@click.argument("refs", metavar="TASK...", nargs=-1, required=True)
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str) -> None:
    """Show everything known of tasks."""
    from swarm.cli.inspect_view import task as view

    with connect(ctx.obj) as conn:

        def get(ref: str) -> Any:
            return view(conn.control.GetTask(c.GetTaskRequest(ref=ref)).task)

        ctx.exit(objects.inspect(refs, get, layout))


@task.command(
    "history",
    epilog="\b\nExamples:\n  swarmctl task history web.1\n  swarmctl task history --format json 4x8k",
)
@click.argument("ref", metavar="TASK")
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_obj
def history(host: str, ref: str, layout: str) -> None:
    """Tell what happened to a task, step by step, and to those before it in its slot."""
    from swarm.cli.render import show_objects
    from swarm.cli.why_view import history_lines, history_view

    with connect(host) as conn:
        found = conn.control.ExplainTask(c.ExplainTaskRequest(ref=ref))
    if layout:
        show_objects([history_view(found)], layout)
        return
    for line in history_lines(found):
        click.echo(line)


@task.command(
    "why",
    epilog="\b\nExamples:\n"
    "  swarmctl task why web.1         # the newest task of slot 1 of service web\n"
    "  swarmctl task why 4x8k          # the beginning of an id\n"
    "  swarmctl task why --format json web.1",
)
@click.argument("ref", metavar="TASK")
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_obj
def why(host: str, ref: str, layout: str) -> None:
    """Tell why a task does not run, node by node where it waits for one, and what to do about it."""
    from swarm.cli.render import show_objects
    from swarm.cli.why_view import why_lines, why_view
    from swarm.clock import SystemClock

    with connect(host) as conn:
        found = conn.control.ExplainTask(c.ExplainTaskRequest(ref=ref))
    if layout:
        show_objects([why_view(found)], layout)
        return
    for line in why_lines(found, SystemClock().now_ns()):
        click.echo(line)
