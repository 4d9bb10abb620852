"""What filters and columns of `container ls` need that is not in the line of a container."""

import re
from collections.abc import Iterable

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerOutput, ContainerRequest, InspectContainer
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.cli.connect import Connection
from swarm.cli.container_calls import Target, ask_one
from swarm.cli.container_filters import DESCRIBED, Described, Filters
from swarm.errors import NotFound

_COLUMNS = re.compile(r"\.(Mounts|Networks|LocalVolumes)\b")


def described(
    conn: Connection, answers: Iterable[ContainerOutput], filters: Filters, layout: str
) -> dict[str, Described] | None:
    """Ask the nodes about each container if anything asked for needs it: a call for each."""
    whole = layout in {"json", "yaml"} or "json ." in layout
    if not DESCRIBED & filters.keys() and not whole and not _COLUMNS.search(layout):
        return None
    tasks = {task.id: task for task in conn.control.ListTasks(c.ListTasksRequest()).tasks}
    found = {}
    for one in answers:
        if not one.HasField("container"):
            continue
        details = _details(conn, Target(one.container.id, one.node_id, plain=one.container.plain))
        task = tasks.get(one.container.task_id)
        joined = details.plain.spec.networks if task is None else task.spec.networks
        networks = _networks(joined) or {details.plain.spec.network or "bridge": ""}
        found[one.container.id] = Described(details.spec, networks)
    return found


def _details(conn: Connection, target: Target) -> ContainerDetails:
    try:
        answers = ask_one(conn, target, ContainerRequest(inspect=InspectContainer()))
    except NotFound:  # it went meanwhile
        return ContainerDetails()
    return next((one.details for one in answers if one.HasField("details")), ContainerDetails())


def _networks(joined: Iterable[NetworkAttachment]) -> dict[str, str]:
    return {one.network_name or one.network_id: one.network_id for one in joined}
