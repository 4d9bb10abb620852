"""Waiting until a node really has the role that it was given."""

import time

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import ManagerStatus, NodeRole, NodeState
from swarm.cli.connect import Connection
from swarm.errors import FailedPrecondition, NotFound, NotPermitted, TransientError, Unavailable

POLL_S = 0.25
PATIENCE_S = 60.0

_MANAGER = NodeRole.NODE_ROLE_MANAGER


def pending(node: Node) -> str:
    """Return what is still to happen until the node has the role it should have, empty when nothing is."""
    member = node.HasField("manager_status")
    if node.spec.desired_role != _MANAGER:
        if member:
            return "the other managers have not let go of it yet"
        return "" if node.role != _MANAGER else "its role has not been changed yet"
    if not member:
        down = node.status.state != NodeState.NODE_STATE_READY
        return (
            "it is down: it becomes a manager when it is back" if down else "it has not joined the managers"
        )
    if node.manager_status.learner:
        return "it is catching up with the other managers"
    reachable = node.manager_status.reachability == ManagerStatus.REACHABILITY_REACHABLE
    return "" if reachable else "the other managers do not reach it"


def wait_for_role(conn: Connection, node: Node, called: str, timeout_s: float = PATIENCE_S) -> None:
    """Return when the node has the role that it should have.

    Raises Unavailable after `timeout_s` with what is still to happen; it goes on happening by itself.
    """
    deadline = time.monotonic() + timeout_s
    while reason := _reason(conn, node):
        if time.monotonic() > deadline:
            role = "manager" if node.spec.desired_role == _MANAGER else "worker"
            raise Unavailable(
                f"node {called} is to become a {role}, but after {timeout_s:g} s {reason}; "
                "swarmctl node ls shows when it is done"
            )
        time.sleep(POLL_S)


def _reason(conn: Connection, node: Node) -> str:
    try:
        return pending(conn.control.GetNode(c.GetNodeRequest(ref=node.id)).node)
    except NotFound:
        return ""  # removed meanwhile: there is nothing to wait for
    except (FailedPrecondition, NotPermitted) as problem:
        # The node asked is no manager: it is the one that was demoted, and it or the leader knows it.
        itself = conn.local.Info(c.InfoRequest()).node_id == node.id
        return "" if itself and node.spec.desired_role != _MANAGER else str(problem)
    except TransientError as problem:
        return str(problem)
