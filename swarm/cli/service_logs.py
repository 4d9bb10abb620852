"""`swarmctl service logs`: lines of all tasks, told apart and in order."""

from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.logs_pb2 import LogMessage, LogOptions, LogSelector, LogStream
from swarm.api.v1.objects_pb2 import Task
from swarm.cli import parse
from swarm.cli.connect import Connection
from swarm.cli.inspect_view import when
from swarm.cli.task_table import SHORT_ID, task_name
from swarm.cli.tasks import node_names
from swarm.clock import SystemClock, timestamp
from swarm.errors import InvalidArgument, NotFound

PREFIX_WIDTH = 30


def options(given: dict[str, Any], now_ns: int) -> LogOptions:
    """Return what the command line asks for."""
    result = LogOptions(follow=given["follow"], stdout=True, stderr=True, details=bool(given.get("details")))
    if given["tail"] != "all":
        if not given["tail"].isdigit():
            raise InvalidArgument(f"--tail {given['tail']}: write a number of lines or all")
        result.tail = int(given["tail"])
    for field in ("since", "until"):
        if given[field]:
            getattr(result, field).CopyFrom(timestamp(parse.moment(given[field], now_ns)))
    return result


def select(conn: Connection, ref: str) -> LogSelector:
    """Return the service or task that `ref` names."""
    try:
        found = conn.control.GetService(c.GetServiceRequest(ref=ref)).service
    except NotFound:
        try:
            return LogSelector(task_ids=[conn.control.GetTask(c.GetTaskRequest(ref=ref)).task.id])
        except NotFound:
            raise NotFound(f'no service or task "{ref}"; `swarmctl service ls` lists the services') from None
    return LogSelector(service_ids=[found.id])


def told_plainly(attributes: Mapping[str, str]) -> str:
    """Return the attributes of a line as Docker prints those of services: KEY=VALUE,…"""
    return ",".join(f"{key}={value}" for key, value in sorted(attributes.items()))


def told_safely(attributes: Mapping[str, str]) -> str:
    """Return them as Docker prints those of containers: no space or comma but those between them."""
    from urllib.parse import quote_plus

    return told_plainly({quote_plus(key): quote_plus(value) for key, value in attributes.items()})


class Prefixing(Protocol):
    """Says what stands before each line."""

    def of(self, message: LogMessage) -> str:
        """Return the prefix for one line."""


class Prefixes:
    """What stands before each line: time, task and node."""

    def __init__(self, conn: Connection, given: dict[str, Any]) -> None:
        self._conn = conn
        self._given = given
        self._tell = told_safely if given.get("of_container") else told_plainly
        self.with_times = bool(given["timestamps"])
        self._nodes = {} if given["no_resolve"] or given["raw"] else node_names(conn)
        self._tasks: dict[str, Task | None] = {}

    def of(self, message: LogMessage) -> str:
        """Return the prefix for one line."""
        stamp = f"{when(message.timestamp)} " if self.with_times else ""
        source = "" if self._given["raw"] else f"{self.source(message):<{PREFIX_WIDTH}} | "
        told = f"{self._tell(message.attributes)} " if self._given.get("details") else ""
        return f"{stamp}{source}{told}"

    def source(self, message: LogMessage) -> str:
        """Return which task on which node wrote a line."""
        task_id = message.task_id if self._given["no_trunc"] else message.task_id[:SHORT_ID]
        name = task_id if self._given["no_resolve"] else self._name(message.task_id)
        if not self._given["no_task_ids"] and not self._given["no_resolve"]:
            name = f"{name}.{task_id}"
        return f"{name}@{self._nodes.get(message.node_id, message.node_id)}"

    def _name(self, task_id: str) -> str:
        if task_id not in self._tasks:
            try:
                self._tasks[task_id] = self._conn.control.GetTask(c.GetTaskRequest(ref=task_id)).task
            except NotFound:
                self._tasks[task_id] = None
        task = self._tasks[task_id]
        return task_name(task, self._nodes) if task else task_id


def show_logs(conn: Connection, ref: str, given: dict[str, Any], out: BinaryIO, err: BinaryIO) -> int:
    """Print the lines as they come; return 1 when a node could not answer."""
    return show_selected(conn, select(conn, ref), given, Prefixes(conn, given), out, err)


def show_selected(  # one thing each
    conn: Connection,
    selector: LogSelector,
    given: dict[str, Any],
    prefixes: Prefixing,
    out: BinaryIO,
    err: BinaryIO,
) -> int:
    """Print the lines of what is selected; return 1 when a node could not answer."""
    wanted = options(given, SystemClock().now_ns())
    request = c.ServiceLogsRequest(selector=selector, options=wanted)
    incomplete = False
    for answer in conn.control.ServiceLogs(request, timeout=None):
        if answer.WhichOneof("event") == "notice":
            click.echo(f"Warning: {answer.notice}", err=True)
            incomplete = True
            continue
        message = answer.message
        stream = err if message.stream == LogStream.LOG_STREAM_STDERR else out
        end = b"" if message.partial and given["raw"] else b"\n"
        stream.write(prefixes.of(message).encode() + message.data + end)
        stream.flush()
    return 1 if incomplete else 0
