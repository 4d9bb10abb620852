"""`swarmctl container logs`: of a task as `task logs` has them, of a plain container from its node."""

from typing import Any, BinaryIO

from swarm.api.v1.containers_pb2 import ContainerRequest
from swarm.api.v1.logs_pb2 import LOG_STREAM_STDERR
from swarm.api.v1.plain_pb2 import ReadLogs
from swarm.cli.connect import Connection
from swarm.cli.container_calls import ask, find_named, find_plain
from swarm.cli.inspect_view import when
from swarm.cli.service_logs import options, select, show_logs, told_safely
from swarm.clock import SystemClock
from swarm.errors import InvalidArgument, NotFound


def show_container_logs(
    conn: Connection, ref: str, given: dict[str, Any], out: BinaryIO, err: BinaryIO
) -> int:
    """Print the lines as they come; return 1 when a node could not answer."""
    target = find_named(conn, ref) if _is_of_service(conn, ref) else find_plain(conn, ref)
    if target is None:
        return show_logs(conn, ref, given, out, err)
    request = ContainerRequest(
        container_id=target.container_id, logs=ReadLogs(options=options(given, SystemClock().now_ns()))
    )
    whole = True  # the next piece begins a line
    for answer in ask(conn, request, [target.node_id]):
        if not answer.HasField("chunk"):
            continue
        chunk = answer.chunk
        stream = err if chunk.stream == LOG_STREAM_STDERR else out
        if given["timestamps"] and whole:
            stream.write(f"{when(chunk.timestamp)} ".encode())
        if given["details"] and whole:
            stream.write(f"{told_safely(chunk.attributes)} ".encode())
        stream.write(chunk.data)
        stream.flush()
        whole = chunk.data.endswith(b"\n")
    return 0


def _is_of_service(conn: Connection, ref: str) -> bool:
    try:
        select(conn, ref)
    except (NotFound, InvalidArgument):
        return False
    return True
