"""`swarmctl container stats`: what containers use, now and again and again."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import (
    ContainerOutput,
    ContainerRequest,
    ContainerSample,
    ListContainers,
    SampleContainers,
    Transferred,
)
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Notices, ask, find_container, node_ids
from swarm.cli.live import can_draw
from swarm.cli.render import Row, show, table
from swarm.cli.task_table import SHORT_ID
from swarm.model.units import format_binary, format_size

COLUMNS = (
    ("CONTAINER ID", "ID"),
    ("NAME", "Name"),
    ("NODE", "Node"),
    ("CPU %", "CPUPerc"),
    ("MEM USAGE / LIMIT", "MemUsage"),
    ("MEM %", "MemPerc"),
    ("NET I/O", "NetIO"),
    ("BLOCK I/O", "BlockIO"),
    ("PIDS", "PIDs"),
)
CLEAR = "\x1b[H\x1b[2J"


class Usage:
    """The newest samples, and what was used between the last two of each container."""

    def __init__(self, wanted: frozenset[str], id_length: int | None = SHORT_ID) -> None:
        """Look at these container ids only; empty: at all."""
        self._wanted = wanted
        self._id_length = id_length
        self.node_memory: Mapping[str, int] = {}  # by node id: what a container without a limit may take
        self._idle: dict[str, dict[str, str]] = {}  # names by node id and container id, of what may not run
        self._now: dict[str, dict[str, ContainerSample]] = {}  # by node id, then container id
        self._percent: dict[str, float] = {}

    def know(self, answers: Iterable[ContainerOutput]) -> None:
        """Show the listed containers also while they do not run."""
        for answer in answers:
            if answer.HasField("container") and self._is_wanted(answer.container.id):
                self._idle.setdefault(answer.node_id, {})[answer.container.id] = answer.container.name

    def _is_wanted(self, container_id: str) -> bool:
        return not self._wanted or container_id in self._wanted

    def take(self, answer: ContainerOutput) -> None:
        """Take the samples of one node."""
        before = self._now.get(answer.node_id, {})
        now = {one.container_id: one for one in answer.samples.samples if self._is_wanted(one.container_id)}
        for container_id, one in now.items():
            earlier = before.get(container_id)
            if earlier is not None and one.at_ns > earlier.at_ns:
                used = one.cpu_usage_ns - earlier.cpu_usage_ns
                self._percent[container_id] = 100.0 * used / (one.at_ns - earlier.at_ns)
        self._now[answer.node_id] = now

    def rows(self, node_names: Mapping[str, str]) -> list[Row]:
        """Return the rows to show."""
        found = []
        for node_id in dict.fromkeys((*self._now, *self._idle)):
            samples, idle = self._now.get(node_id, {}), self._idle.get(node_id, {})
            node = node_names.get(node_id, node_id)
            memory = self.node_memory.get(node_id, 0)
            rows = [self._row(one, node, memory) for one in samples.values()]
            rows += [self._idle_row(one, idle[one], node) for one in idle.keys() - samples.keys()]
            found += sorted(rows, key=lambda row: str(row["Name"]))
        return found

    def _idle_row(self, container_id: str, name: str, node: str) -> Row:
        shown = container_id[: self._id_length]
        known = {"ID": shown, "Container": shown, "Name": name, "Node": node}
        return {**dict.fromkeys((key for _, key in COLUMNS), "--"), **known}

    def _row(self, one: ContainerSample, node: str, node_memory: int) -> Row:
        limit = one.memory_limit_bytes or node_memory
        most = format_binary(limit) if limit else "none"
        part = f"{100.0 * one.memory_bytes / limit:.2f}%" if limit else "--"
        percent = self._percent.get(one.container_id)
        return {
            "ID": one.container_id[: self._id_length],
            "Container": one.container_id[: self._id_length],
            "Name": one.name,
            "Node": node,
            "CPUPerc": "--" if percent is None else f"{percent:.2f}%",
            "MemUsage": f"{format_binary(one.memory_bytes)} / {most}",
            "MemPerc": part,
            "NetIO": _moved(one.network) if one.HasField("network") else "--",
            "BlockIO": _moved(one.disks) if one.HasField("disks") else "--",
            "PIDs": str(one.pids),
        }


def _moved(one: Transferred) -> str:
    return f"{format_size(one.in_bytes)} / {format_size(one.out_bytes)}"


@click.command(
    "stats",
    epilog="\b\nExamples:\n  swarmctl container stats --all\n"
    "  swarmctl container stats --no-stream web.1 web.2\n"
    "  swarmctl container stats --node worker-1 --format json --no-stream",
)
@click.argument("refs", metavar="[CONTAINER]...", nargs=-1)
@click.option("--node", "nodes", multiple=True, help="Only of this node; repeatable. Default: all nodes.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run when it begins.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten ids.")
@click.option("--no-stream", is_flag=True, help="Show them once: what is used within one second.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.pass_context
def stats(ctx: click.Context, /, refs: tuple[str, ...], nodes: tuple[str, ...], **given: Any) -> None:
    """Show what running containers use: processor time, memory, network, disks, processes."""
    from swarm.cli.docker_settings import layout_of

    notices, layout = Notices(), layout_of("statsFormat", given["layout"])
    with connect(ctx.obj) as conn:
        targets = [find_container(conn, ref) for ref in refs]
        wanted = frozenset(target.container_id for target in targets)
        usage = Usage(wanted, None if given["no_trunc"] else SHORT_ID)
        places = node_ids(conn, nodes) or list(dict.fromkeys(target.node_id for target in targets))
        names = _know_nodes(conn, usage)
        if given["everything"] or refs:  # who names some sees them also while they do not run
            listing = ContainerRequest(list=ListContainers(all=True))
            usage.know(ask(conn, listing, places))  # a silent node is named when it has no samples
        if given["no_stream"]:
            _once(conn, places, usage, notices)
            show(usage.rows(names), COLUMNS, layout)
        else:
            for shown in _following(conn, places, usage, notices, names):
                _draw(shown, layout)
    ctx.exit(notices.exit_code)


def _once(conn: Connection, places: list[str], usage: Usage, notices: Notices) -> None:
    """Take two samples: processor time is known by the difference."""
    import time

    request = ContainerRequest(stats=SampleContainers())
    for answer in notices.filter(ask(conn, request, places)):
        if answer.HasField("samples"):
            usage.take(answer)
    time.sleep(1.0)
    for answer in ask(conn, request, places):  # a silent node was named before
        if answer.HasField("samples"):
            usage.take(answer)


def _know_nodes(conn: Connection, usage: Usage) -> dict[str, str]:
    """Tell how much memory nodes have; return their names by id."""
    nodes = conn.control.ListNodes(c.ListNodesRequest()).nodes
    usage.node_memory = {node.id: node.description.resources.memory_bytes for node in nodes}
    return {node.id: node.description.hostname or node.id for node in nodes}


def _following(
    conn: Connection, places: list[str], usage: Usage, notices: Notices, names: Mapping[str, str]
) -> Iterator[list[Row]]:
    request = ContainerRequest(stats=SampleContainers(follow=True))
    for answer in notices.filter(ask(conn, request, places)):
        if answer.HasField("samples"):
            usage.take(answer)
            yield usage.rows(names)


def _draw(rows: list[Row], layout: str) -> None:
    if layout:
        show(rows, COLUMNS, layout)
    else:
        click.echo((CLEAR if can_draw(sys.stdout) else "") + table(COLUMNS, rows))
