"""`swarmctl version`: what runs here and there."""

import importlib.metadata
import platform
from typing import Any

import click

from swarm.errors import SwarmError


@click.command(epilog="\b\nExamples:\n  swarmctl version\n  swarmctl version --format '{{.Server.Version}}'")
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_context
def version(ctx: click.Context, layout: str) -> None:
    """Show the versions of swarmctl and of the node it talks to.

    Exit code 1: the node could not be asked; what is known here is shown all the same.
    """
    from swarm.cli.render import show_object
    from swarm.model.platform import normal_architecture

    view: dict[str, Any] = {
        "Client": {
            "Version": importlib.metadata.version("swarm"),
            "Python": platform.python_version(),
            "Os": platform.system().lower(),
            "Arch": normal_architecture(platform.machine()),
        }
    }
    problem = None
    try:
        view["Server"] = _server(ctx.obj)
    except SwarmError as error:
        problem = error
    if layout:
        show_object(view, layout)
    else:
        for part, facts in view.items():
            click.echo(f"{part}:")
            for key, value in facts.items():
                click.echo(f" {key + ':':<10}{value}")
    if problem is not None:
        click.echo(f"Error: {problem}", err=True)
        ctx.exit(1)


def _server(host: str) -> dict[str, Any]:
    from swarm.api.v1.control_pb2 import InfoRequest
    from swarm.cli.connect import connect

    with connect(host) as node:
        answer = node.local.Info(InfoRequest())
    return {"Version": answer.version, "NodeID": answer.node_id, "Runtime": answer.runtime}
