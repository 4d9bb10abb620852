"""Going on alone: what the files of one manager become, and what they are when it is interrupted."""

from pathlib import Path

import pytest

from swarm.api.v1.objects_pb2 import Cluster, Node, Service
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, InvariantBroken
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.entries import data_command
from swarm.manager.raft.files import open_files, read_files, stored_raft_id
from swarm.manager.raft.journal import Compaction
from swarm.manager.recovery import go_on_alone, restored_store
from swarm.manager.store.proposer import Proposer
from swarm.manager.store.store import Store
from swarm.security.keyring import KeySet, new_data_key

KEYS = KeySet((new_data_key(),))
MEMBERS = [RaftMember(raft_id=f"r{n}", node_id=f"n{n}", addr=f"10.0.0.{n}:2377") for n in (1, 2, 3)]


def a_node(name: str, role: int) -> Node:
    node = Node(id=name, role=role)
    node.spec.desired_role = role
    return node


class Log(Proposer):
    """Appends to a journal what a store proposes."""

    def __init__(self, journal, store: Store) -> None:
        self.journal, self.store = journal, store

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        index = self.journal[-1][1] + 1
        self.journal.add(data_command(entry), index, 4)
        self.store.apply(index, entry)
        return index


async def fill(directory: Path, *, snapshot: bool = False) -> None:
    """Leave what manager n1 of three has on disk: a service more than it knows to be committed."""
    config = RaftConfig(directory, "c1", MEMBERS[0], KEYS, MEMBERS[1:])
    journal, snapshots, disk = open_files(config)
    journal.setCurrentTerm(4, "r2")
    store = Store(SystemClock(), "p1")
    store.attach(Log(journal, store))

    def begin(tx) -> None:
        cluster = Cluster(id="c1")
        cluster.root_ca.worker_secret = "secret-of-workers"
        tx.create(cluster)
        for name in ("n1", "n2", "n3"):
            tx.create(a_node(name, NODE_ROLE_MANAGER))
        tx.create(a_node("w1", NODE_ROLE_WORKER))

    await store.update(begin)
    journal.setRaftCommitIndex(journal[-1][1])
    if snapshot:
        state = store.freeze()
        snapshots.adopt(
            snapshots.write("c1", state.applied_index, 4, journal.history().current, state.records())
        )
    late = Service(id="s1")
    late.spec.annotations.name = "late"
    await store.update(lambda tx: tx.create(late))
    journal.sync()
    journal._destroy()
    disk.unlock()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def alone(directory: Path):
    return go_on_alone(directory, KEYS, "n1", "10.9.9.9:2377", SystemClock())


@pytest.mark.parametrize("snapshot", [False, True])
async def test_everything_stays_but_the_other_managers(tmp_path: Path, *, snapshot: bool) -> None:
    await fill(tmp_path, snapshot=snapshot)
    before = stored_raft_id(tmp_path, KEYS)
    done = await _in_thread(alone, tmp_path)
    assert {member.node_id for member in done.former} == {"n2", "n3"}
    journal, snapshots = read_files(tmp_path, KEYS)
    (member,) = journal.history().current.members.values()
    assert (member.node_id, member.addr, member.learner) == ("n1", "10.9.9.9:2377", False)
    assert member.raft_id == journal.raft_id != before
    assert all(journal.history().current.is_removed(f"r{n}") for n in (1, 2, 3))
    assert journal.getRaftCommitIndex() == journal[-1][1]
    assert journal.getCurrentTerm() > 4
    assert journal.getVotedForNodeId() is None
    view = restored_store(journal[0:], snapshots.latest, SystemClock()).view
    assert view.services.get("s1").spec.annotations.name == "late"
    assert view.cluster.root_ca.worker_secret == "secret-of-workers"
    roles = {node.id: (node.role, node.spec.desired_role) for node in view.nodes}
    worker = (NODE_ROLE_WORKER, NODE_ROLE_WORKER)
    assert roles == {"n1": (NODE_ROLE_MANAGER,) * 2, "n2": worker, "n3": worker, "w1": worker}
    journal._destroy()


async def test_it_can_be_repeated(tmp_path: Path) -> None:
    await fill(tmp_path)
    await _in_thread(alone, tmp_path)
    done = await _in_thread(alone, tmp_path)
    assert done.former == ()
    assert done.cluster.id == "c1"


async def test_interrupted_before_the_last_step_nothing_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tmp_path)
    before = contents(tmp_path)

    def full(compaction: Compaction) -> None:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Compaction, "put_in_place", full)
        with pytest.raises(OSError, match="no space"):
            await _in_thread(alone, tmp_path)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert (await _in_thread(alone, tmp_path)).cluster.id == "c1"
    assert set(contents(tmp_path)) == set(before)  # what the first attempt left is gone


async def test_a_damaged_log_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="no Raft log"):
        await _in_thread(alone, tmp_path / "none")
    await fill(tmp_path)
    path = tmp_path / "log"
    data = bytearray(path.read_bytes())
    data[100] ^= 1  # in the first frame; a valid one follows
    path.write_bytes(data)
    before = contents(tmp_path)
    with pytest.raises(InvariantBroken, match="damaged at offset"):
        await _in_thread(alone, tmp_path)
    assert contents(tmp_path) == before


async def test_a_log_from_before_this_node_was_a_member_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(FailedPrecondition, match="before it was a member"):
        await _in_thread(
            lambda directory: go_on_alone(directory, KEYS, "n9", "10.0.0.9:2377", SystemClock()), tmp_path
        )
    assert contents(tmp_path) == before


async def _in_thread(function, *arguments):
    import asyncio

    return await asyncio.to_thread(function, *arguments)
