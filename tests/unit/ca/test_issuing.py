"""Certificates as the leader gives them out, renews its own, and ends a rotation; a store without Raft."""

import asyncio
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.specs_pb2 import ExternalCA
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, TlsInfo
from swarm.errors import FailedPrecondition, InvalidArgument, NotLeader, NotPermitted, Unavailable
from swarm.manager.ca.rotation import RotationLoop
from swarm.manager.ca.self_renewal import SelfRenewal, may_renew_itself
from swarm.manager.ca.servicer import NodeCAServicer
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.security.certificates import (
    DAY_NS,
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
    node_id_of_csr,
    split_pem,
)
from swarm.security.identity import Identity, Role, Trust, acting_as, identify
from swarm.security.keyfiles import NodeBundle
from swarm.security.roots import cross_sign, issuer_among
from swarm.security.rotation import Target, begun
from swarm.security.tls import NodeCredentials
from swarm.security.tokens import root_digest

CLOCK = ManualClock()
NOW = CLOCK.now_ns()
OLD, NEW = create_root_ca("c", NOW - 300 * DAY_NS), create_root_ca("c", NOW)
JOINER = Identity("", Role.JOIN_WORKER, "c")
MANAGER = Identity("m1", Role.MANAGER, "c")


def cluster(*, rotating: bool = False, keyed: bool = True) -> Cluster:
    made = Cluster(id="c")
    made.root_ca.cert_pem, made.root_ca.key_pem = OLD.cert_pem, OLD.key_pem if keyed else b""
    if rotating:
        crossed = cross_sign(NEW.cert_pem, OLD)
        made.root_ca.CopyFrom(begun(made.root_ca, Target(NEW.cert_pem, NEW.key_pem, crossed)))
    return made


def node(node_id: str, role: int = NODE_ROLE_WORKER, issuer: KeyedCertificate | None = None) -> Node:
    made = Node(id=node_id, role=role)
    made.spec.desired_role = role
    if issuer is not None:
        made.description.tls_info.CopyFrom(TlsInfo(issuer_digest=root_digest(issuer.cert_pem)))
    return made


def bundle(node_id: str, role: Role, *, issued_ns: int = NOW, root: KeyedCertificate = OLD) -> NodeBundle:
    key = new_key_pem()
    cert = issue_node_certificate(
        root, create_csr(key), node_id=node_id, role=role, cluster_id="c", now_ns=issued_ns
    )
    return NodeBundle(cert, root.cert_pem, key)


class Leads:
    """Raft as the servicer sees it."""

    is_leader = True
    leader = None
    members = ()


