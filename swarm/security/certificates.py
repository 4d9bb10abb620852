"""What the certificates of a cluster look like. Pure but for fresh keys and serial numbers.

root CA ──signs── node certificate (CN node id, OU role, O cluster id)
root CA ──signs── the root that follows it, while the cluster changes from one to the other (`roots.py`)
join key (derived from a token's secret) ──signs── join certificate, good for asking for a node certificate
"""

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarm.clock import SECOND
from swarm.errors import InvalidArgument, InvariantBroken
from swarm.ids import ID_LENGTH, base36
from swarm.security.identity import NODES, PEOPLE, Role
from swarm.security.tokens import root_digest

HOUR_NS = 3600 * SECOND
DAY_NS = 24 * HOUR_NS
ROOT_LIFETIME_NS = 20 * 365 * DAY_NS
NODE_LIFETIME_NS = 90 * DAY_NS
MIN_NODE_LIFETIME_NS = HOUR_NS  # that people may ask for
NODE_LIFETIME_FLOOR_NS = 10 * SECOND  # below it no node could renew in time
USER_LIFETIME_NS = 365 * DAY_NS
BACKDATE_NS = HOUR_NS  # clocks of nodes differ

_CURVE = ec.SECP256R1()
_CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_CALL_ONLY = (ExtendedKeyUsageOID.CLIENT_AUTH,)
_CALL_AND_SERVE = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NODE_ID_BITS = 129  # as many as a random id has
# Join certificates do not expire by date: rotating the token ends them, and a joiner's clock may be wrong.
_ALWAYS = (
    dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
)


AuthorityKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class KeyedCertificate:
    """A certificate with its private key, both PEM; the key stays out of `repr`."""

    cert_pem: bytes
    key_pem: bytes = field(repr=False)


def new_key_pem() -> bytes:
    """Return a fresh P-256 private key."""
    return _key_pem(ec.generate_private_key(_CURVE))


def create_root_ca(cluster_id: str, now_ns: int) -> KeyedCertificate:
    """Return a new self-signed root for a cluster, valid for 20 years.

    Roots of one cluster have different names, or a chain could be read in two ways.
    """
    key = ec.generate_private_key(_CURVE)
    name = _name(f"swarm-ca-{key_digest(key.public_key()).hex()[:12]}", "swarm-root", cluster_id)
    validity = (_moment(now_ns - BACKDATE_NS), _moment(now_ns + ROOT_LIFETIME_NS))
    # One certificate may stand between: the root that follows this one.
    certificate = _authority(key, name, validity, x509.random_serial_number(), path_length=1)
    return KeyedCertificate(_cert_pem(certificate), _key_pem(key))


