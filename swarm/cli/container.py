"""`swarmctl container`: the containers of tasks and those without one, on whatever node they are."""

from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1.containers_pb2 import (
    ContainerRequest,
    InspectContainer,
    KillContainer,
    ListContainers,
    ListProcesses,
    PauseContainer,
    RemoveContainer,
    StopContainer,
    UnpauseContainer,
    WaitContainer,
)
from swarm.cli import objects
from swarm.cli.confirm import confirm
from swarm.cli.connect import connect
from swarm.cli.container_calls import Notices, NowhereFound, ask, ask_one, find_container, node_ids, only
from swarm.cli.container_cp import cp
from swarm.cli.container_files import commit, diff, export
from swarm.cli.container_filters import FILTERS
from swarm.cli.container_plain import attach, rename, restart, start, update
from swarm.cli.container_run import create, run
from swarm.cli.container_stats import stats
from swarm.cli.exec import exec_command
from swarm.cli.flags import FlagGroup
from swarm.cli.logs import logs_command
from swarm.cli.prune import HELP, Listing, Reclaimed, chosen, prune_containers
from swarm.errors import NotFound

REPLACED = (
    "The container is that of a task: the task counts as ended, and is replaced as the restart policy of "
    "its service says."
)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + "\n\n"


@click.group(cls=FlagGroup)
def container() -> None:
    """Containers on all nodes: those of the tasks of services, and plain ones, that belong to no service."""


container.add_command(exec_command("container", "CONTAINER", "web.1"))
container.add_command(logs_command("container", "CONTAINER", "web.1"))
for _command in (create, run, start, attach, restart, rename, update, diff, export, commit):
    container.add_command(_command)
container.add_command(stats)
container.add_command(cp)


