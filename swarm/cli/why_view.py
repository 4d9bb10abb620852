"""What `task why` and `task history` print: pure functions of what a manager explained."""

from collections.abc import Iterator
from typing import Any

from swarm.api.v1.control_pb2 import ExplainTaskResponse, NodeVerdict
from swarm.api.v1.objects_pb2 import Task
from swarm.cli import names
from swarm.cli.inspect_view import when
from swarm.clock import nanoseconds
from swarm.model.history import story
from swarm.model.units import format_age

NODES_SHOWN = 20
EARLIER_SHOWN = 5


def why_lines(found: ExplainTaskResponse, now_ns: int) -> Iterator[str]:
    """Yield what the task is, why it does not run, what every node says to it, and what to do."""
    task = found.task
    state = names.word(names.TASK_STATE, task.status.state)
    desired = names.word(names.TASK_STATE, task.desired_state)
    where = f" on node {found.hostname or task.node_id}" if task.node_id else ""
    since = format_age(now_ns - nanoseconds(task.status.timestamp)).lower()
    yield f"{place_name(task, found.hostname)}: task {task.id}, image {task.spec.container.image}"
    yield f"State:  {state}{where} for {since}; it is meant to be: {desired}"
    yield f"Why:    {found.reason or _how_it_runs(task)}"
    if found.nodes:
        yield ""
        yield "Nodes:"
        yield from _node_lines(found)
    if found.advice:
        yield ""
        yield "What to do:"
        yield from (f"  - {text}" for text in found.advice)
    if found.earlier:
        yield ""
        yield f"Before it in this slot (all of it: swarmctl task history {task.id}):"
        yield from _earlier_lines(found)


def _how_it_runs(task: Task) -> str:
    lacks = task.status.message.partition("; ")[2]
    return f"it runs, but: {lacks}" if lacks else "it runs, as it is meant to"


def _earlier_lines(found: ExplainTaskResponse) -> Iterator[str]:
    said = found.reason
    pairs = list(zip(found.earlier, found.earlier_reasons, strict=True))
    for earlier, reason in pairs[:EARLIER_SHOWN]:
        shown = "the same" if reason == said else reason
        said = reason
        yield f"  {when(earlier.status.timestamp)[:19]}Z  {earlier.id}  {_state(earlier)}: {shown}"


def _node_lines(found: ExplainTaskResponse) -> Iterator[str]:
    width = max(len(_node_name(node)) for node in found.nodes)
    # Those that lack little come first: they are the ones to do something about.
    ordered = sorted(found.nodes, key=lambda node: len(node.reasons))
    for node in ordered[:NODES_SHOWN]:
        verdict = "; ".join(node.reasons) or "would take it now"
        yield f"  {_node_name(node):<{width}}  {verdict}"
    if len(ordered) > NODES_SHOWN:
        yield f"  … and {len(ordered) - NODES_SHOWN} more nodes (--format json shows all)"


def history_lines(found: ExplainTaskResponse) -> Iterator[str]:
    """Yield the life of a task, and of those before it in its slot, step by step."""
    yield from story(found.task)
    if found.reason:
        yield f"why: {found.reason}"
    for earlier, reason in zip(found.earlier, found.earlier_reasons, strict=True):
        yield ""
        yield f"before it: task {earlier.id}"
        yield from story(earlier)
        yield f"why: {reason}"


def why_view(found: ExplainTaskResponse) -> dict[str, Any]:
    """Return what `task why --format` shows."""
    return {
        **_task_view(found.task, found.reason, found.hostname),
        "Nodes": [
            {"ID": node.node_id, "Hostname": node.hostname, "Reasons": list(node.reasons)}
            for node in found.nodes
        ],
        "Advice": list(found.advice),
    }


def history_view(found: ExplainTaskResponse) -> dict[str, Any]:
    """Return what `task history --format` shows."""
    pairs = zip(found.earlier, found.earlier_reasons, strict=True)
    return {
        **_task_view(found.task, found.reason, found.hostname),
        "History": _states(found.task),
        "Earlier": [{**_task_view(one, reason), "History": _states(one)} for one, reason in pairs],
    }


def _task_view(task: Task, reason: str, hostname: str = "") -> dict[str, Any]:
    return {
        "ID": task.id,
        "Name": place_name(task, hostname),
        "ServiceID": task.service_id,
        "NodeID": task.node_id,
        "Node": hostname,
        "Image": task.spec.container.image,
        "State": _state(task),
        "DesiredState": names.word(names.TASK_STATE, task.desired_state),
        "Since": when(task.status.timestamp),
        "Why": reason,
    }


def _states(task: Task) -> list[dict[str, str]]:
    return [
        {
            "Timestamp": when(status.timestamp),
            "State": names.word(names.TASK_STATE, status.state),
            "Message": status.message,
            "Err": status.err,
        }
        for status in (*task.history, task.status)
    ]


def place_name(task: Task, hostname: str) -> str:
    """Return `service.slot`, or `service.node` for a global service."""
    return f"{task.service_annotations.name}.{task.slot or hostname or task.node_id}"


def _state(task: Task) -> str:
    return names.word(names.TASK_STATE, task.status.state)


def _node_name(node: NodeVerdict) -> str:
    return node.hostname or node.node_id
