"""`swarmctl audit`: who was denied what, and who changed what."""

import json
from collections.abc import Iterable, Mapping

import click

from swarm.api.v1.control_pb2 import ListNodesRequest
from swarm.api.v1.users_pb2 import AuditRecord, ReadAuditRequest, ReadAuditResponse
from swarm.cli.connect import Connection, connect
from swarm.cli.parse import moment
from swarm.clock import SystemClock
from swarm.errors import SwarmError
from swarm.timestamps import timestamp

COLUMNS = (
    ("TIME", "Time"),
    ("WHO", "Who"),
    ("ROLE", "Role"),
    ("FROM", "From"),
    ("RPC", "RPC"),
    ("OBJECT", "Object"),
    ("OUTCOME", "Outcome"),
)
TAIL = 1000

EPILOG = """\b
Examples:
  swarmctl audit
  swarmctl audit --denied --since 24h
  swarmctl audit --user ann --tail 20
  swarmctl audit -f --denied
  swarmctl audit --since 2026-11-01T00:00:00Z --format json
  swarmctl audit --format '{{.Time}} {{.Who}} {{.RPC}} {{.Reason}}'
"""


@click.command(epilog=EPILOG)
@click.option("--denied", is_flag=True, help="Only what was refused.")
@click.option("--user", "users", multiple=True, help="Only what this user did or tried; repeatable.")
@click.option("--since", default="", help="From then on: a time (RFC 3339) or how long ago, e.g. 2h.")
@click.option(
    "-n", "--tail", type=click.IntRange(1), default=TAIL, show_default=True, help="The last so many records."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.pass_obj
def audit(
    host: str, users: tuple[str, ...], since: str, tail: int, layout: str, *, denied: bool, follow: bool
) -> None:
    """Show who was denied what, and who changed what, as all managers wrote it down, oldest first.

    Each manager keeps its own records, a bounded number of them. What is missing, because a manager does not
    answer, stands on stderr, and the exit code is then 1.
    """
    request = ReadAuditRequest(denied=denied, users=users, tail=tail, follow=follow)
    if since:
        request.since.CopyFrom(timestamp(moment(since, SystemClock().now_ns())))
    missing = False
    with connect(host) as conn:
        names = _node_names(conn)
        answers = conn.control.ReadAudit(request, timeout=None)
        is_table = layout in {"", "table"} or layout.startswith("table ")
        missing = (
            _show(answers, layout, names)
            if is_table and not follow
            else _show_each(answers, layout.removeprefix("table "), names)
        )
    if missing:
        raise SystemExit(1)


def _show(answers: Iterable[ReadAuditResponse], layout: str, names: Mapping[str, str]) -> bool:
    """Print a table; return whether something is missing in it."""
    from swarm.cli.render import show

    rows, missing = [], False
    for answer in answers:
        if answer.HasField("record"):
            rows.append(view(answer.record, names))
        else:
            missing |= _tell(answer.notice)
    show([_short(one) for one in rows], COLUMNS, layout)
    return missing


def _show_each(answers: Iterable[ReadAuditResponse], layout: str, names: Mapping[str, str]) -> bool:
    """Print a line for each record as it comes; return whether something is missing."""
    from swarm.cli.render import as_yaml, fill

    missing = False
    for answer in answers:
        if not answer.HasField("record"):
            missing |= _tell(answer.notice)
            continue
        shown = view(answer.record, names)
        if layout == "json":
            click.echo(json.dumps(shown, separators=(",", ":")))
        elif layout == "yaml":
            click.echo(as_yaml([shown]))
        elif layout in {"", "table"}:
            words = (_short(shown)[key] for _, key in COLUMNS[:-1])
            click.echo("  ".join([*(word for word in words if word != "-"), _outcome(shown)]))
        else:
            click.echo(fill(layout, shown))
    return missing


def _node_names(conn: Connection) -> Mapping[str, str]:
    """Return what people call the nodes; ids do where nobody can say it."""
    try:
        nodes = conn.control.ListNodes(ListNodesRequest()).nodes
    except SwarmError:
        return {}
    return {node.id: node.description.hostname or node.id for node in nodes}


def _short(shown: dict[str, str]) -> dict[str, str]:
    """Return what a line shows: times in milliseconds, an outcome with its reason."""
    return shown | {"Time": f"{shown['Time'][:19]}{shown['Time'][19:-1][:4]}Z", "Outcome": _outcome(shown)}


def _tell(notice: str) -> bool:
    click.echo(f"Warning: {notice}", err=True)
    return True


def _outcome(shown: dict[str, str]) -> str:
    times = f" ({shown['Times']} times)" if shown["Times"] != "1" else ""
    return f"{shown['Outcome']}{times}" + (f": {shown['Reason']}" if shown["Reason"] else "")


def view(record: AuditRecord, names: Mapping[str, str]) -> dict[str, str]:
    """Return a record by what people call its parts."""
    return {
        "ID": record.id,
        "Time": record.at.ToJsonString(),
        "Who": record.user or names.get(record.node_id, record.node_id) or "-",
        "User": record.user,
        "NodeID": record.node_id,
        "Role": record.role or "-",
        "From": record.peer or "-",
        "RPC": record.rpc or "-",
        "Object": record.object or "-",
        "Outcome": record.outcome,
        "Reason": record.reason,
        "Times": str(record.times or 1),
        "ManagerID": record.manager_id,
        "Manager": names.get(record.manager_id, record.manager_id),
    }
