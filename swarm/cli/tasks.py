"""Listing tasks for `service ps` and `node ps`."""

from collections.abc import Mapping
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import names, parse
from swarm.cli.render import show
from swarm.clock import SystemClock
from swarm.errors import InvalidArgument
from swarm.model.job import shown_desired

FILTERS = ("id", "name", "node", "desired-state", "label")
# What people filter by, where it is more than the state of that name.
_MEANT = {"running": ("running", "ready"), "shutdown": ("shutdown", "remove")}


def ps_options(command: Any) -> Any:
    """Add the options of a command that lists tasks."""
    options = (
        click.option(
            "-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}."
        ),
        click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'."),
        click.option("--no-resolve", is_flag=True, help="Print node ids instead of names."),
        click.option("--no-trunc", is_flag=True, help="Do not shorten ids and errors."),
        click.option("-q", "--quiet", is_flag=True, help="Print ids only."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def apply_filters(result: c.Filters, conn: Any, texts: tuple[str, ...]) -> frozenset[int]:
    """Add --filter values to `result`; a node is looked up by name.

    Returns the desired states to show, empty for all: those of jobs are known by what they are shown as.
    """
    found = parse.filters(texts, FILTERS)
    result.id_prefixes.extend(found.get("id", []))
    result.name_prefixes.extend(found.get("name", []))
    result.labels.extend(found.get("label", []))
    for ref in found.get("node", []):
        result.node_ids.append(conn.control.GetNode(c.GetNodeRequest(ref=ref)).node.id)
    for state in found.get("desired-state", []):
        if state not in names.TASK_STATE:
            known = ", ".join(names.TASK_STATE)
            raise InvalidArgument(f"--filter desired-state={state}: write one of {known}")
    return frozenset(
        names.TASK_STATE[name]
        for state in found.get("desired-state", [])
        for name in _MEANT.get(state, (state,))
    )


def node_names(conn: Any) -> dict[str, str]:
    """Return hostname by node id."""
    nodes = conn.control.ListNodes(c.ListNodesRequest()).nodes
    return {node.id: node.description.hostname or node.id for node in nodes}


def list_tasks(
    conn: Any,
    base: c.Filters,
    texts: tuple[str, ...],
    layout: str,
    flags: Mapping[str, bool],
    priorities: Mapping[str, int] | None = None,
) -> None:
    """Print the tasks that match; flags are no_resolve, no_trunc, quiet.

    `priorities` of services by id, where they are known; they become a column where one is not 0.
    """
    wanted = apply_filters(base, conn, texts)
    answer = conn.control.ListTasks(c.ListTasksRequest(filters=base))
    # A manager of an older version gives no reasons.
    reasons = {task.id: reason for task, reason in zip(answer.tasks, answer.reasons, strict=False)}
    resolved = {} if flags["no_resolve"] else node_names(conn)
    # Scripts compare what --quiet prints with ids from elsewhere: it shortens nothing, as with Docker.
    now_ns, truncate = SystemClock().now_ns(), not (flags["no_trunc"] or flags["quiet"])
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.task_table import COLUMNS, columns_of, task_rows

    tasks = [task for task in answer.tasks if not wanted or shown_desired(task) in wanted]
    rows = task_rows(tasks, resolved, now_ns, truncate=truncate, reasons=reasons, priorities=priorities)
    layout = layout_of("tasksFormat", layout, quiet=flags["quiet"])
    raw = [(title.lower().replace(" ", "_"), key) for title, key in COLUMNS]
    show(rows, columns_of(rows), layout, "ID" if flags["quiet"] else "", raw)
