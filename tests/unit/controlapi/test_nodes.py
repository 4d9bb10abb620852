import pytest

from swarm.api.v1.control_pb2 import Filters, UpdateNodeRequest
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import (
    NODE_AVAILABILITY_ACTIVE,
    NODE_AVAILABILITY_DRAIN,
    NODE_ROLE_MANAGER,
    NODE_ROLE_WORKER,
    NODE_STATE_DOWN,
    TASK_STATE_COMPLETE,
    TASK_STATE_ORPHANED,
    TASK_STATE_RUNNING,
    ManagerStatus,
)
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.errors import Ambiguous, FailedPrecondition, InvalidArgument, StaleVersion
from swarm.manager.controlapi.nodes import (
    REVOCATION_MARGIN_NS,
    list_nodes,
    move_manager,
    remove_node,
    update_node,
)
from swarm.manager.controlapi.quorum import explain_no_quorum, has_quorum, with_manager_status
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with
from swarm.steps import complete
from tests.unit.controlapi.fakes import FakeRaft, a_cluster, a_node, a_task

NOW_NS = 1_700_000_000 * SECOND


def a_store(managers: int = 3) -> Store:
    nodes = [a_node(f"m{n}", manager=True) for n in range(1, managers + 1)]
    return store_with(a_cluster(), *nodes, a_node("w1"))


async def update(
    store: Store, raft: FakeRaft, node_id: str, *, version: int | None = None, **fields
) -> Node:
    current = store.view.nodes.get(node_id)
    request = UpdateNodeRequest(id=node_id, version=version or current.meta.version.index, spec=current.spec)
    for name, value in fields.items():
        setattr(request.spec, name, value)
    await store.update(lambda tx: update_node(tx, raft, request, NOW_NS))
    return store.view.nodes.get(node_id)


def remove(store: Store, raft: FakeRaft, ref: str, *, force: bool = False):
    return store.update(lambda tx: remove_node(tx, raft, ref, force=force, now_ns=NOW_NS))


async def test_availability_labels_and_role_can_be_changed():
    store, raft = a_store(), FakeRaft()
    assert (await update(store, raft, "w1", availability=NODE_AVAILABILITY_DRAIN)).spec.availability == 2
    promoted = await update(store, raft, "w1", desired_role=NODE_ROLE_MANAGER)
    assert promoted.spec.desired_role == NODE_ROLE_MANAGER
    assert promoted.role == NODE_ROLE_WORKER  # follows when it is a member


async def test_the_same_spec_writes_nothing_and_an_old_version_is_refused():
    store, raft = a_store(), FakeRaft()
    await update(store, raft, "w1")
    assert store.view.index == 1
    await update(store, raft, "w1", availability=NODE_AVAILABILITY_DRAIN)
    with pytest.raises(StaleVersion, match="out of sequence"):
        await update(store, raft, "w1", version=1, availability=0)
    with pytest.raises(InvalidArgument):
        await update(store, raft, "w1", availability=77)


async def test_the_last_manager_cannot_be_demoted():
    store, raft = a_store(managers=1), FakeRaft(1)
    with pytest.raises(FailedPrecondition, match="last manager"):
        await update(store, raft, "m1", desired_role=NODE_ROLE_WORKER)


async def test_managers_can_be_demoted_down_to_one():
    store, raft = a_store(), FakeRaft()
    await update(store, raft, "m2", desired_role=NODE_ROLE_WORKER)
    await update(store, raft, "m3", desired_role=NODE_ROLE_WORKER)
    with pytest.raises(FailedPrecondition, match="last manager"):
        await update(store, raft, "m1", desired_role=NODE_ROLE_WORKER)


async def test_a_demotion_that_would_lose_the_majority_is_refused_with_the_numbers():
    store, raft = a_store(), FakeRaft()
    raft.lost = {"r3"}
    with pytest.raises(
        FailedPrecondition, match="1 of the 2 managers left would be reachable, and 2 are needed"
    ):
        await update(store, raft, "m2", desired_role=NODE_ROLE_WORKER)