class Context:
    """Nothing of it is asked while this manager leads."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


async def issued(
    store: Store, who: Identity, csr_pem: bytes, leadership: object = None, previous_pem: bytes = b""
) -> IssueCertificateResponse:
    servicer = NodeCAServicer(
        store,
        CLOCK,
        leadership or Leads(),  # type: ignore[arg-type]
        grpc.aio.insecure_channel,
        lambda: bundle("m1", Role.MANAGER),
    )
    with acting_as(who):
        request = IssueCertificateRequest(csr_pem=csr_pem, previous_cert_pem=previous_pem)
        return await servicer.IssueCertificate(request, Context())  # type: ignore[arg-type]


async def test_a_joiner_gets_a_certificate_of_the_root() -> None:
    store, csr = store_with(cluster()), create_csr(new_key_pem())
    answer = await issued(store, JOINER, csr)
    assert answer.root_ca_pem == OLD.cert_pem
    who = identify(x509.load_pem_x509_certificate(answer.cert_pem), Trust("c", OLD.cert_pem), NOW)
    assert who == Identity(node_id_of_csr(csr), Role.WORKER, "c")
    known = store.view.nodes.get(who.node_id)
    assert known is not None
    assert known.certificate_expires_at.ToNanoseconds() == NOW + 90 * DAY_NS


async def test_while_the_root_changes_the_new_one_signs_and_both_are_to_be_trusted() -> None:
    answer = await issued(store_with(cluster(rotating=True)), JOINER, create_csr(new_key_pem()))
    leaf, crossed = split_pem(answer.cert_pem, "CERTIFICATE")
    assert issuer_among(x509.load_pem_x509_certificate(leaf), NEW.cert_pem) is not None
    assert issuer_among(x509.load_pem_x509_certificate(crossed), OLD.cert_pem) is not None
    assert split_pem(answer.root_ca_pem, "CERTIFICATE") == [NEW.cert_pem, OLD.cert_pem]
    assert answer.trust_version == 1


async def test_a_rotation_that_begins_while_a_certificate_is_written_down_signs_it_anew() -> None:
    store = store_with(cluster())
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.pause()
    rotated = cluster(rotating=True)

    def rotate(transaction) -> None:  # type: ignore[no-untyped-def]
        changed = Cluster()
        changed.CopyFrom(transaction.cluster)
        changed.root_ca.CopyFrom(rotated.root_ca)
        transaction.update(changed)

    changing = asyncio.create_task(store.update(rotate))
    await asyncio.sleep(0)
    asked = asyncio.create_task(issued(store, JOINER, create_csr(new_key_pem())))
    await asyncio.sleep(0.05)  # signed with the root before, and waiting behind the rotation
    assert not asked.done()
    proposer.resume()
    await changing
    answer = await asked
    assert answer.trust_version == 1
    assert issuer_among(x509.load_pem_x509_certificate(answer.cert_pem), NEW.cert_pem) is not None
    assert len(store.view.nodes) == 1


async def test_nobody_is_written_down_who_gets_no_certificate() -> None:
    silent = cluster(keyed=False)
    silent.spec.external_cas.append(ExternalCA(url="https://127.0.0.1:1", ca_cert_pem=OLD.cert_pem))
    for made, error in [(silent, Unavailable), (cluster(keyed=False), FailedPrecondition)]:
        store = store_with(made)
        with pytest.raises(error):
            await issued(store, JOINER, create_csr(new_key_pem()))
        assert len(store.view.nodes) == 0


async def test_a_node_whose_certificate_expired_comes_back_with_its_key_and_a_token() -> None:
    store = store_with(cluster(), node("w1"))
    slept = bundle("w1", Role.WORKER, issued_ns=NOW - 200 * DAY_NS)
    answer = await issued(store, JOINER, create_csr(slept.key_pem), previous_pem=slept.cert_pem)
    assert answer.node_id == "w1"
    assert len(store.view.nodes) == 1


@pytest.mark.parametrize(
    ("previous", "why"),
    [
        (bundle("w1", Role.WORKER).cert_pem, "another key"),
        (b"nonsense", "cannot be read"),
    ],
)
async def test_the_certificate_of_another_node_proves_nothing(previous: bytes, why: str) -> None:
    """Certificates are public: everybody has seen those of others."""
    store = store_with(cluster(), node("w1"))
    with pytest.raises(InvalidArgument, match=why):
        await issued(store, JOINER, create_csr(new_key_pem()), previous_pem=previous)


async def test_a_certificate_of_another_cluster_proves_nothing() -> None:
    store = store_with(cluster(), node("w1"))
    foreign = bundle("w1", Role.WORKER, root=NEW)
    with pytest.raises(InvalidArgument, match="not from this cluster"):
        await issued(store, JOINER, create_csr(foreign.key_pem), previous_pem=foreign.cert_pem)


async def test_a_workers_token_does_not_bring_a_manager_back() -> None:
    store = store_with(cluster(), node("m1", NODE_ROLE_MANAGER))
    slept = bundle("m1", Role.MANAGER)
    with pytest.raises(NotPermitted, match="token of managers"):
        await issued(store, JOINER, create_csr(slept.key_pem), previous_pem=slept.cert_pem)


async def test_without_a_leader_nobody_gets_a_certificate() -> None:
    class Follows(Leads):
        is_leader = False

    with pytest.raises(NotLeader):
        await issued(store_with(cluster()), JOINER, create_csr(new_key_pem()), Follows())


# Managers that slept too long.


def test_only_an_expired_manager_that_is_one_renews_itself() -> None:
    removed = cluster()
    removed.removed_nodes["m1"].expires_at.seconds = 1
    member = store_with(cluster(), node("m1", NODE_ROLE_MANAGER)).view
    assert may_renew_itself(member, MANAGER, NOW - 1, NOW)
    assert not may_renew_itself(member, MANAGER, NOW + 1, NOW)  # others can see to it
    for view in (
        store_with(cluster(), node("m1", NODE_ROLE_WORKER)).view,  # demoted
        store_with(cluster()).view,  # unknown
        store_with(removed, node("m1", NODE_ROLE_MANAGER)).view,
        store_with().view,  # this manager has not read its log yet
    ):
        assert not may_renew_itself(view, MANAGER, NOW - 1, NOW)
    assert not may_renew_itself(member, Identity("m1", Role.WORKER, "c"), NOW - 1, NOW)


async def test_a_manager_whose_certificate_expired_signs_one_for_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    store = store_with(cluster(rotating=True), node("m1", NODE_ROLE_MANAGER))
    credentials = NodeCredentials.create(tmp_path / "node.pem", bundle("m1", Role.MANAGER))
    before = credentials.bundle
    task = asyncio.create_task(SelfRenewal(store, credentials, clock).run())
    try:
        await asyncio.sleep(0.01)
        assert credentials.bundle == before
        task.cancel()
        clock.advance(91 * 24 * 3600)
        task = asyncio.create_task(SelfRenewal(store, credentials, clock).run())
        async with asyncio.timeout(60):
            while credentials.bundle == before:
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert credentials.identity == MANAGER
    assert credentials.validity_ns[1] > clock.now_ns() + 80 * DAY_NS
    assert credentials.tls_info.issuer_digest == root_digest(NEW.cert_pem)  # of the root of now
    assert credentials.bundle.key_pem != before.key_pem


# The end of a rotation.


async def test_a_rotation_ends_with_the_last_node_and_never_before() -> None:
    store = store_with(cluster(rotating=True), node("a", issuer=NEW), node("b", issuer=OLD))
    secrets = store.view.cluster.root_ca.worker_secret if store.view.cluster else ""
    task = asyncio.create_task(RotationLoop(store).run())
    try:
        await asyncio.sleep(0.5)
        assert store.view.cluster is not None
        assert store.view.cluster.root_ca.HasField("rotation")
        await store.update(lambda tx: tx.update(_renewed(tx.nodes.get("b"))))
        async with asyncio.timeout(60):
            while store.view.cluster.root_ca.HasField("rotation"):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    root = store.view.cluster.root_ca
    assert (root.cert_pem, root.key_pem) == (NEW.cert_pem, NEW.key_pem)
    assert root.worker_secret not in {secrets, root.manager_secret}
    assert root.trust_version == 2


def _renewed(known: Node | None) -> Node:
    assert known is not None
    changed = Node()
    changed.CopyFrom(known)
    changed.description.tls_info.issuer_digest = root_digest(NEW.cert_pem)
    return changed
