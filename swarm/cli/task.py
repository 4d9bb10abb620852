"""`swarmctl task`: one attempt to run a container, and what happened to it."""

from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import objects
from swarm.cli.connect import connect


@click.group()
def task() -> None:
    """Tasks: what they are and what happened to them."""


@task.command("inspect")
@click.argument("refs", metavar="TASK...", nargs=-1, required=True)
@click.option("-f", "--format", "layout", default="", help="json or TEMPLATE.")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str) -> None:
    """Show everything known of tasks."""
    from swarm.cli.inspect_view import task as view

    with connect(ctx.obj) as conn:

        def get(ref: str) -> Any:
            return view(conn.control.GetTask(c.GetTaskRequest(ref=ref)).task)

        ctx.exit(objects.inspect(refs, get, layout))


@task.command("history")
@click.argument("ref", metavar="TASK")
@click.pass_obj
def history(host: str, ref: str) -> None:
    """Tell what happened to a task, step by step."""
    from swarm.model.history import story

    with connect(host) as conn:
        found = conn.control.GetTask(c.GetTaskRequest(ref=ref)).task
    for line in story(found):
        click.echo(line)