def create_csr(key_pem: bytes, subject: x509.Name | None = None) -> bytes:
    """Return a request for a certificate of this key.

    For a node it names no subject: the issuer alone decides what the certificate says.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or x509.Name([]))
    return builder.sign(load_authority_key(key_pem), hashes.SHA256()).public_bytes(Encoding.PEM)


def node_id_of_csr(csr_pem: bytes) -> str:
    """Return the id of the node that holds the key of this request.

    It follows from the key, so a joiner that asks again (its answer was lost) becomes the same node instead
    of leaving a dead one behind. Raises InvalidArgument for a request that is not signed by its own key.
    """
    key_der = csr_public_key(csr_pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(b"swarm node id\0" + key_der).digest()
    return base36(int.from_bytes(digest, "big") >> (256 - _NODE_ID_BITS), ID_LENGTH)


def issue_node_certificate(
    root: KeyedCertificate,
    csr_pem: bytes,
    *,
    node_id: str,
    role: Role,
    cluster_id: str,
    now_ns: int,
    lifetime_ns: int = NODE_LIFETIME_NS,
) -> bytes:
    """Return the certificate (PEM) of a node, signed by the root.

    Only the key is taken from the request. The lifetime ends with the root's.
    Raises InvalidArgument for a bad request.
    """
    if role not in NODES:
        raise InvariantBroken(f"no node certificate has the role {role.value}")
    issuer = x509.load_pem_x509_certificate(root.cert_pem)
    end = min(_moment(now_ns + lifetime_ns), issuer.not_valid_after_utc)
    names = [x509.DNSName(role.value), x509.DNSName(node_id)]
    certificate = (
        _leaf(csr_public_key(csr_pem), _name(node_id, role.value, cluster_id), issuer)
        .not_valid_before(max(_moment(now_ns - BACKDATE_NS), issuer.not_valid_before_utc))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(load_authority_key(root.key_pem), hashes.SHA256())
    )
    return _cert_pem(certificate)


def issue_user_certificate(
    root: KeyedCertificate,
    csr_pem: bytes,
    *,
    user: str,
    role: Role,
    cluster_id: str,
    now_ns: int,
    lifetime_ns: int = USER_LIFETIME_NS,
    user_key: str = "",
) -> bytes:
    """Return the certificate (PEM) of a person, signed by the root: good for calling, not for serving.

    `user_key` says which user of the store it is. Raises InvalidArgument for a bad request or name.
    """
    if role not in PEOPLE:
        raise InvariantBroken(f"no person has the role {role.value}")
    check_user_name(user)
    issuer = x509.load_pem_x509_certificate(root.cert_pem)
    # With an alternative name, nobody takes the common name, which a user chose, for that of a server.
    names = [x509.DNSName(role.value)]
    certificate = (
        _leaf(csr_public_key(csr_pem), _name(user, role.value, cluster_id, user_key), issuer, _CALL_ONLY)
        .not_valid_before(max(_moment(now_ns - BACKDATE_NS), issuer.not_valid_before_utc))
        .not_valid_after(min(_moment(now_ns + lifetime_ns), issuer.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(load_authority_key(root.key_pem), hashes.SHA256())
    )
    return _cert_pem(certificate)


def check_user_name(name: str) -> None:
    """Raise InvalidArgument unless a person can be called so."""
    if not _USER_NAME.fullmatch(name):
        raise InvalidArgument(
            f'"{name}" cannot be the name of a user: write 1 to 64 letters, digits or . _ @ -, a letter or '
            "digit first"
        )


def join_ca(secret: str, root_cert_pem: bytes) -> KeyedCertificate:
    """Return the authority that a token's secret stands for in the cluster of this root.

    Manager and joiner compute the same key, each on its own; its name is a digest of the key, so that a
    server can trust several at a time. Which role it gives is known to the managers only.
    """
    key = _join_key(secret, root_cert_pem)
    name = _name(f"swarm-join-{key_digest(key.public_key()).hex()[:32]}", "swarm-join", "swarm")
    return KeyedCertificate(_cert_pem(_authority(key, name, _ALWAYS, serial=1)), _key_pem(key))


def issue_join_certificate(authority: KeyedCertificate) -> KeyedCertificate:
    """Return a certificate with a fresh key that proves possession of the token behind `authority`."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem)
    key = ec.generate_private_key(_CURVE)
    certificate = (
        _leaf(key.public_key(), _name("joiner", "swarm-join", "swarm"), issuer)
        .not_valid_before(_ALWAYS[0])
        .not_valid_after(_ALWAYS[1])
        .sign(_load_key(authority.key_pem), hashes.SHA256())
    )
    return KeyedCertificate(_cert_pem(certificate), _key_pem(key))


def split_pem(text: bytes, label: str) -> Sequence[bytes]:
    """Return the PEM blocks of a kind (e.g. CERTIFICATE) in order."""
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    parts = text.split(begin)[1:]
    return [begin + part.split(end)[0] + end + b"\n" for part in parts if end in part]


def _join_key(secret: str, root_cert_pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of a secret: 384 derived bits, so that the reduction has no visible bias."""
    derived = HKDF(
        algorithm=hashes.SHA256(), length=48, salt=root_digest(root_cert_pem), info=b"swarm join key 1"
    ).derive(secret.encode())
    return ec.derive_private_key(int.from_bytes(derived, "big") % (_CURVE_ORDER - 1) + 1, _CURVE)


def _authority(
    key: ec.EllipticCurvePrivateKey,
    name: x509.Name,
    validity: tuple[dt.datetime, dt.datetime],
    serial: int,
    *,
    path_length: int = 0,
) -> x509.Certificate:
    """Return a self-signed authority; by default it may sign end certificates only."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(authority_usage(), critical=True)
        .add_extension(key_id, critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    public_key: ec.EllipticCurvePublicKey,
    name: x509.Name,
    issuer: x509.Certificate,
    usages: Sequence[x509.ObjectIdentifier] = _CALL_AND_SERVE,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer_key_id(issuer), critical=False)
    )


def issuer_key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return how a certificate names the key of its issuer."""
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def authority_usage() -> x509.KeyUsage:
    """Return what the key of an authority is for."""
    return _key_usage(authority=True)


def key_digest(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """Return the SHA-256 of a public key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str, unit: str, organisation: str, user_key: str = "") -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            *([x509.NameAttribute(NameOID.USER_ID, user_key)] if user_key else ()),
        ]
    )


def csr_public_key(csr_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a request that is signed by that very key; raises InvalidArgument."""
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        signed = request.is_signature_valid
    except ValueError as error:
        raise InvalidArgument("the certificate request cannot be read") from error
    if not signed:
        raise InvalidArgument("the certificate request is not signed by its own key")
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidArgument("the certificate request must be for a P-256 key")
    return key


def _load_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvariantBroken("the private key is not an elliptic curve key")
    return key


def load_authority_key(key_pem: bytes) -> AuthorityKey:
    """Return the private key of a root; raises InvariantBroken for a kind that was never accepted."""
    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise InvariantBroken("the private key of the root is neither an elliptic curve nor an RSA key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _cert_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _moment(ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ns // SECOND, tz=dt.UTC)