async def test_an_unreachable_manager_can_be_demoted_while_the_others_are_enough():
    store, raft = a_store(), FakeRaft()
    raft.lost = {"r3"}
    demoted = await update(store, raft, "m3", desired_role=NODE_ROLE_WORKER)
    assert demoted.spec.desired_role == NODE_ROLE_WORKER


async def test_a_manager_cannot_be_removed_even_by_force():
    store, raft = a_store(), FakeRaft()
    with pytest.raises(FailedPrecondition, match="demote it first"):
        await remove(store, raft, "m2", force=True)


async def test_a_node_still_in_consensus_cannot_be_removed():
    store = store_with(a_cluster(), a_node("m1", manager=True), a_node("m2", state=NODE_STATE_DOWN))
    with pytest.raises(FailedPrecondition, match="demote it first"):
        await remove(store, FakeRaft(2), "m2", force=True)


async def test_a_node_that_is_up_is_only_removed_by_force():
    store, raft = a_store(), FakeRaft()
    with pytest.raises(FailedPrecondition, match="is up"):
        await remove(store, raft, "w1")
    assert await remove(store, raft, "host-w1", force=True) == ("w1", True)
    assert "w1" not in store.view.nodes


async def test_removal_orphans_live_tasks_and_leaves_finished_ones_in_one_commit():
    tasks = (
        a_task("live", "s1", "w1", TASK_STATE_RUNNING, TASK_STATE_RUNNING),
        a_task("done", "s1", "w1", TASK_STATE_COMPLETE, TASK_STATE_RUNNING),
        a_task("elsewhere", "s1", "w2", TASK_STATE_RUNNING, TASK_STATE_RUNNING),
    )
    store = store_with(a_cluster(), a_node("w1", state=NODE_STATE_DOWN), *tasks)
    with store.watch() as watch:
        await remove(store, FakeRaft(), "w1")
        assert len(watch.drain()) == 1
    live = store.view.tasks.get("live")
    assert live.status.state == TASK_STATE_ORPHANED
    assert live.history[-1].state == TASK_STATE_RUNNING
    assert live.desired_state == TASK_STATE_RUNNING  # the orchestrator's to change
    assert store.view.tasks.get("done").status.state == TASK_STATE_COMPLETE
    assert store.view.tasks.get("elsewhere").status.state == TASK_STATE_RUNNING


async def test_the_certificate_of_a_removed_node_is_refused_until_it_must_have_expired():
    node = a_node("w1", state=NODE_STATE_DOWN)
    node.certificate_expires_at.CopyFrom(timestamp(NOW_NS + 10**18))
    cluster = a_cluster()
    cluster.removed_nodes["old"].expires_at.CopyFrom(timestamp(NOW_NS - REVOCATION_MARGIN_NS - 1))
    cluster.removed_nodes["recent"].expires_at.CopyFrom(timestamp(NOW_NS - 1))
    store = store_with(cluster, node)
    await remove(store, FakeRaft(), "w1")
    removed = store.view.cluster.removed_nodes
    assert set(removed) == {"recent", "w1"}
    assert nanoseconds(removed["w1"].expires_at) == NOW_NS + 10**18
    assert store.view.cluster.root_ca.key_pem == b"key"


async def test_a_node_with_more_tasks_than_fit_into_one_change_is_removed_in_parts():
    tasks = [a_task(f"t{n}", "s1", "w1", TASK_STATE_RUNNING, TASK_STATE_RUNNING) for n in range(6)]
    for task in tasks:
        task.spec.container.env.append("A=" + "b" * 900_000)
    store = store_with(a_cluster(), a_node("w1", state=NODE_STATE_DOWN), *tasks)
    assert await remove(store, FakeRaft(), "w1") == ("w1", False)
    assert "w1" in store.view.nodes
    assert await remove(store, FakeRaft(), "w1") == ("w1", True)
    assert {task.status.state for task in store.view.tasks} == {TASK_STATE_ORPHANED}
    assert "w1" not in store.view.nodes


