"""An external CA is asked over real TLS; whatever is wrong with its answer, nothing wrong is believed."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.specs_pb2 import ExternalCA
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.security.answers import Wanted, certificate_in
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.external_ca import ExternalSigner, check_external_cas, sign_url
from swarm.security.identity import Role, Trust, identify
from swarm.security.keyfiles import NodeBundle
from swarm.security.roots import check_cross_signed
from tests.unit.security.cfssl import ExternalAuthority, external_ca

NOW = SystemClock().now_ns()
ROOT, OLD = create_root_ca("corp", NOW), create_root_ca("c", NOW)
KEY = new_key_pem()
MANAGER = NodeBundle(
    issue_node_certificate(
        OLD, create_csr(KEY), node_id="m1", role=Role.MANAGER, cluster_id="c", now_ns=NOW
    ),
    OLD.cert_pem,
    KEY,
)
WANTED = Wanted(create_csr(new_key_pem()), "n1", Role.WORKER, "c")


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[ExternalAuthority]:
    with external_ca(tmp_path, ROOT, OLD.cert_pem) as made:
        yield made


def signer(*urls: str, bundle: NodeBundle = MANAGER) -> ExternalSigner:
    known = [ExternalCA(url=url, ca_cert_pem=ROOT.cert_pem) for url in urls]
    return ExternalSigner(known, ROOT.cert_pem, OLD.cert_pem, bundle)


async def test_a_manager_gets_a_certificate_for_a_node(authority: ExternalAuthority) -> None:
    pem = await signer(authority.url).sign(WANTED, NOW)
    who = identify(x509.load_pem_x509_certificate(pem), Trust("c", ROOT.cert_pem), NOW)
    assert (who.node_id, who.role, who.cluster_id) == ("n1", Role.WORKER, "c")
    assert "m1" in authority.clients[0]
    assert "swarm-manager" in authority.clients[0]


PERSON = Wanted(create_csr(new_key_pem()), "ann", Role.USER, "c", "u1.3")


async def test_a_person_gets_a_certificate_that_says_which_user_it_is(authority: ExternalAuthority) -> None:
    pem = await signer(authority.url).sign(PERSON, NOW)
    who = identify(x509.load_pem_x509_certificate(pem), Trust("c", ROOT.cert_pem), NOW)
    assert (who.node_id, who.role, who.user, who.user_key) == ("", Role.USER, "ann", "u1.3")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("hosts", "its names must be swarm-user and u1.3"),
        ("node", r"name \(CN\) is not ann"),
        ("role", r"role \(OU\) is not swarm-user"),
        ("usage", "not for clients"),
    ],
)
async def test_a_person_gets_no_other_certificate(
    authority: ExternalAuthority, fault: str, why: str
) -> None:
    authority.fault = fault
    with pytest.raises(FailedPrecondition, match=why):
        await signer(authority.url).sign(PERSON, NOW)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("role", r"role \(OU\) is not swarm-worker"),
        ("node", r"node id \(CN\) is not n1"),
        ("cluster", r"cluster id \(O\) is not c"),
        ("key", "another key"),
        ("foreign", "not signed by the root"),
        ("ca", "it is that of a CA"),
        ("usage", "extended key usage"),
        ("hosts", "its names must be swarm-worker and n1"),
        ("expired", "expires within a minute"),
        ("two", "2 certificates instead of one"),
        ("refused", "refused to sign: policy says no"),
        ("endless", "without an end"),
    ],
)
async def test_a_wrong_answer_is_told_and_not_used(
    authority: ExternalAuthority, fault: str, why: str
) -> None:
    authority.fault = fault
    with pytest.raises(FailedPrecondition, match=why):
        await signer(authority.url).sign(WANTED, NOW)


async def test_a_broken_or_slow_server_is_worth_another_try(
    authority: ExternalAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fault, patience_s, why in [("html", 60, "status 502"), ("slow", 0.3, "did not answer within")]:
        monkeypatch.setattr("swarm.security.external_ca.TIMEOUT_S", patience_s)
        authority.fault = fault
        with pytest.raises(Unavailable, match=why):
            await signer(authority.url).sign(WANTED, NOW)


async def test_the_next_one_is_asked_when_one_is_gone(authority: ExternalAuthority) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"https://127.0.0.1:{free.getsockname()[1]}"  # nobody listens, and nobody else can
        with pytest.raises(Unavailable, match="cannot be asked"):
            await signer(gone).sign(WANTED, NOW)
        assert await signer(gone, authority.url).sign(WANTED, NOW)


async def test_a_server_that_is_not_the_one_meant_is_not_asked(
    authority: ExternalAuthority, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    with external_ca(folder, create_root_ca("other", NOW), OLD.cert_pem) as impostor:
        with pytest.raises(Unavailable, match="cannot be asked"):
            await signer(impostor.url).sign(WANTED, NOW)
        assert impostor.clients == []


async def test_the_server_refuses_who_is_no_member(authority: ExternalAuthority) -> None:
    other, key = create_root_ca("c", NOW), new_key_pem()
    cert = issue_node_certificate(
        other, create_csr(key), node_id="m1", role=Role.MANAGER, cluster_id="c", now_ns=NOW
    )
    with pytest.raises(Unavailable, match="cannot be asked"):
        await signer(authority.url, bundle=NodeBundle(cert, other.cert_pem, key)).sign(WANTED, NOW)
    assert authority.clients == []


async def test_a_new_root_is_signed_by_the_external_one(authority: ExternalAuthority) -> None:
    new = create_root_ca("c", NOW)
    subject = x509.load_pem_x509_certificate(new.cert_pem).subject
    csr = create_csr(new.key_pem, subject)
    crossed = await signer(authority.url).cross_sign(csr, new.cert_pem)
    assert check_cross_signed(crossed, new.cert_pem, ROOT.cert_pem) == ""
    authority.fault = "foreign"
    with pytest.raises(FailedPrecondition, match="not signed by the present root"):
        await signer(authority.url).cross_sign(csr, new.cert_pem)


async def test_an_external_ca_of_another_root_is_not_asked() -> None:
    other = ExternalCA(url="https://127.0.0.1:1", ca_cert_pem=OLD.cert_pem)
    with pytest.raises(FailedPrecondition, match="no external CA that signs with it"):
        await ExternalSigner([other], ROOT.cert_pem, OLD.cert_pem, MANAGER).sign(WANTED, NOW)


def test_a_url_without_path_is_completed_and_others_are_left_alone() -> None:
    assert sign_url("https://ca:8888") == sign_url("https://ca:8888/") == "https://ca:8888/api/v1/cfssl/sign"
    assert sign_url("https://ca/v2/sign?x=1") == "https://ca/v2/sign?x=1"


@pytest.mark.parametrize("url", ["http://ca", "ca:8888", "https://", "https://user:secret@ca"])
def test_only_https_without_password_will_do(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_external_cas([ExternalCA(url=url)])
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=300), st.integers(200, 599))
def test_no_answer_makes_the_reader_fail_in_any_other_way(answer: bytes, status: int) -> None:
    with pytest.raises((FailedPrecondition, Unavailable)):
        certificate_in("https://ca", status, answer)


KEYS = ["success", "result", "certificate", "errors", "message", "x"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5))
def test_no_json_does_either(answer: dict[str, object]) -> None:
    with pytest.raises((FailedPrecondition, Unavailable)):
        certificate_in("https://ca", 200, json.dumps(answer).encode())
