"""Is that a certificate with its key, as an HTTP proxy can serve it; and one for hosts that have none."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarm.timestamps import SECOND

VALID_DAYS = 3650  # of what nobody trusts anyway


def certificate_problem(pem: bytes) -> str:
    """Return why `pem` cannot be served, without quoting any of it; empty when it can."""
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return "it has no certificate in PEM"
    try:
        key = serialization.load_pem_private_key(pem[max(0, _key_begins(pem)) :], password=None)
    except (ValueError, TypeError):
        return "it has no private key in PEM without a password"
    served = chain[0].public_key()
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if served.public_bytes(*form) != key.public_key().public_bytes(*form):
        return "the key is not that of the first certificate"
    return ""


def self_signed(name: str, now_ns: int) -> bytes:
    """Return a certificate with its key, in PEM, that encrypts and proves nothing."""
    now = dt.datetime.fromtimestamp(now_ns // SECOND, dt.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _key_begins(pem: bytes) -> int:
    """Return where the key begins: some tools put it first, some last."""
    end = pem.find(b"PRIVATE KEY-----")
    return pem.rfind(b"-----BEGIN", 0, end) if end >= 0 else -1