def test_managers_show_who_leads_and_who_is_reachable():
    raft = FakeRaft(leader="r2")
    raft.lost = {"r3"}
    store = a_store()
    listed = {node.id: node for node in complete(list_nodes(store.view, raft, Filters()))}
    assert listed["m2"].manager_status.leader
    assert not listed["m1"].manager_status.leader
    assert listed["m1"].manager_status.reachability == ManagerStatus.REACHABILITY_REACHABLE
    assert listed["m3"].manager_status.reachability == ManagerStatus.REACHABILITY_UNREACHABLE
    assert listed["m3"].manager_status.addr == "10.0.0.3:2377"
    assert not listed["w1"].HasField("manager_status")
    assert not store.view.nodes.get("m2").HasField("manager_status")
    assert [node.id for node in complete(list_nodes(store.view, raft, Filters(names=["host-w1"])))] == ["w1"]


def test_hosts_with_the_same_name_must_be_told_apart():
    store = store_with(a_node("n1"), a_node("n2"))
    for node_id in ("n1", "n2"):
        twin = Node()
        twin.CopyFrom(store.view.nodes.get(node_id))
        twin.description.hostname = "box"
        store.view.nodes.put(twin)
    with pytest.raises(Ambiguous, match="n1"):
        update_node(store.view, FakeRaft(), UpdateNodeRequest(id="box"), 0)
    assert with_manager_status(store.view.nodes.get("n1"), FakeRaft()) is store.view.nodes.get("n1")


def test_the_reason_for_no_quorum_has_numbers_and_a_way_out():
    raft = FakeRaft(leader=None)
    raft.lost = {"r2", "r3"}
    text = explain_no_quorum(raft)
    assert "1 of 3 managers reachable from here; writes need 2" in text
    assert "10.0.0.2:2377, 10.0.0.3:2377" in text
    raft.lost = set()
    assert "enough to elect one" in explain_no_quorum(raft)


async def test_a_manager_that_is_still_joining_has_no_vote_that_could_be_missed():
    store, raft = a_store(), FakeRaft()
    raft.members[2].learner = True
    raft.lost = {"r3"}
    assert has_quorum(raft)
    assert (await update(store, raft, "m3", desired_role=NODE_ROLE_WORKER)).spec.desired_role == 0
    alone = FakeRaft(2)
    alone.members[1].learner = True
    alone.lost = {"r2"}
    assert has_quorum(alone)
    with pytest.raises(FailedPrecondition, match="only manager that has a vote"):
        await update(a_store(managers=2), alone, "m1", desired_role=NODE_ROLE_WORKER)


async def test_only_managers_have_an_address_to_change():
    store, raft = a_store(), FakeRaft()
    await move_manager(store.view, raft, "host-m2", "10.9.9.9:2377", 5.0)
    assert with_manager_status(store.view.nodes.get("m2"), raft).manager_status.addr == "10.9.9.9:2377"
    with pytest.raises(FailedPrecondition, match="w1 is not a manager"):
        await move_manager(store.view, raft, "w1", "10.9.9.9:2377", 5.0)


async def test_a_drain_says_since_when_whatever_the_caller_says():
    store, raft = a_store(), FakeRaft()
    early = (await update(store, raft, "w1", drain_timeout_ns=5)).spec
    assert not early.HasField("drain_timeout_ns"), "not drained: nothing to wait for"
    drained = (await update(store, raft, "w1", availability=NODE_AVAILABILITY_DRAIN)).spec
    assert nanoseconds(drained.drain_started_at) == NOW_NS
    forged = store.view.nodes.get("w1")
    request = UpdateNodeRequest(id="w1", version=forged.meta.version.index, spec=forged.spec)
    request.spec.drain_started_at.FromSeconds(1)
    request.spec.drain_timeout_ns = 7
    await store.update(lambda tx: update_node(tx, raft, request, NOW_NS + 99))
    spec = store.view.nodes.get("w1").spec
    assert (nanoseconds(spec.drain_started_at), spec.drain_timeout_ns) == (NOW_NS, 7)
    active = (await update(store, raft, "w1", availability=NODE_AVAILABILITY_ACTIVE)).spec
    assert not active.HasField("drain_started_at")
    assert not active.HasField("drain_timeout_ns")
