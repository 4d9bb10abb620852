"""A backup becomes the files of the only manager of its cluster."""

import asyncio
from pathlib import Path

import pytest

from swarm.api.v1.backup_pb2 import BackupHeader, BackupPart
from swarm.api.v1.objects_pb2 import Cluster, Node, Service
from swarm.api.v1.raft_pb2 import RaftMember, RaftMembership
from swarm.api.v1.types_pb2 import (
    NODE_ROLE_MANAGER,
    NODE_ROLE_WORKER,
    NODE_STATE_DISCONNECTED,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
)
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition
from swarm.manager.controlapi.backup import parts_of
from swarm.manager.raft.compaction import recover
from swarm.manager.raft.files import read_files
from swarm.manager.recovery import restored_store
from swarm.manager.restoring import BEYOND, read_backup, write_files
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.manager.store.version import STORE_VERSION
from swarm.security.keyring import KeySet, new_data_key

KEYS = KeySet((new_data_key(),))
CLOCK = SystemClock()
OLD = [RaftMember(raft_id=f"r{n}", node_id=f"n{n}", addr=f"10.0.0.{n}:2377") for n in (1, 2, 3)]
NEW = RaftMember(node_id="new", addr="10.0.0.9:2377")


def a_node(name: str, role: int, state: int) -> Node:
    node = Node(id=name, role=role)
    node.spec.desired_role = role
    node.status.state = state
    return node


def backed_up(store_version: int = STORE_VERSION) -> list[BackupPart]:
    store = Store(CLOCK, "p1")
    store.attach(LocalProposer(store))

    def begin(tx) -> None:
        tx.create(Cluster(id="c1"))
        tx.create(a_node("n1", NODE_ROLE_MANAGER, NODE_STATE_READY))
        tx.create(a_node("w1", NODE_ROLE_WORKER, NODE_STATE_READY))
        tx.create(a_node("w2", NODE_ROLE_WORKER, NODE_STATE_DOWN))
        service = Service(id="s1")
        service.spec.annotations.name = "web"
        tx.create(service)

    asyncio.run(store.update(begin))
    state = store.freeze()
    header = BackupHeader(cluster_id="c1", index=state.applied_index, store_version=store_version)
    return list(parts_of(header, RaftMembership(members=OLD), state))


def test_the_new_manager_is_alone_and_has_everything(tmp_path: Path) -> None:
    backup = read_backup(backed_up(), CLOCK)
    member = write_files(tmp_path, KEYS, backup, NEW, 1)
    journal, snapshots = read_files(tmp_path, KEYS)
    recover(journal, snapshots)
    membership = journal.history().current
    assert [(one.raft_id, one.addr) for one in membership.members.values()] == [
        (member.raft_id, "10.0.0.9:2377")
    ]
    assert all(membership.is_removed(one.raft_id) for one in OLD)
    view = restored_store(journal[0:], snapshots.latest, CLOCK).view
    assert view.index > BEYOND
    assert view.services.get("s1").spec.annotations.name == "web"
    roles = {node.id: node.role for node in view.nodes}
    assert roles == {
        "new": NODE_ROLE_MANAGER,
        **dict.fromkeys(("n1", "w1", "w2"), NODE_ROLE_WORKER),
    }


def test_workers_are_awaited_and_the_lost_managers_are_not(tmp_path: Path) -> None:
    backup = read_backup(backed_up(), CLOCK)
    write_files(tmp_path, KEYS, backup, NEW, 1)
    status = {node.id: node.status for node in backup.store.view.nodes}
    assert {name for name, one in status.items() if one.awaited} == {"w1"}
    assert status["w1"].state == NODE_STATE_DISCONNECTED
    assert status["w2"].state == NODE_STATE_DOWN


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_backup_without_one_of_its_parts_is_refused(missing: int) -> None:
    parts = backed_up()
    assert len(parts) == 4
    del parts[missing]
    with pytest.raises(FailedPrecondition, match="not whole"):
        read_backup(parts, CLOCK)


def test_the_state_of_a_newer_version_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="Install a newer swarmd"):
        read_backup(backed_up(STORE_VERSION + 1), CLOCK)
