"""`swarmctl container start|attach|restart|rename|update`: what is done with containers that are there."""

import sys
from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerRequest, InspectContainer
from swarm.api.v1.plain_pb2 import (
    AttachContainer,
    RenameContainer,
    RestartContainer,
    StartContainer,
    UpdateContainer,
)
from swarm.cli import objects
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Target, ask_one, check_new_name, find_container, only
from swarm.cli.container_run import exit_code
from swarm.cli.docker_settings import DETACH_KEYS
from swarm.cli.flags import FlagCommand
from swarm.cli.plain_options import changed_resources, resource_options, restart_policy
from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + "\n\n"


def _plain(conn: Connection, ref: str) -> Target:
    """Return a container that belongs to no service; raises FailedPrecondition for that of a task."""
    target = find_container(conn, ref)
    if not target.plain:
        raise FailedPrecondition(
            f"{ref} is the container of a task: its service starts, changes and replaces it "
            "(`swarmctl service update`)"
        )
    return target


def _each(ctx: click.Context, refs: tuple[str, ...], request: Callable[[], ContainerRequest]) -> None:
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            ask_one(conn, _plain(conn, ref), request())
            return ref

        ctx.exit(objects.each(refs, act))


@click.command(
    "start",
    cls=FlagCommand,
    epilog=_examples("swarmctl container start db", "swarmctl container start -a -i shell")
    + "With -a the exit code is that of the container.",
)
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("-a", "--attach", "attached", is_flag=True, help="Show its output, and wait for its end.")
@click.option("-i", "--interactive", is_flag=True, help="Pass standard input on, if it has one; as -a.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to it (without a terminal).")
@DETACH_KEYS
@click.pass_context
def start(ctx: click.Context, /, refs: tuple[str, ...], **given: Any) -> None:
    """Start containers that were created, or have ended; their files are as they were."""
    if not (given["attached"] or given["interactive"]):
        _each(ctx, refs, lambda: ContainerRequest(start=StartContainer()))
        return
    if len(refs) > 1:
        raise InvalidArgument("you cannot be attached to several containers: name one")
    with connect(ctx.obj) as conn:
        try:
            target = _plain(conn, refs[0])
            ctx.exit(_attach(conn, target, {**given, "start": True}))
        except SwarmError as problem:
            click.echo(f"Error: {problem}", err=True)
            ctx.exit(exit_code(str(problem)))


@click.command(
    "attach",
    cls=FlagCommand,
    epilog=_examples("swarmctl container attach shell", "swarmctl container attach --no-stdin web.1")
    + "Exit code: that of the container; 0 after the detach keys. What it wrote before: `container logs`.",
)
@click.argument("ref", metavar="CONTAINER")
@click.option("--no-stdin", is_flag=True, help="Only look on.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to it (without a terminal).")
@DETACH_KEYS
@click.pass_context
def attach(ctx: click.Context, /, ref: str, **given: Any) -> None:
    """Show what a container writes from now on, and type to it if it has a standard input."""
    with connect(ctx.obj) as conn:
        target = find_container(conn, ref)
        ctx.exit(_attach(conn, target, {**given, "start": False, "interactive": not given["no_stdin"]}))


def _attach(conn: Connection, target: Target, given: dict[str, Any]) -> int:
    from swarm.cli import terminal
    from swarm.cli.exec_session import Manner, converse

    terminal.parse_keys(given["detach_keys"])
    inspect = ask_one(conn, target, ContainerRequest(inspect=InspectContainer()))
    details: ContainerDetails = only(inspect, "details")
    stdin = given["interactive"] and details.plain.spec.open_stdin
    tty = details.spec.tty
    if tty and stdin and not sys.stdin.isatty():
        raise InvalidArgument("standard input is no terminal, and the container has one: use --no-stdin")
    rows, columns = terminal.size()
    wanted = AttachContainer(start=given["start"], stdin=stdin, rows=rows, columns=columns)
    # What Ctrl-C sends would end the task of a service: whoever wants that says `container kill`.
    signals = given["sig_proxy"] and not tty and target.plain
    manner = Manner(tty=tty, stdin=stdin, detach_keys=given["detach_keys"], signals=signals)
    return converse(
        conn, target, ContainerRequest(attach=wanted), manner, sys.stdout.buffer, sys.stderr.buffer
    )


@click.command("restart", epilog=_examples("swarmctl container restart --time 30 db"))
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("-t", "--time", "seconds", type=click.FloatRange(min=0), help="Seconds until it is killed.")
@click.option("-s", "--signal", default="", help="Signal that asks it to end (default: its own).")
@click.pass_context
def restart(ctx: click.Context, refs: tuple[str, ...], seconds: float | None, signal: str) -> None:
    """Stop containers and start them again, with their files."""
    grace_ns = None if seconds is None else round(seconds * 1e9)
    _each(ctx, refs, lambda: ContainerRequest(restart=RestartContainer(grace_ns=grace_ns, signal=signal)))


@click.command("rename", epilog=_examples("swarmctl container rename db old-db"))
@click.argument("ref", metavar="CONTAINER")
@click.argument("name")
@click.pass_obj
def rename(host: str, ref: str, name: str) -> None:
    """Give a container another name."""
    with connect(host) as conn:
        check_new_name(conn, name)
        ask_one(conn, _plain(conn, ref), ContainerRequest(rename=RenameContainer(name=name)))


@click.command(
    "update",
    epilog=_examples(
        "swarmctl container update --restart on-failure:3 db",
        "swarmctl container update --memory 256m --cpus 1.5 db      # at once, without a restart",
        "swarmctl container update --memory 0 --pids-limit -1 db    # no limit any more",
    ),
)
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("--restart", "policy", help="no, on-failure[:MAX], always, unless-stopped.")
@resource_options
@click.pass_context
def update(ctx: click.Context, /, refs: tuple[str, ...], policy: str | None, **given: Any) -> None:
    """Change the restart policy and the resources of containers; what is not said stays as it is."""
    changing = any(value is not None for value in given.values())
    if policy is None and not changing:
        raise InvalidArgument("nothing to update: give --restart, --memory, --cpus or another option")
    restart = restart_policy(policy) if policy is not None else None
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            target = _plain(conn, ref)
            wanted = UpdateContainer(restart=restart)
            if changing:
                answers = ask_one(conn, target, ContainerRequest(inspect=InspectContainer()))
                wanted.resources.CopyFrom(changed_resources(only(answers, "details").resources, given))
            ask_one(conn, target, ContainerRequest(update=wanted))
            return ref

        ctx.exit(objects.each(refs, act))
