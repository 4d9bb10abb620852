"""Who signed decides, not what the certificate says."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from swarm.errors import InvalidArgument, Unauthenticated
from swarm.security.certificates import (
    BACKDATE_NS,
    DAY_NS,
    HOUR_NS,
    NODE_LIFETIME_NS,
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_join_certificate,
    issue_node_certificate,
    join_ca,
    new_key_pem,
    node_id_of_csr,
)
from swarm.security.identity import Identity, PeerIdentifier, Role, Trust, identify
from swarm.security.tokens import new_secret

NOW = 1_800_000_000 * 10**9
CLUSTER = "cluster1"
ROOT = create_root_ca(CLUSTER, NOW)
WORKER_SECRET, MANAGER_SECRET = new_secret(), new_secret()
TRUST = Trust(
    cluster_id=CLUSTER,
    root_ca_pem=ROOT.cert_pem,
    worker_join_ca_pem=join_ca(WORKER_SECRET, ROOT.cert_pem).cert_pem,
    manager_join_ca_pem=join_ca(MANAGER_SECRET, ROOT.cert_pem).cert_pem,
)


def node_certificate(
    role: Role = Role.WORKER, root: KeyedCertificate = ROOT, cluster: str = CLUSTER
) -> bytes:
    csr = create_csr(new_key_pem())
    return issue_node_certificate(root, csr, node_id="node1", role=role, cluster_id=cluster, now_ns=NOW)


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def forged(
    authority: KeyedCertificate, unit: str = "swarm-manager", *, ca: bool = False
) -> KeyedCertificate:
    """What the holder of an authority's key can sign: any text at all."""
    issuer = certificate(authority.cert_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "node1"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, CLUSTER),
        ]
    )
    signer = load_pem_private_key(authority.key_pem, None)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2090, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyedCertificate(built.public_bytes(Encoding.PEM), key_pem)


@pytest.mark.parametrize("role", [Role.MANAGER, Role.WORKER])
def test_a_certificate_of_the_root_gives_the_role_it_names(role: Role) -> None:
    found = identify(certificate(node_certificate(role)), TRUST, NOW)
    assert found == Identity(node_id="node1", role=role, cluster_id=CLUSTER)


@pytest.mark.parametrize(
    ("secret", "role"),
    [(WORKER_SECRET, Role.JOIN_WORKER), (MANAGER_SECRET, Role.JOIN_MANAGER)],
    ids=["worker", "manager"],
)
def test_a_token_holder_is_a_joiner_of_the_tokens_kind(secret: str, role: Role) -> None:
    leaf = issue_join_certificate(join_ca(secret, ROOT.cert_pem))
    assert identify(certificate(leaf.cert_pem), TRUST, NOW) == Identity("", role, CLUSTER)


def test_a_token_holder_that_signs_itself_a_manager_certificate_stays_a_joiner() -> None:
    leaf = forged(join_ca(WORKER_SECRET, ROOT.cert_pem), unit="swarm-manager")
    assert identify(certificate(leaf.cert_pem), TRUST, NOW).role is Role.JOIN_WORKER


def test_a_certificate_below_an_authority_that_a_token_holder_made_up_is_refused() -> None:
    intermediate = forged(join_ca(WORKER_SECRET, ROOT.cert_pem), ca=True)
    with pytest.raises(Unauthenticated, match="not issued by this cluster"):
        identify(certificate(forged(intermediate).cert_pem), TRUST, NOW)


def test_a_certificate_signed_with_a_nodes_key_is_refused() -> None:
    key = new_key_pem()
    own = issue_node_certificate(
        ROOT, create_csr(key), node_id="n", role=Role.MANAGER, cluster_id=CLUSTER, now_ns=NOW
    )
    with pytest.raises(Unauthenticated):
        identify(certificate(forged(KeyedCertificate(own, key)).cert_pem), TRUST, NOW)


