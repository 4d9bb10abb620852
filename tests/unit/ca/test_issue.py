"""Who is admitted, and as what a node counts afterwards."""

import pytest

from swarm.api.v1.objects_pb2 import Cluster, Node, RevokedCertificate
from swarm.api.v1.types_pb2 import (
    NODE_AVAILABILITY_ACTIVE,
    NODE_AVAILABILITY_DRAIN,
    NODE_ROLE_MANAGER,
    NODE_ROLE_WORKER,
)
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, NodeRemoved, NotPermitted
from swarm.manager.ca.issue import Admission, Application, admit, certificate_lifetime_ns, standing
from swarm.manager.ca.loop import expired_removals, forget_removals, set_role
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with
from swarm.security.certificates import HOUR_NS, NODE_LIFETIME_NS
from swarm.security.identity import Identity, Role

EXPIRES = 1_800_000_000 * SECOND
JOIN_WORKER = Identity("", Role.JOIN_WORKER, "c")
JOIN_MANAGER = Identity("", Role.JOIN_MANAGER, "c")


def cluster(*removed: str, expires_at_s: int = 0) -> Cluster:
    made = Cluster(id="c")
    for node_id in removed:
        made.removed_nodes[node_id].CopyFrom(RevokedCertificate())
        made.removed_nodes[node_id].expires_at.seconds = expires_at_s
    return made


def node(node_id: str, role: int, desired: int | None = None) -> Node:
    made = Node(id=node_id, role=role)
    made.spec.desired_role = role if desired is None else desired
    return made


async def admitted(store: Store, who: Identity, key: str = "k", former: str = "") -> Admission:
    application = Application(who, key, NODE_AVAILABILITY_DRAIN, former)
    return await store.update(lambda tx: admit(tx, application, EXPIRES))


@pytest.mark.parametrize(
    ("who", "role"), [(JOIN_WORKER, NODE_ROLE_WORKER), (JOIN_MANAGER, NODE_ROLE_MANAGER)]
)
async def test_a_joiner_becomes_a_node_with_the_role_of_its_token(who: Identity, role: int) -> None:
    store = store_with(cluster())
    assert await admitted(store, who) == Admission("k", role)
    made = store.view.nodes.get("k")
    assert made is not None
    assert (made.role, made.spec.desired_role) == (role, role)
    assert made.spec.availability == NODE_AVAILABILITY_DRAIN
    assert made.certificate_expires_at.ToNanoseconds() == EXPIRES


async def test_a_joiner_that_asks_twice_is_one_node() -> None:
    store = store_with(cluster())
    assert await admitted(store, JOIN_WORKER) == await admitted(store, JOIN_WORKER)
    assert len(store.view.nodes) == 1


async def test_a_manager_token_does_not_promote_a_node_that_joined_as_worker() -> None:
    store = store_with(cluster(), node("k", NODE_ROLE_WORKER))
    assert await admitted(store, JOIN_MANAGER) == Admission("k", NODE_ROLE_WORKER)


async def test_a_renewal_gives_the_role_of_the_store_and_keeps_the_node_id() -> None:
    store = store_with(cluster(), node("n1", NODE_ROLE_MANAGER))
    who = Identity("n1", Role.WORKER, "c")
    assert await admitted(store, who, "other-key") == Admission("n1", NODE_ROLE_MANAGER)
    renewed = store.view.nodes.get("n1")
    assert renewed is not None
    assert renewed.spec.availability == NODE_AVAILABILITY_ACTIVE  # for joining nodes only
    assert renewed.certificate_expires_at.ToNanoseconds() == EXPIRES


@pytest.mark.parametrize("who", [Identity("n1", Role.MANAGER, "c"), JOIN_WORKER])
async def test_a_removed_node_gets_no_certificate(who: Identity) -> None:
    store = store_with(cluster("n1"))
    with pytest.raises(NodeRemoved, match="node n1 was removed from the cluster"):
        await admitted(store, who, "n1")
    assert len(store.view.nodes) == 0


async def test_a_node_that_lost_its_certificate_comes_back_as_itself() -> None:
    store = store_with(cluster(), node("n1", NODE_ROLE_WORKER))
    for who in (JOIN_WORKER, JOIN_MANAGER):
        assert await admitted(store, who, former="n1") == Admission("n1", NODE_ROLE_WORKER)
    assert len(store.view.nodes) == 1


