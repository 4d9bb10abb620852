"""When a rotation of the root is over, and what nodes trust on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Node, RootCA
from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, NODE_STATE_READY, TlsInfo
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition
from swarm.security.certificates import KeyedCertificate, create_root_ca
from swarm.security.roots import ROOTS_MAX, certificates_of, cross_sign, digest_of, join_pem, trust_digest
from swarm.security.rotation import (
    Target,
    begun,
    finished,
    issuer_of,
    progress,
    renewal_spread_ns,
    root_status,
    trusted_roots,
)
from swarm.security.tokens import root_digest

NOW = 1_800_000_000 * SECOND
ROOTS = [create_root_ca("c", NOW) for _ in range(4)]


def root(first: KeyedCertificate = ROOTS[0]) -> RootCA:
    return RootCA(cert_pem=first.cert_pem, key_pem=first.key_pem, worker_secret="w", manager_secret="m")


def target(wanted: KeyedCertificate, signer: KeyedCertificate = ROOTS[0]) -> Target:
    return Target(wanted.cert_pem, wanted.key_pem, cross_sign(wanted.cert_pem, signer))


def node(
    node_id: str, issuer: KeyedCertificate | None, *trusted: KeyedCertificate, state: int = NODE_STATE_READY
) -> Node:
    made = Node(id=node_id)
    made.status.state = state
    made.description.hostname = f"host-{node_id}"
    if issuer is not None:
        made.description.tls_info.CopyFrom(
            TlsInfo(
                issuer_digest=root_digest(issuer.cert_pem),
                trust_digest=trust_digest(join_pem(one.cert_pem for one in trusted)),
            )
        )
    return made


def test_a_cluster_at_rest_trusts_and_signs_with_its_root() -> None:
    assert trusted_roots(root()) == ROOTS[0].cert_pem
    assert issuer_of(root()).keyed == ROOTS[0]
    assert issuer_of(root()).intermediates_pem == b""


def test_from_the_start_both_are_trusted_and_the_new_one_signs() -> None:
    during = begun(root(), target(ROOTS[1]))
    assert trusted_roots(during) == ROOTS[1].cert_pem + ROOTS[0].cert_pem
    assert issuer_of(during).keyed == ROOTS[1]
    assert issuer_of(during).intermediates_pem == during.rotation.cross_signed_pem != b""
    assert during.cert_pem == ROOTS[0].cert_pem  # tokens stay what they were
    assert during.worker_secret == "w"
    assert during.trust_version == root().trust_version + 1


def test_it_is_over_when_every_node_has_a_certificate_of_the_new_root() -> None:
    during = begun(root(), target(ROOTS[1]))
    ready = node("a", ROOTS[1], ROOTS[0], ROOTS[1])
    late = node("b", ROOTS[0], ROOTS[0])
    assert not progress(during, [ready, late]).complete
    assert progress(during, [ready]).complete
    after = finished(during, "w2", "m2")
    assert trusted_roots(after) == ROOTS[1].cert_pem
    assert issuer_of(after).keyed == ROOTS[1]
    assert (after.worker_secret, after.manager_secret) == ("w2", "m2")
    assert not after.HasField("rotation")
    assert after.trust_version == during.trust_version + 1
    assert not progress(after, [late]).complete  # there is nothing to complete any more


def test_nodes_that_are_waited_for_are_named_with_the_reason() -> None:
    during = begun(root(), target(ROOTS[1]))
    nodes = [
        node("a", ROOTS[1], ROOTS[0], ROOTS[1]),
        node("b", ROOTS[0], ROOTS[0]),
        node("c", ROOTS[0], ROOTS[0], state=NODE_STATE_DOWN),
        node("d", None, state=NODE_STATE_DOWN),
    ]
    status = root_status(during, nodes)
    assert (status.nodes, status.nodes_issued, status.nodes_trusting) == (4, 1, 0)
    waiting = {one.hostname: one.reason for one in status.waiting}
    assert "not renewed" in waiting["host-b"]
    assert "node rm --force" in waiting["host-c"]
    assert set(waiting) == {"host-b", "host-c", "host-d"}


def test_a_second_rotation_starts_over_and_what_was_issued_stays_trusted() -> None:
    first = begun(root(), target(ROOTS[1]))
    second = begun(first, target(ROOTS[2]))
    assert trusted_roots(second) == ROOTS[2].cert_pem + ROOTS[0].cert_pem + ROOTS[1].cert_pem
    assert issuer_of(second).keyed == ROOTS[2]
    assert progress(second, [node("a", ROOTS[1], ROOTS[0], ROOTS[1])]).waiting
    assert ROOTS[1].key_pem not in second.SerializeToString()
    assert trusted_roots(finished(second, "w", "m")) == ROOTS[2].cert_pem


def test_one_can_go_back_to_the_root_before() -> None:
    first = begun(root(), target(ROOTS[1]))
    back = begun(first, Target(ROOTS[0].cert_pem, ROOTS[0].key_pem))
    assert trusted_roots(back) == ROOTS[0].cert_pem + ROOTS[1].cert_pem
    assert not progress(back, [node("a", ROOTS[1], ROOTS[0], ROOTS[1])]).complete
    assert progress(back, [node("a", ROOTS[0], ROOTS[0], ROOTS[1])]).complete
    assert trusted_roots(finished(back, "w", "m")) == ROOTS[0].cert_pem


def test_the_same_root_with_a_key_only_changes_who_signs() -> None:
    keyless = root()
    keyless.key_pem = b""
    changed = begun(keyless, Target(ROOTS[0].cert_pem, ROOTS[0].key_pem))
    assert not changed.HasField("rotation")
    assert issuer_of(changed).keyed == ROOTS[0]


def test_rotations_on_top_of_each_other_have_a_limit() -> None:
    current = root()
    for _ in range(ROOTS_MAX - 1):
        current = begun(current, target(create_root_ca("c", NOW)))
    assert len(certificates_of(trusted_roots(current))) == ROOTS_MAX
    one_more = target(create_root_ca("c", NOW))
    with pytest.raises(FailedPrecondition, match="let this one finish first"):
        begun(current, one_more)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_no_node_is_ever_cut_off(targets: list[int], issuers: list[int]) -> None:
    """Whatever was begun on the way: at the end no node holds a certificate of a root that is dropped."""
    current = root()
    signed = {0}  # roots of which some node may have a certificate
    for number in targets:
        if number == 0 and not current.HasField("rotation"):
            continue
        current = begun(current, target(ROOTS[number]))
        signed.add(number)
        trusted = {digest_of(one) for one in certificates_of(trusted_roots(current))}
        assert {root_digest(ROOTS[one].cert_pem) for one in signed} <= trusted
    nodes = [node(str(n), ROOTS[issuer], ROOTS[issuer]) for n, issuer in enumerate(issuers)]
    if progress(current, nodes).complete:
        kept = trusted_roots(finished(current, "w", "m"))
        assert all(root_digest(ROOTS[issuer].cert_pem) == root_digest(kept) for issuer in issuers)


def test_many_nodes_renew_one_after_the_other() -> None:
    assert renewal_spread_ns(1) == 0.5 * SECOND
    assert renewal_spread_ns(1000) == 20 * SECOND
