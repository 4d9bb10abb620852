"""The level of the cluster is raised when all managers support a higher one, and by nobody else's word."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, NODE_STATE_DOWN, NODE_STATE_READY
from swarm.manager.controlapi.level import manager_versions, raise_level
from swarm.manager.store.testing import store_with
from swarm.manager.store.transaction import Transaction
from swarm.model.compatibility import Versions
from tests.unit.controlapi.fakes import FakeRaft, a_cluster

NEW = Versions("0.2", 1, 2, 1, 2)


def a_manager(name: str, versions: Versions = NEW, state: "int" = NODE_STATE_READY) -> Node:
    node = Node(id=name, role=NODE_ROLE_MANAGER)
    node.spec.desired_role = NODE_ROLE_MANAGER
    node.status.state = state  # type: ignore[assignment]
    node.description.hostname = f"host-{name}"
    node.description.compatibility.CopyFrom(versions.message())
    return node


def kept(*nodes: Node) -> tuple[int, str]:
    transaction = Transaction(store_with(a_cluster(), *nodes).view, Timestamp())
    told = raise_level(transaction, FakeRaft(count=0))
    assert transaction.cluster is not None
    return transaction.cluster.level, told


def test_all_managers_raise_it_whatever_workers_are() -> None:
    worker = Node(id="w", role=NODE_ROLE_WORKER)
    assert kept(a_manager("a"), a_manager("b"), worker) == (2, "")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (a_manager("b", Versions("0.1")), "manager host-b (swarm 0.1) supports no higher level"),
        (a_manager("b", state=NODE_STATE_DOWN), "manager host-b does not answer"),
    ],
)
def test_one_manager_keeps_it(other: Node, words: str) -> None:
    level, told = kept(a_manager("a"), other)
    assert level == 0
    assert words in told


def test_who_is_to_become_a_manager_counts_too() -> None:
    coming = a_manager("b", Versions("0.1"))
    coming.role = NODE_ROLE_WORKER
    assert kept(a_manager("a"), coming)[0] == 0


def test_a_member_of_the_group_that_the_store_does_not_know_is_away() -> None:
    store = store_with(a_cluster())
    raft = FakeRaft()
    found = manager_versions(store.view, raft)
    assert set(found) == {member.node_id for member in raft.members}
    assert set(found.values()) <= {None}