async def test_a_manager_comes_back_with_the_token_of_managers_only() -> None:
    store = store_with(cluster(), node("n1", NODE_ROLE_MANAGER))
    assert await admitted(store, JOIN_MANAGER, former="n1") == Admission("n1", NODE_ROLE_MANAGER)
    with pytest.raises(NotPermitted, match=r"needs the token of managers \(swarmctl join-token manager\)"):
        await admitted(store, JOIN_WORKER, former="n1")


async def test_a_node_that_was_removed_does_not_come_back() -> None:
    with pytest.raises(NodeRemoved):
        await admitted(store_with(cluster("n1")), JOIN_WORKER, former="n1")
    store = store_with(cluster())  # removed so long ago that it is forgotten
    with pytest.raises(NotPermitted, match="does not know node n1"):
        await admitted(store, JOIN_WORKER, former="n1")
    assert len(store.view.nodes) == 0


async def test_a_node_does_not_become_another_one_with_its_own_certificate() -> None:
    store = store_with(cluster(), node("n1", NODE_ROLE_WORKER), node("n2", NODE_ROLE_MANAGER))
    who = Identity("n1", Role.WORKER, "c")
    assert (await admitted(store, who, former="n2")).node_id == "n1"


async def test_an_unknown_node_gets_no_certificate() -> None:
    with pytest.raises(NotPermitted, match="does not know node n9"):
        await admitted(store_with(cluster()), Identity("n9", Role.WORKER, "c"))


async def test_without_cluster_nobody_is_admitted() -> None:
    with pytest.raises(FailedPrecondition):
        await admitted(store_with(), JOIN_WORKER)


def test_a_certificate_lasts_as_long_as_the_cluster_says_and_no_shorter_than_a_renewal_takes() -> None:
    made = Cluster()
    assert certificate_lifetime_ns(made) == NODE_LIFETIME_NS
    made.spec.node_cert_expiry_ns = 7 * HOUR_NS
    assert certificate_lifetime_ns(made) == 7 * HOUR_NS
    made.spec.node_cert_expiry_ns = 1
    assert certificate_lifetime_ns(made) == 10 * SECOND


CONTROL, STREAM = "/swarm.api.v1.Control/ListNodes", "/swarm.api.v1.Raft/Stream"


def test_a_removed_node_is_refused_everywhere() -> None:
    view = store_with(cluster("n1")).view
    for method in (CONTROL, STREAM):
        with pytest.raises(NodeRemoved, match="node n1 was removed from the cluster"):
            standing(view, Identity("n1", Role.MANAGER, "c"), method)


def test_a_demoted_manager_counts_as_worker_but_for_raft_itself() -> None:
    view = store_with(cluster(), node("n1", NODE_ROLE_WORKER)).view
    who = Identity("n1", Role.MANAGER, "c")
    assert standing(view, who, CONTROL).role is Role.WORKER
    assert standing(view, who, STREAM).role is Role.MANAGER


def test_a_manager_that_this_store_does_not_know_yet_counts_by_its_certificate() -> None:
    who = Identity("n1", Role.MANAGER, "c")
    assert standing(store_with().view, who, CONTROL) == who


async def test_a_role_is_not_set_when_the_wish_changed_meanwhile() -> None:
    store = store_with(node("n1", NODE_ROLE_MANAGER, NODE_ROLE_MANAGER))
    await store.update(lambda tx: set_role(tx, "n1", NODE_ROLE_WORKER))
    current = store.view.nodes.get("n1")
    assert current is not None
    assert current.role == NODE_ROLE_MANAGER


async def test_removed_nodes_are_forgotten_when_their_certificates_expire() -> None:
    store = store_with(cluster("old", expires_at_s=100))
    before = store.view.cluster
    assert before is not None
    assert expired_removals(before, 100 * SECOND) == ()
    assert expired_removals(before, 101 * SECOND) == ("old",)
    await store.update(lambda tx: forget_removals(tx, 101 * SECOND))
    after = store.view.cluster
    assert after is not None
    assert not after.removed_nodes
