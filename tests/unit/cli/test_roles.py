"""What a promotion or demotion still waits for."""

import pytest

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import (
    NODE_ROLE_MANAGER,
    NODE_ROLE_WORKER,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
    ManagerStatus,
)
from swarm.cli.roles import pending

M, W = NODE_ROLE_MANAGER, NODE_ROLE_WORKER
UP, AWAY = ManagerStatus.REACHABILITY_REACHABLE, ManagerStatus.REACHABILITY_UNREACHABLE


def node(desired: int, role: int, state: int = NODE_STATE_READY, **member: object) -> Node:
    made = Node(id="n", role=role)
    made.spec.desired_role = desired
    made.status.state = state
    if member:
        made.manager_status.CopyFrom(ManagerStatus(raft_id="r", **member))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (node(M, W), "not joined"),
        (node(M, W, NODE_STATE_DOWN), "down"),
        (node(M, M, reachability=UP, learner=True), "catching up"),
        (node(M, M, reachability=AWAY), "do not reach"),
        (node(M, M, reachability=UP), ""),
        (node(W, M, reachability=UP), "not let go"),
        (node(W, M, NODE_STATE_DOWN), "role has not been changed"),
        (node(W, W), ""),
    ],
)
def test_a_role_is_there_when_consensus_and_store_agree(item: Node, said: str) -> None:
    assert (said in pending(item)) if said else pending(item) == ""
