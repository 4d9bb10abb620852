"""Requests about the cluster's root: nothing secret in an answer, nothing half-done after an error."""

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.specs_pb2 import ExternalCA
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, StaleVersion
from swarm.manager.controlapi.ca import Rotation
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with
from swarm.security.certificates import create_root_ca
from swarm.security.roots import is_issued_by
from swarm.security.rotation import issuer_of, trusted_roots
from tests.unit.controlapi.fakes import FakeContext, FakeImages, FakeLogs, FakeRaft

NOW = SystemClock().now_ns()
ROOT, OWN = create_root_ca("c", NOW), create_root_ca("corp", NOW)


def a_cluster() -> Cluster:
    made = Cluster(id="c")
    made.root_ca.cert_pem, made.root_ca.key_pem = ROOT.cert_pem, ROOT.key_pem
    made.root_ca.worker_secret, made.root_ca.manager_secret = "w" * 25, "m" * 25
    return made


def a_servicer(made: Cluster) -> tuple[ControlServicer, Store]:
    store = store_with(made, clock=SystemClock())

    def no_dial(addr: str):  # type: ignore[no-untyped-def]
        raise AssertionError(f"nobody should dial {addr}")

    return ControlServicer(store, SystemClock(), FakeRaft(), FakeImages(), FakeLogs(), "m1", no_dial), store


async def test_a_rotation_begins_and_no_answer_shows_a_key() -> None:
    servicer, store = a_servicer(a_cluster())
    answer = await servicer.RotateCA(c.RotateCARequest(node_cert_expiry_ns=10**13), FakeContext())
    assert answer.status.rotating
    assert answer.status.root_pem == ROOT.cert_pem
    assert store.view.cluster is not None
    root = store.view.cluster.root_ca
    assert issuer_of(root).root_pem not in {ROOT.cert_pem, b""}
    assert store.view.cluster.spec.node_cert_expiry_ns == 10**13
    shown = await servicer.GetCluster(c.GetClusterRequest(), FakeContext())
    status = await servicer.GetCA(c.GetCARequest(), FakeContext())
    for message in (answer, shown, status):
        assert b"PRIVATE KEY" not in message.SerializeToString()
        assert b"w" * 25 not in message.SerializeToString()


async def test_the_root_that_the_user_brings_is_used() -> None:
    servicer, store = a_servicer(a_cluster())
    request = c.RotateCARequest(ca_cert_pem=OWN.cert_pem, ca_key_pem=OWN.key_pem)
    await servicer.RotateCA(request, FakeContext())
    assert store.view.cluster is not None
    assert issuer_of(store.view.cluster.root_ca).keyed == OWN
    assert OWN.cert_pem in trusted_roots(store.view.cluster.root_ca)
    await servicer.RotateCA(request, FakeContext())  # the message comes twice
    assert issuer_of(store.view.cluster.root_ca).keyed == OWN
    assert trusted_roots(store.view.cluster.root_ca) == OWN.cert_pem + ROOT.cert_pem


@pytest.mark.parametrize(
    ("request_", "error", "why"),
    [
        (c.RotateCARequest(ca_key_pem=OWN.key_pem), InvalidArgument, "give both"),
        (c.RotateCARequest(ca_cert_pem=b"x"), InvalidArgument, "must be one PEM certificate"),
        (
            c.RotateCARequest(ca_cert_pem=OWN.cert_pem, ca_key_pem=ROOT.key_pem),
            InvalidArgument,
            "not the key",
        ),
        (c.RotateCARequest(ca_cert_pem=OWN.cert_pem), FailedPrecondition, "cannot ask an external CA"),
        (c.RotateCARequest(node_cert_expiry_ns=1), InvalidArgument, "10 seconds at least"),
        (c.RotateCARequest(external_cas=[ExternalCA(url="http://x")]), InvalidArgument, "must be https"),
    ],
)
async def test_what_cannot_be_done_changes_nothing(
    request_: c.RotateCARequest, error: type[Exception], why: str
) -> None:
    servicer, store = a_servicer(a_cluster())
    before = store.view.index
    with pytest.raises(error, match=why) as caught:
        await servicer.RotateCA(request_, FakeContext())
    assert "PRIVATE" not in str(caught.value)
    assert store.view.index == before


async def test_from_external_to_external_takes_two_steps() -> None:
    made = a_cluster()
    made.root_ca.key_pem = b""
    servicer, _ = a_servicer(made)
    request = c.RotateCARequest(
        ca_cert_pem=OWN.cert_pem, external_cas=[ExternalCA(url="https://127.0.0.1:1")]
    )
    with pytest.raises(FailedPrecondition, match="in one step"):
        await servicer.RotateCA(request, FakeContext())


async def test_of_two_rotations_at_the_same_moment_one_is_told_to_try_again() -> None:
    _, store = a_servicer(a_cluster())
    one, two = (Rotation(c.RotateCARequest(), lambda: pytest.fail("not asked")) for _ in range(2))
    assert store.view.cluster is not None
    for rotation in (one, two):
        await rotation.prepare(store.view.cluster, NOW, 1.0)
    await store.update(one.begin)
    with pytest.raises(StaleVersion, match="at the same moment"):
        await store.update(two.begin)


async def test_a_new_root_is_signed_by_the_present_one() -> None:
    from cryptography import x509

    servicer, store = a_servicer(a_cluster())
    await servicer.RotateCA(c.RotateCARequest(), FakeContext())
    assert store.view.cluster is not None
    crossed = x509.load_pem_x509_certificate(store.view.cluster.root_ca.rotation.cross_signed_pem)
    assert is_issued_by(crossed, x509.load_pem_x509_certificate(ROOT.cert_pem))
