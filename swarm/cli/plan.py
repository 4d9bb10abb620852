"""What would happen? `--dry-run` of the commands that change something, and `swarmctl service plan`."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import NodeSpec
from swarm.cli.connect import Connection
from swarm.cli.render import shorten, table
from swarm.errors import StaleVersion

EXIT_DOES_NOT_FIT = 5  # 3 and 4 tell how an update ended

KINDS = {
    c.PlannedStep.KIND_START: "start",
    c.PlannedStep.KIND_STOP: "stop",
    c.PlannedStep.KIND_MOVE: "move",
    c.PlannedStep.KIND_REPLACE: "replace",
    c.PlannedStep.KIND_WAIT: "wait",
}
COLUMNS = (("ACTION", "Action"), ("TASK", "Task"), ("FROM", "From"), ("TO", "To"), ("WHY", "Why"))
ROWS_MAX = 100  # for people; `--format json` has all of them
WHY_WIDTH = 100
ATTEMPTS_MAX = 3


def dry_run_options(command: Any) -> Any:
    """Add --dry-run, and --format for what it prints."""
    command = click.option(
        "--format", "layout", type=click.Choice(["table", "json"]), default="table", help="For --dry-run."
    )(command)
    return click.option(
        "--dry-run",
        is_flag=True,
        help=f"Change nothing; show what would happen. Exit {EXIT_DOES_NOT_FIT}: something would not fit.",
    )(command)


def show_plan(
    conn: Connection, changes: Iterable[c.PlannedChange], layout: str, services: Iterable[str] = ()
) -> int:
    """Ask what would happen, print it, return the exit code.

    `changes` are made one after the other, each on what the one before left; `services` (names or ids) are
    shown although they do not change. Raises what making the changes would raise.
    """
    answer = conn.control.PlanChanges(c.PlanChangesRequest(changes=changes, services=services))
    for warning in answer.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(json.dumps(as_json(answer), indent=4) if layout == "json" else as_text(answer))
    return exit_code(answer)


def show_node_plan(
    conn: Connection, refs: Iterable[str], change: Callable[[NodeSpec], None], layout: str
) -> int:
    """Print what would happen if `change` edited the specs of nodes; return the exit code."""
    refs = tuple(refs)

    def read() -> list[c.PlannedChange]:
        return [c.PlannedChange(update_node=_node_request(conn, ref, change)) for ref in refs]

    return show_fresh_plan(conn, read, layout)


def show_service_plan(
    conn: Connection, refs: Iterable[str], change: Callable[[Service, str], c.PlannedChange], layout: str
) -> int:
    """Print what `change` of these services (as each is, and is called) would do; return the exit code."""
    refs = tuple(refs)

    def read() -> list[c.PlannedChange]:
        found = [conn.control.GetService(c.GetServiceRequest(ref=ref)).service for ref in refs]
        return [change(service, ref) for service, ref in zip(found, refs, strict=True)]

    return show_fresh_plan(conn, read, layout)


def show_fresh_plan(conn: Connection, read: Callable[[], Iterable[c.PlannedChange]], layout: str) -> int:
    """Print what the changes that `read` returns would do; return the exit code.

    They are read again when managers, who write to services and nodes as well, were faster.
    """
    attempts = 0
    while True:
        attempts += 1
        try:
            return show_plan(conn, read(), layout)
        except StaleVersion:
            if attempts == ATTEMPTS_MAX:
                raise


def _node_request(conn: Connection, ref: str, change: Callable[[NodeSpec], None]) -> c.UpdateNodeRequest:
    found = conn.control.GetNode(c.GetNodeRequest(ref=ref)).node
    change(found.spec)
    return c.UpdateNodeRequest(id=found.id, version=found.meta.version.index, spec=found.spec)


def exit_code(answer: c.PlanChangesResponse) -> int:
    """Return 0 when everything fits."""
    return EXIT_DOES_NOT_FIT if _waiting(answer) else 0


def as_json(answer: c.PlanChangesResponse) -> dict[str, Any]:
    """Return an answer for scripts."""
    return {
        "Fits": not _waiting(answer),
        "Steps": [
            {
                "Action": KINDS.get(step.kind, "unknown"),
                "ServiceID": step.service_id,
                "Service": step.service_name,
                "Slot": step.slot,
                "TaskID": step.task_id,
                "FromNodeID": step.from_node_id,
                "FromNode": step.from_hostname,
                "NodeID": step.node_id,
                "Node": step.hostname,
                "Reason": step.reason,
            }
            for step in answer.steps
        ],
        "Services": [
            {
                "ID": one.service_id,
                "Name": one.service_name,
                "Kept": one.kept,
                **_counts(answer, one.service_id),
            }
            for one in answer.services
        ],
        "Warnings": list(answer.warnings),
        "Notes": list(answer.notes),
    }


def as_text(answer: c.PlanChangesResponse) -> str:
    """Return an answer for people: a table of what happens, and sums."""
    lines: list[str] = []
    if answer.steps:
        lines.append(table(COLUMNS, [_row(step) for step in answer.steps[:ROWS_MAX]]))
        if len(answer.steps) > ROWS_MAX:
            lines.append(f"… and {len(answer.steps) - ROWS_MAX} more (--format json shows all)")
        lines.append("")
    for one in answer.services:
        counts = [
            f"{number} {action}" for action, number in _counts(answer, one.service_id).items() if number
        ]
        lines.append(f"{one.service_name}: {', '.join([*counts, f'{one.kept} stay as they are'])}")
    if not answer.steps:
        lines.append("Nothing would happen.")
    lines += _not_fitting(answer)
    lines += [f"Note: {note}." for note in answer.notes]
    return "\n".join(lines)


def _not_fitting(answer: c.PlanChangesResponse) -> list[str]:
    """Return a line for each reason for which tasks would wait."""
    reasons = Counter((step.service_name, step.reason) for step in _waiting(answer))
    return [
        f"Does not fit: {number} task{'s' if number > 1 else ''} of {name}: {reason}"
        for (name, reason), number in reasons.items()
    ]


def _waiting(answer: c.PlanChangesResponse) -> list[c.PlannedStep]:
    return [step for step in answer.steps if step.kind == c.PlannedStep.KIND_WAIT]


def _counts(answer: c.PlanChangesResponse, service_id: str) -> dict[str, int]:
    found = Counter(step.kind for step in answer.steps if step.service_id == service_id)
    return {action: found[kind] for kind, action in KINDS.items()}


def _row(step: c.PlannedStep) -> dict[str, str]:
    place = str(step.slot) if step.slot else step.hostname or step.from_hostname
    return {
        "Action": KINDS.get(step.kind, "unknown"),
        "Task": f"{step.service_name}.{place}",
        "From": step.from_hostname or step.from_node_id,
        "To": step.hostname or step.node_id,
        "Why": shorten(step.reason, WHY_WIDTH),
    }
