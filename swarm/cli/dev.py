"""`swarmctl dev`: a whole cluster on this machine, to try things out and to test against."""

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from swarm.cli.flags import FlagGroup

if TYPE_CHECKING:
    from swarm.dev.cluster import DevCluster

Command = TypeVar("Command", bound=Callable[..., Any])

_LS = (("NAME", "Name"), ("NODES", "Nodes"), ("RUNNING", "Running"), ("SUBNET", "Subnet"), ("HOST", "Host"))
_PS = (
    ("NODE", "Node"),
    ("ROLE", "Role"),
    ("ADDRESS", "Address"),
    ("STATE", "State"),
    ("NETWORK", "Network"),
    ("PID", "Pid"),
)


def _named(command: Command) -> Command:
    """Add --name to a command."""
    option = click.option("--name", default="dev", show_default=True, help="Which dev cluster.")
    return option(command)


def _open(name: str) -> "DevCluster":
    from swarm.dev.cluster import DevCluster

    return DevCluster.open(name)


@click.group(cls=FlagGroup)
def dev() -> None:
    """Run a whole cluster on this machine.

    Every node is a real daemon with an address, a state folder and a socket of its own. As root each has
    a network namespace and runs containers; otherwise nodes share the loopback network and run plain
    processes.
    """


@dev.command(
    epilog="\b\nExamples:\n  swarmctl dev up\n  swarmctl dev up --name small --managers 1 --workers 1"
)
@click.option("--managers", default=3, show_default=True, help="Number of managers; 1, 3 or 5 make sense.")
@click.option("--workers", default=2, show_default=True, help="Number of workers.")
@_named
def up(managers: int, workers: int, name: str) -> None:
    """Start a cluster, or what of it does not run, and wait until it is ready."""
    from swarm.dev.cluster import DevCluster

    cluster = DevCluster.create(name, managers, workers)
    _say_what_is_reduced(cluster)
    cluster.up(report=lambda text: click.echo(text, err=True))
    click.echo(f"Cluster {name} is ready: {managers} managers, {workers} workers.", err=True)
    click.echo("Point swarmctl at it with:", err=True)
    click.echo(f"  {_env_line(cluster)}")


def _say_what_is_reduced(cluster: "DevCluster") -> None:
    if cluster.plan.isolated:
        return
    click.echo(
        "Not root: tasks run as plain processes without isolation, nodes share the loopback network "
        f"({cluster.plan.subnet}), and nodes cannot be partitioned.",
        err=True,
    )


@dev.command(epilog="\b\nExamples:\n  swarmctl dev down\n  swarmctl dev down --name small")
@_named
def down(name: str) -> int:
    """Remove a cluster: daemons, containers, networks, folders."""
    from swarm.dev.cluster import DevCluster

    left = DevCluster.remains(name).down()
    if left:
        click.echo("Could not be removed:", err=True)
        for line in left:
            click.echo(f"  {line}", err=True)
        return 1
    click.echo(f"Nothing is left of cluster {name}.", err=True)
    return 0


@dev.command("ls", epilog="\b\nExample:\n  swarmctl dev ls")
@click.option("--format", "layout", default="", help="table, json or a template with {{.Name}} and so on.")
def list_clusters(layout: str) -> None:
    """List the dev clusters of this user."""
    from swarm.cli.render import show
    from swarm.dev.cluster import DevCluster, names

    rows = []
    for name in names():
        cluster = DevCluster.remains(name)
        states = cluster.states()
        rows.append(
            {
                "Name": name,
                "Nodes": str(len(states)),
                "Running": str(sum(1 for state in states if state.pid)),
                "Subnet": str(cluster.plan.subnet),
                "Host": cluster.entry().host,
            }
        )
    show(rows, _LS, layout)


@dev.command("ps", epilog="\b\nExample:\n  swarmctl dev ps")
@click.option("--format", "layout", default="", help="table, json or a template with {{.Node}} and so on.")
@_named
def list_nodes(name: str, layout: str) -> None:
    """List the nodes of a cluster and whether their daemons run."""
    from swarm.cli.render import show

    rows = [
        {
            "Node": state.node.name,
            "Role": "manager" if state.node.is_manager else "worker",
            "Address": str(state.node.address),
            "State": state.word,
            "Network": f"cut off ({state.island})" if state.island else "connected",
            "Pid": str(state.pid or ""),
            "Host": state.node.host,
            "Log": str(state.node.log),
        }
        for state in _open(name).states()
    ]
    show(rows, _PS, layout)


@dev.command(epilog="\b\nExample:\n  swarmctl dev logs --tail 20 --follow worker-1")
@click.argument("node")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("-n", "--tail", type=click.IntRange(0), default=None, help="Only so many last lines.")
@_named
def logs(node: str, follow: bool, tail: int | None, name: str) -> None:
    """Print what a node's daemon has logged."""
    from swarm.dev.logs import read_log

    for chunk in read_log(_open(name).node(node).log, follow, tail):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


@dev.command(
    epilog="\b\nExamples:\n  swarmctl dev kill worker-1\n  swarmctl dev kill --signal STOP manager-2"
)
@click.argument("node")
@click.option("-s", "--signal", "signal_name", default="KILL", show_default=True, help="Signal to send.")
@_named
def kill(node: str, signal_name: str, name: str) -> None:
    """Kill a node's daemon; its containers live on."""
    from swarm.errors import InvalidArgument
    from swarm.runtime.processes import signal_number

    try:
        number = signal_number(signal_name)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
    _open(name).kill(node, number)


@dev.command(epilog="\b\nExample:\n  swarmctl dev start worker-1")
@click.argument("node")
@_named
def start(node: str, name: str) -> None:
    """Start a node's daemon again."""
    _open(name).start(node)


@dev.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_named
def execute(node: str, command: tuple[str, ...], name: str) -> None:
    """Run a command on the network of a node, with swarmctl pointed at it.

    Example: swarmctl dev exec worker-1 -- ping -c 1 10.200.0.1
    """
    from swarm.dev.processes import become
    from swarm.errors import NotFound

    cluster = _open(name)
    try:
        become(cluster.plan, cluster.node(node), command)
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no {error.args[0] if error.filename is None else error.filename}"
        ) from None


@dev.command(epilog="\b\nExample:\n  swarmctl dev partition manager-1 worker-1")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@_named
def partition(nodes: tuple[str, ...], name: str) -> None:
    """Cut nodes off from all others; among themselves they stay connected."""
    _open(name).partition(nodes)


@dev.command(epilog="\b\nExample:\n  swarmctl dev heal")
@_named
def heal(name: str) -> None:
    """Connect all nodes again."""
    _open(name).heal()


@dev.command()
@_named
def env(name: str) -> None:
    r"""Print the line that points swarmctl at a cluster: eval "$(swarmctl dev env)"."""
    cluster = _open(name)
    click.echo(f"export SWARMCTL_HOST={shlex.quote(cluster.entry().host)}")


def _env_line(cluster: "DevCluster") -> str:
    option = "" if cluster.plan.name == "dev" else f" --name {cluster.plan.name}"
    return f'eval "$(swarmctl dev env{option})"'
