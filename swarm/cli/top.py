"""`swarmctl top`: nodes, services and tasks as they are, drawn again and again."""

import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerRequest, SampleContainers
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import ask
from swarm.cli.job_view import replicas_text
from swarm.cli.live import can_draw
from swarm.cli.top_view import NODES, SERVICES, SORTS, TASKS, Cluster, Samples, Screen, screen
from swarm.errors import SwarmError

if TYPE_CHECKING:
    from rich.console import Group

FIRST_S = 1.5  # between two samples, for a picture that is shown once
RETRY_S = 2.0


@click.command(
    epilog="\b\nExamples:\n  swarmctl top\n  swarmctl top --sort memory\n"
    "  swarmctl top --once --format json\n  swarmctl top web.1     (as `container top`)\n\n"
    "Ctrl-C ends it. Where the output is no terminal, it is shown once.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("container", metavar="[CONTAINER]", default="")
@click.argument("args", metavar="[OPTION OF PS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--sort", type=click.Choice(SORTS), default="cpu", show_default=True, help="What comes first.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two pictures.",
)
@click.option("--once", is_flag=True, help="Show it once.")
@click.option("--format", "layout", default="", help="json, yaml or TEMPLATE; shows it once.")
@click.pass_context
def top(
    ctx: click.Context, /, container: str, args: tuple[str, ...], sort: str, layout: str, **given: Any
) -> None:
    """Watch nodes, services and tasks: what they do and what they use; of a CONTAINER list the processes."""
    if container:
        from swarm.cli.container import top as processes

        ctx.invoke(processes, ref=container, args=args, layout=layout)
        return
    _watch(ctx.obj, sort, layout, **given)


def _watch(host: str, sort: str, layout: str, *, interval_s: float, once: bool) -> None:
    with connect(host) as conn:
        watch = _Watch(conn)
        if once or layout or not can_draw(sys.stdout):
            watch.two_samples()
            _print(screen(_cluster(conn), watch.samples, sort), layout)
            return
        threading.Thread(target=watch.follow, daemon=True).start()
        _live(conn, watch, sort, interval_s)


class _Watch:
    """Collects the samples of all nodes."""

    def __init__(self, conn: Connection) -> None:
        self.samples = Samples()
        self._conn = conn

    def two_samples(self) -> None:
        """Look twice: processor time is known by the difference."""
        self._take(SampleContainers())
        time.sleep(FIRST_S)
        self._take(SampleContainers())

    def follow(self) -> None:
        """Take samples as they come, for ever; a connection that is lost is made again."""
        while True:
            try:
                self._take(SampleContainers(follow=True))
            except SwarmError:
                time.sleep(RETRY_S)

    def _take(self, request: SampleContainers) -> None:
        for answer in ask(self._conn, ContainerRequest(stats=request), []):
            if answer.HasField("samples"):
                self.samples.take(answer.node_id, answer.samples.samples)


def _cluster(conn: Connection) -> Cluster:
    answer = conn.control.ListServices(c.ListServicesRequest())
    pairs = zip(answer.services, answer.statuses, strict=True)
    return Cluster(
        tuple(conn.control.ListNodes(c.ListNodesRequest()).nodes),
        tuple((one, replicas_text(one, status)) for one, status in pairs),
        tuple(conn.control.ListTasks(c.ListTasksRequest()).tasks),
    )


def _print(now: Screen, layout: str) -> None:
    from swarm.cli.render import show_object, table

    if layout:
        show_object(
            {"Nodes": list(now.nodes), "Services": list(now.services), "Tasks": list(now.tasks)}, layout
        )
        return
    click.echo(now.head)
    for columns, rows in ((NODES, now.nodes), (SERVICES, now.services), (TASKS, now.tasks)):
        click.echo()
        click.echo(table(columns, rows))


def _live(conn: Connection, watch: _Watch, sort: str, interval_s: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for now in _pictures(conn, watch, sort, interval_s):
            live.update(_drawn(now, console.height), refresh=True)


def _pictures(conn: Connection, watch: _Watch, sort: str, interval_s: float) -> Iterator[Screen | str]:
    while True:
        try:
            yield screen(_cluster(conn), watch.samples, sort)
        except SwarmError as problem:
            yield f"waiting: {problem}"
        time.sleep(interval_s)


def _drawn(now: Screen | str, height: int) -> "Group":
    from rich.console import Group
    from rich.text import Text

    if isinstance(now, str):
        return Group(Text(now, style="yellow"))
    room = max(3, height - 4 - 3 * 2)  # lines for rows: less head, titles and gaps
    share = (min(len(now.nodes), room // 3), min(len(now.services), room // 3))
    return Group(
        Text(now.head, style="bold"),
        _table(NODES, now.nodes[: share[0]]),
        _table(SERVICES, now.services[: share[1]]),
        _table(TASKS, now.tasks[: max(1, room - sum(share))]),
    )


def _table(columns: tuple[tuple[str, str], ...], rows: Any) -> Any:
    from rich.table import Table

    drawn = Table(box=None, padding=(0, 3, 0, 0), header_style="bold cyan")
    for number, (title, _) in enumerate(columns):
        drawn.add_column(title, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*(row.get(key, "") for _, key in columns))
    return drawn