def test_a_root_of_the_same_name_with_another_key_counts_for_nothing() -> None:
    impostor = create_root_ca(CLUSTER, NOW)
    with pytest.raises(Unauthenticated):
        identify(certificate(node_certificate(Role.MANAGER, impostor)), TRUST, NOW)


def test_a_certificate_that_names_another_cluster_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="another cluster"):
        identify(certificate(node_certificate(cluster="cluster2")), TRUST, NOW)


def test_the_root_certificate_itself_is_no_node() -> None:
    with pytest.raises(Unauthenticated, match="not that of a node"):
        identify(certificate(ROOT.cert_pem), TRUST, NOW)


@pytest.mark.parametrize(
    ("now", "reason"),
    [(NOW - 2 * BACKDATE_NS, "not valid yet"), (NOW + NODE_LIFETIME_NS + DAY_NS, "expired")],
)
def test_a_certificate_outside_its_period_is_refused(now: int, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        identify(certificate(node_certificate()), TRUST, now)


def test_a_rotated_token_is_forgotten_with_the_trust() -> None:
    leaf = issue_join_certificate(join_ca(WORKER_SECRET, ROOT.cert_pem)).cert_pem
    identifier = PeerIdentifier(TRUST)
    assert identifier.identify_pem(leaf, NOW).role is Role.JOIN_WORKER
    identifier.trust = Trust(CLUSTER, ROOT.cert_pem, join_ca(new_secret(), ROOT.cert_pem).cert_pem)
    with pytest.raises(Unauthenticated, match="rotated"):
        identifier.identify_pem(leaf, NOW)


def test_a_remembered_certificate_still_expires() -> None:
    pem = node_certificate()
    identifier = PeerIdentifier(TRUST)
    identifier.identify_pem(pem, NOW)
    with pytest.raises(Unauthenticated, match="expired"):
        identifier.identify_pem(pem, NOW + NODE_LIFETIME_NS + HOUR_NS)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(Unauthenticated):
        PeerIdentifier(TRUST).identify_pem(pem, NOW)


def test_the_same_key_is_always_the_same_node() -> None:
    key = new_key_pem()
    first, again, other = create_csr(key), create_csr(key), create_csr(new_key_pem())
    assert node_id_of_csr(first) == node_id_of_csr(again)
    assert node_id_of_csr(first) != node_id_of_csr(other)
    assert len(node_id_of_csr(first)) == 25


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    """Replacing the key in a signed request breaks its signature."""
    mine, theirs = (
        x509.load_pem_x509_csr(create_csr(new_key_pem())).public_bytes(Encoding.DER) for _ in range(2)
    )
    point = slice(mine.index(b"\x00\x04") + 2, mine.index(b"\x00\x04") + 66)
    tampered = x509.load_der_x509_csr(mine.replace(mine[point], theirs[point])).public_bytes(Encoding.PEM)
    with pytest.raises(InvalidArgument, match="own key"):
        node_id_of_csr(tampered)


def test_a_request_says_nothing_about_the_certificate() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-manager")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("swarm-manager")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    issued = certificate(
        issue_node_certificate(ROOT, greedy, node_id="n", role=Role.WORKER, cluster_id=CLUSTER, now_ns=NOW)
    )
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["swarm-worker", "n"]
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert identify(issued, TRUST, NOW).role is Role.WORKER


def test_a_certificate_lives_no_longer_than_the_root() -> None:
    def end(lifetime_ns: int) -> float:
        csr = create_csr(new_key_pem())
        pem = issue_node_certificate(
            ROOT, csr, node_id="n", role=Role.WORKER, cluster_id=CLUSTER, now_ns=NOW, lifetime_ns=lifetime_ns
        )
        return certificate(pem).not_valid_after_utc.timestamp()

    assert end(HOUR_NS) == (NOW + HOUR_NS) / 1e9
    assert end(100 * 365 * DAY_NS) == certificate(ROOT.cert_pem).not_valid_after_utc.timestamp()


def test_keys_stay_out_of_repr() -> None:
    assert b"PRIVATE" in ROOT.key_pem
    assert "PRIVATE" not in repr(ROOT)
