"""`service why`: is a service what its spec says, and if not, what do its tasks wait for?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.cli import autoscale_view
from swarm.cli.acme import all_served, certificate_rows
from swarm.cli.connect import Connection
from swarm.cli.convergence import Picture, Verdict, look
from swarm.cli.render import show_objects
from swarm.cli.task_table import task_name
from swarm.model.service import is_moving
from swarm.model.task_state import wants_to_run

NAMES_SHOWN = 5

# What is said before the reason, of the verdicts whose reason is not told by the tasks that wait.
_SAID = {Verdict.FAILED: "it ", Verdict.ROLLED_BACK: "it ", Verdict.PAUSED: "", Verdict.CANARY: ""}


def explain_service(conn: Connection, ref: str, layout: str) -> None:
    """Print it, for people or as `layout` says."""
    found = conn.control.GetService(c.GetServiceRequest(ref=ref)).service
    filters = c.Filters(service_ids=[found.id])
    answer = conn.control.ListTasks(c.ListTasksRequest(filters=filters))
    nodes = {node.id: node for node in conn.control.ListNodes(c.ListNodesRequest()).nodes}
    hostnames = {node.id: node.description.hostname or node.id for node in nodes.values()}
    picture = look(found, answer.tasks, nodes)
    waiting = by_reason(answer.tasks, answer.reasons)
    certificates = certificate_troubles(conn, found)
    if layout:
        more: dict[str, Any] = {"Autoscale": said} if (said := autoscale_view.told(found)) else {}
        more |= {"Certificates": certificates} if certificates else {}
        show_objects([view(found.spec.annotations.name, picture, waiting) | more], layout)
        return
    for line in lines(found.spec.annotations.name, picture, waiting, hostnames):
        click.echo(line)
    if is_moving(found):
        click.echo(f"  it is being rebalanced: {found.rebalance.message}")
    for line in (*autoscale_view.told(found), *certificates):
        click.echo(f"  {line}")


def certificate_troubles(conn: Connection, service: Service) -> list[str]:
    """Return a sentence for each host of routes of a service whose certificate by ACME is not there."""
    if not any(route.acme for route in service.spec.endpoint.routes):
        return []
    rows = certificate_rows(conn.control.GetCluster(c.GetClusterRequest()).cluster, [service])
    return [
        f"certificate of {row['Host']}: {row['State']}{': ' if row['Problem'] else ''}{row['Problem']}"
        for row in rows
        if row["Problem"] or not all_served([row])
    ]


def by_reason(tasks: Sequence[Task], reasons: Sequence[str]) -> dict[str, list[Task]]:
    """Return the tasks that are meant to run and do not, by reason, the most frequent first."""
    found: dict[str, list[Task]] = {}
    for task, reason in zip(tasks, reasons, strict=False):
        if reason and wants_to_run(task):
            found.setdefault(reason, []).append(task)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def lines(
    name: str, picture: Picture, waiting: Mapping[str, Sequence[Task]], hostnames: Mapping[str, str]
) -> Iterator[str]:
    """Yield how the service stands, then every reason with the tasks that have it."""
    yield f"{name}: {picture.running} of {picture.wanted} {picture.done}, {_standing(picture)}"
    if picture.reason and picture.verdict in _SAID:
        yield f"  {_SAID[picture.verdict]}{picture.reason}"
    if picture.verdict is Verdict.PAUSED:
        yield f"  go on: `swarmctl service resume {name}`, or go back: `swarmctl service rollback {name}`"
    for reason, tasks in waiting.items():
        shown = ", ".join(task_name(task, hostnames) for task in tasks[:NAMES_SHOWN])
        rest = f" and {len(tasks) - NAMES_SHOWN} more" if len(tasks) > NAMES_SHOWN else ""
        yield f"  {shown}{rest}: {reason}"
    if waiting:
        first = next(iter(waiting.values()))[0]
        yield f"More, and what to do: swarmctl task why {first.id}"


def _standing(picture: Picture) -> str:
    match picture.verdict:
        case Verdict.CONVERGED:
            return "as it should be"
        case Verdict.FAILED:
            return "and it does not go on by itself"
        case Verdict.PAUSED:
            return "its update is paused"
        case Verdict.ROLLED_BACK:
            return "of the spec before the last one"
        case Verdict.CANARY:
            return "some of them canaries"
    return "not converged yet"


def view(name: str, picture: Picture, waiting: Mapping[str, Sequence[Task]]) -> dict[str, Any]:
    """Return what `service why --format` shows."""
    return {
        "Name": name,
        "Converged": picture.verdict is Verdict.CONVERGED,
        "Verdict": picture.verdict.value,
        "Running": picture.running,
        "Wanted": picture.wanted,
        "Reason": picture.reason,
        "Waiting": [
            {"Why": reason, "TaskIDs": [task.id for task in tasks]} for reason, tasks in waiting.items()
        ],
    }