@container.command(
    "ls",
    epilog="\b\nExamples:\n"
    "  swarmctl container ls\n"
    "  swarmctl container ls --all --node worker-1 --filter service=web\n"
    "  swarmctl container ls --format '{{.Names}} {{.Node}} {{.Status}}'\n\n"
    "Exit code 1: a node could not answer; a warning names it.",
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also containers that do not run.")
@click.option("--node", "nodes", multiple=True, help="Only of this node; repeatable. Default: all nodes.")
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten ids and commands.")
@click.option("-n", "--last", type=click.IntRange(0), help="The N created last, in any state.")
@click.option("-l", "--latest", is_flag=True, help="The one that was created last, in any state.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.option("-s", "--size", is_flag=True, help="Also what they take on the disk: looks at every file.")
@click.pass_context
def ls(ctx: click.Context, /, nodes: tuple[str, ...], filters: tuple[str, ...], **given: Any) -> None:
    """List containers: those that run, or all."""
    from swarm.cli import parse
    from swarm.cli.container_described import described
    from swarm.cli.container_filters import every_state
    from swarm.cli.container_table import COLUMNS, RAW, SIZE_COLUMN, rows
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.render import show
    from swarm.cli.tasks import node_names
    from swarm.clock import SystemClock

    wanted, notices = parse.filters(filters, FILTERS), Notices()
    quiet = given["quiet"]
    layout = layout_of("psFormat", given["layout"], quiet=quiet)
    if quiet and layout not in {"", "raw"}:
        click.echo("Warning: --format is ignored beside --quiet", err=True)
        layout = ""
    last = 1 if given["latest"] else given["last"]
    everything = given["everything"] or every_state(wanted) or last is not None
    with connect(ctx.obj) as conn:
        # What before= and since= name may have ended.
        asked = ListContainers(all=everything or not wanted.keys().isdisjoint({"before", "since"}))
        asked.size = given["size"] or ".Size" in layout
        request = ContainerRequest(list=asked)
        answers = list(notices.filter(ask(conn, request, node_ids(conn, nodes))))
        found = rows(
            answers,
            wanted,
            node_names(conn),
            SystemClock().now_ns(),
            truncate=not given["no_trunc"],
            everything=everything,
            described=described(conn, answers, wanted, layout),
        )
    columns = (*COLUMNS, SIZE_COLUMN) if given["size"] else COLUMNS
    raw = (*RAW, ("size", "Size")) if given["size"] else RAW
    show(found[:last], columns, layout, "ID" if quiet else "", raw)
    ctx.exit(notices.exit_code)


@container.command(
    "inspect",
    epilog=_examples(
        "swarmctl container inspect web.1", 'swarmctl container inspect --format "{{.State.Pid}}" web.1'
    ),
)
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.option("-s", "--size", is_flag=True, help="Also what they take on the disk: looks at every file.")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, size: bool) -> None:
    """Show everything that its node knows of containers."""
    from swarm.cli.container_inspect import details_view
    from swarm.cli.tasks import node_names

    with connect(ctx.obj) as conn:
        names = node_names(conn)

        def get(ref: str) -> Any:
            target = find_container(conn, ref)
            answers = ask_one(conn, target, ContainerRequest(inspect=InspectContainer(size=size)))
            return details_view(only(answers, "details"), target.node_id, names)

        ctx.exit(objects.inspect(refs, get, layout))


@container.command(
    "top",
    epilog=_examples("swarmctl container top web.1", "swarmctl container top web.1 -o pid,user,cmd"),
    context_settings={"ignore_unknown_options": True},
)
@click.argument("ref", metavar="CONTAINER")
@click.argument("args", metavar="[OPTION OF PS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.pass_obj
def top(host: str, ref: str, args: tuple[str, ...], layout: str) -> None:
    """Show the processes of a container, as its node numbers them; aux, -ef and -o of ps choose columns."""
    from swarm.cli.container_table import PROCESS_COLUMNS, process_rows
    from swarm.cli.ps_options import columns_of
    from swarm.cli.render import show
    from swarm.clock import SystemClock

    if ref.startswith("-"):  # those of ps stand behind the container
        raise click.NoSuchOption(ref)
    columns = columns_of(args, PROCESS_COLUMNS)
    with connect(host) as conn:
        answers = ask_one(conn, find_container(conn, ref), ContainerRequest(top=ListProcesses()))
    show(process_rows(only(answers, "processes"), SystemClock().now_ns()), columns, layout)


def _each(ctx: click.Context, refs: tuple[str, ...], request: Callable[[], ContainerRequest]) -> None:
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            ask_one(conn, find_container(conn, ref), request())
            return ref

        ctx.exit(objects.each(refs, act))


@container.command(
    "port", epilog=_examples("swarmctl container port web.1", "swarmctl container port db 5432/tcp")
)
@click.argument("ref", metavar="CONTAINER")
@click.argument("port", metavar="[PORT[/PROTOCOL]]", default="")
@click.pass_obj
def port(host: str, ref: str, port: str) -> None:
    """List the ports of its node that lead to a container."""
    from swarm.cli.container_table import published_lines

    with connect(host) as conn:
        target = find_container(conn, ref)
        details = only(ask_one(conn, target, ContainerRequest(inspect=InspectContainer())), "details")
    lines = published_lines(details.summary, port)
    if port and not lines:
        raise NotFound(f"no public port leads to {port} of container {ref}")
    for line in lines:
        click.echo(line)


@container.command("stop", epilog=_examples("swarmctl container stop --time 30 web.1") + REPLACED)
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option(
    "-t",
    "--time",
    "seconds",
    type=click.FloatRange(min=0),
    help="Seconds until it is killed (default: its service's).",
)
@click.option("-s", "--signal", default="", help="Signal that asks it to end (default: its own).")
@click.pass_context
def stop(ctx: click.Context, refs: tuple[str, ...], seconds: float | None, signal: str) -> None:
    """Ask containers to end, and kill those that do not."""
    grace_ns = None if seconds is None else round(seconds * 1e9)
    _each(ctx, refs, lambda: ContainerRequest(stop=StopContainer(grace_ns=grace_ns, signal=signal)))


@container.command("kill", epilog=_examples("swarmctl container kill --signal HUP web.1") + REPLACED)
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("-s", "--signal", default="SIGKILL", show_default=True, help="Signal to send.")
@click.pass_context
def kill(ctx: click.Context, refs: tuple[str, ...], signal: str) -> None:
    """Send a signal to the first process of containers."""
    _each(ctx, refs, lambda: ContainerRequest(kill=KillContainer(signal=signal)))


@container.command("pause", epilog=_examples("swarmctl container pause web.1"))
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.pass_context
def pause(ctx: click.Context, refs: tuple[str, ...]) -> None:
    """Give the processes of containers no more time."""
    _each(ctx, refs, lambda: ContainerRequest(pause=PauseContainer()))


@container.command("unpause", epilog=_examples("swarmctl container unpause web.1"))
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.pass_context
def unpause(ctx: click.Context, refs: tuple[str, ...]) -> None:
    """Let paused containers go on."""
    _each(ctx, refs, lambda: ContainerRequest(unpause=UnpauseContainer()))


@container.command(
    "rm", epilog=_examples("swarmctl container rm 4x8k", "swarmctl container rm --force web.1") + REPLACED
)
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Kill those that run.")
@click.option(
    "-v", "--volumes", is_flag=True, expose_value=False, help="Also volumes without a name: they go anyway."
)
@click.pass_context
def rm(ctx: click.Context, refs: tuple[str, ...], *, force: bool) -> None:
    """Remove containers that have ended, with files and output; with --force they may be gone already."""
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str | None:
            try:
                target = find_container(conn, ref)
            except NowhereFound as problem:
                if not force:
                    raise
                click.echo(f"Warning: {problem}", err=True)
                return None
            ask_one(conn, target, ContainerRequest(remove=RemoveContainer(force=force)))
            return ref

        ctx.exit(objects.each(refs, act))


@container.command("wait", epilog=_examples("swarmctl container wait fill.1 fill.2"))
@click.argument("refs", metavar="CONTAINER...", nargs=-1, required=True)
@click.pass_context
def wait(ctx: click.Context, refs: tuple[str, ...]) -> None:
    """Wait until containers have ended, and print their exit codes."""
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            answers = ask_one(conn, find_container(conn, ref), ContainerRequest(wait=WaitContainer()))
            return str(only(answers, "exit_code"))

        ctx.exit(objects.each(refs, act))


@container.command(
    "prune",
    epilog=_examples(
        "swarmctl container prune --node worker-1", "swarmctl container prune --force --filter until=24h"
    ),
)
@click.option("--filter", "filters", multiple=True, help=HELP)
@click.option("--node", "nodes", multiple=True, help="Only of this node; repeatable. Default: all nodes.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(ctx: click.Context, nodes: tuple[str, ...], filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all containers that have ended; their output is gone then."""
    wanted = chosen(filters)
    if not force:
        confirm("This removes all containers that have ended, with their output.")
    notices, space = Notices(), Reclaimed()
    with connect(ctx.obj) as conn:
        gone = Listing("Deleted Containers:")
        for answer in prune_containers(conn, node_ids(conn, nodes), wanted, notices):
            if answer.HasField("removed"):
                gone.tell(answer.removed)
                space.add(answer)
    gone.end()
    space.tell()
    ctx.exit(notices.exit_code)
