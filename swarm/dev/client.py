"""Talks to the daemons of a dev cluster over their sockets."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlStub, LocalStub
from swarm.api.v1.objects_pb2 import Node as ClusterNode
from swarm.api.v1.types_pb2 import ManagerStatus, NodeRole, NodeState
from swarm.dev.plan import Node
from swarm.errors import TransientError, Unavailable

_QUICK_S = 5.0
_JOIN_S = 60.0
_PAUSE_S = 0.02
_ALIVE_PAUSE_S = 0.5


def info(node: Node, timeout_s: float = _QUICK_S) -> control.InfoResponse:
    """Return what the daemon says of itself; raises Unavailable when there is none."""
    with _channel(node) as channel:
        return LocalStub(channel).Info(control.InfoRequest(), timeout=timeout_s)


def init(node: Node) -> None:
    """Begin a cluster on this node."""
    request = control.InitRequest(advertise_addr=node.peer_addr, listen_addr=node.peer_addr)
    with _channel(node) as channel:
        LocalStub(channel).Init(request, timeout=_JOIN_S)


def tokens(manager: Node) -> control.GetJoinTokensResponse:
    """Return the join tokens of the cluster."""
    with _channel(manager) as channel:
        return ControlStub(channel).GetJoinTokens(control.GetJoinTokensRequest(), timeout=_QUICK_S)


def join(node: Node, manager: Node, token: str) -> None:
    """Let the node join the cluster of a manager."""
    request = control.JoinRequest(
        remote_addrs=[manager.peer_addr],
        token=token,
        advertise_addr=node.peer_addr,
        listen_addr=node.peer_addr,
    )
    with _channel(node) as channel:
        LocalStub(channel).Join(request, timeout=_JOIN_S)


def nodes(manager: Node) -> list[ClusterNode]:
    """Return the nodes of the cluster as a manager sees them."""
    with _channel(manager) as channel:
        response = ControlStub(channel).ListNodes(control.ListNodesRequest(), timeout=_QUICK_S)
    return list(response.nodes)


def is_ready(node: ClusterNode) -> bool:
    """Return whether a node takes tasks and, if it is to be a manager, has its vote."""
    if node.status.state != NodeState.NODE_STATE_READY:
        return False
    if node.spec.desired_role != NodeRole.NODE_ROLE_MANAGER:
        return True
    reachability = node.manager_status.reachability
    has_vote = bool(node.manager_status.raft_id) and not node.manager_status.learner
    return reachability == ManagerStatus.REACHABILITY_REACHABLE and has_vote


def wait_for_socket(
    node: Node, deadline: float, check_alive: Callable[[Node], None]
) -> control.InfoResponse:
    """Return the daemon's first answer.

    Raises Unavailable after `deadline` (monotonic seconds), and what `check_alive` raises for a dead daemon.
    """
    next_check = time.monotonic() + _ALIVE_PAUSE_S
    while True:
        try:
            if node.socket.exists():
                return info(node, timeout_s=1.0)
        except TransientError:
            pass
        now = time.monotonic()
        if now > deadline:
            raise Unavailable(f"{node.name} does not answer; see {node.log}")
        if now > next_check:
            check_alive(node)
            next_check = now + _ALIVE_PAUSE_S
        time.sleep(_PAUSE_S)


@contextmanager
def _channel(node: Node) -> Iterator[grpc.Channel]:
    channel = grpc.insecure_channel(node.host.replace("unix://", "unix:"))
    try:
        yield channel
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
    finally:
        channel.close()
