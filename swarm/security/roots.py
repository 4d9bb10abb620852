"""Which roots does a node trust, which of them issued a certificate, and may this one be a root? Pure."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from swarm.api.v1.types_pb2 import TlsInfo
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.security.certificates import (
    KeyedCertificate,
    authority_usage,
    issuer_key_id,
    load_authority_key,
    split_pem,
)

RSA_BITS_MIN = 2048
ROOTS_MAX = 16  # that nodes are asked to trust at a time
# What cryptography raises for bytes that are no proper certificate; parts are read only when asked for.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def certificates_of(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, in order; raises InvalidArgument if one cannot be read."""
    try:
        return [x509.load_pem_x509_certificate(block) for block in split_pem(pem, "CERTIFICATE")]
    except UNREADABLE as error:
        raise InvalidArgument(f"a certificate cannot be read: {error}") from error


def is_root(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is signed by its own key."""
    return is_issued_by(certificate, certificate)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether `issuer` signed a certificate, and the names fit; validity periods are not looked at."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate says that its key signs others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def issuer_among(certificate: x509.Certificate, roots_pem: bytes) -> x509.Certificate | None:
    """Return the first of some roots that signed a certificate, None when none did."""
    return next((root for root in certificates_of(roots_pem) if is_issued_by(certificate, root)), None)


def trust_digest(roots_pem: bytes) -> bytes:
    """Return the digest of a set of roots: that of the root itself when it is one."""
    digests = sorted({digest_of(root) for root in certificates_of(roots_pem)})
    return digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()


def digest_of(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate's DER form."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def tls_info(cert_pem: bytes, roots_pem: bytes) -> TlsInfo:
    """Return what a node with this certificate and these roots tells the managers of them."""
    info = TlsInfo(trust_digest=trust_digest(roots_pem))
    issuer = issuer_among(x509.load_pem_x509_certificate(cert_pem), roots_pem)
    if issuer is not None:
        info.issuer_digest = digest_of(issuer)
        info.issuer_subject = issuer.subject.rfc4514_string()
    return info


def join_pem(pems: Iterable[bytes]) -> bytes:
    """Return certificates as one PEM text, each once, in the order of their first appearance."""
    return b"".join(dict.fromkeys(block for pem in pems for block in split_pem(pem, "CERTIFICATE")))


def same_key(first_pem: bytes, second_pem: bytes) -> bool:
    """Tell whether two roots are one to whoever checks signatures: the same name and key."""
    first, second = (x509.load_pem_x509_certificate(pem) for pem in (first_pem, second_pem))
    return (first.subject, first.public_key()) == (second.subject, second.public_key())


def check_root(cert_pem: bytes, now_ns: int) -> bytes:
    """Return the certificate that somebody wants as root, as clean PEM; raises InvalidArgument."""
    found = certificates_of(cert_pem)
    if len(found) != 1:
        raise InvalidArgument(f"the CA certificate must be one PEM certificate, and there are {len(found)}")
    certificate = found[0]
    try:
        problem = _root_problem(certificate, now_ns)
    except UNREADABLE as error:
        problem = f"it cannot be read ({error})"
    if problem:
        raise InvalidArgument(f"the CA certificate cannot be the root of a cluster: {problem}")
    return certificate.public_bytes(Encoding.PEM)


def check_keyed_root(cert_pem: bytes, key_pem: bytes, now_ns: int) -> KeyedCertificate:
    """Return the certificate and key that somebody wants as root; raises InvalidArgument."""
    clean_pem = check_root(cert_pem, now_ns)
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError:
        raise InvalidArgument("the CA key is protected by a passphrase: give it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidArgument("the CA key cannot be read: give an unencrypted PEM private key") from None
    if key.public_key() != x509.load_pem_x509_certificate(clean_pem).public_key():
        raise InvalidArgument("the CA key is not the key of the CA certificate")
    return KeyedCertificate(clean_pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _root_problem(certificate: x509.Certificate, now_ns: int) -> str:
    """Return why this cannot be a root, empty if it can."""
    now = dt.datetime.fromtimestamp(now_ns // SECOND, tz=dt.UTC)
    if not certificate.not_valid_before_utc <= now:
        return f"it is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
    if now >= certificate.not_valid_after_utc:
        return f"it expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return _key_problem(certificate) or _authority_problem(certificate)


def _key_problem(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            return f"its key is on the curve {key.curve.name}; P-256, P-384 and P-521 will do"
    elif not isinstance(key, rsa.RSAPublicKey):
        return "its key is neither an elliptic curve nor an RSA key"
    elif key.key_size < RSA_BITS_MIN:
        return f"its RSA key has {key.key_size} bits, and {RSA_BITS_MIN} are the least"
    return ""


def _authority_problem(certificate: x509.Certificate) -> str:
    extensions = certificate.extensions
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "it is not that of a CA (it has no basic constraints)"
    if not constraints.ca:
        return "it is not that of a CA"
    if constraints.path_length == 0:
        return "its path length is 0, so that the cluster could never change to another root: give it 1"
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.key_cert_sign:
        return "its key may not sign certificates (key usage)"
    if not certificate.subject.rdns:
        return "it has no subject"
    if not is_root(certificate):
        return "it is not self-signed: give the root itself, not an intermediate"
    return ""


def may_have_intermediates(root_pem: bytes) -> bool:
    """Tell whether a certificate may stand between this root and that of a node."""
    root = x509.load_pem_x509_certificate(root_pem)
    try:
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return constraints.path_length is None or constraints.path_length > 0


def cross_sign(target_pem: bytes, signer: KeyedCertificate) -> bytes:
    """Return the root `target_pem` as an intermediate below the root `signer`.

    Who trusts only `signer` thus accepts what the target's key signs. Raises FailedPrecondition.
    """
    issuer = x509.load_pem_x509_certificate(signer.cert_pem)
    if not may_have_intermediates(signer.cert_pem):
        raise FailedPrecondition(
            "the root of this cluster may not sign another root (its path length is 0): it cannot be rotated"
        )
    target = x509.load_pem_x509_certificate(target_pem)
    key = target.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    crossed = (
        x509.CertificateBuilder()
        .subject_name(target.subject)
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(target.not_valid_before_utc, issuer.not_valid_before_utc))
        .not_valid_after(min(target.not_valid_after_utc, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(authority_usage(), critical=True)
        .add_extension(_subject_key_id(target), critical=False)
        .add_extension(issuer_key_id(issuer), critical=False)
        .sign(load_authority_key(signer.key_pem), hashes.SHA256())
    )
    return crossed.public_bytes(Encoding.PEM)


def check_cross_signed(crossed_pem: bytes, target_pem: bytes, signer_pem: bytes) -> str:
    """Return why this is not `target_pem` below the root `signer_pem`, empty if it is."""
    try:
        crossed = certificates_of(crossed_pem)
    except InvalidArgument as error:
        return str(error)
    if len(crossed) != 1 or not is_issued_by(crossed[0], x509.load_pem_x509_certificate(signer_pem)):
        return "it is not signed by the present root"
    target = x509.load_pem_x509_certificate(target_pem)
    if (crossed[0].subject, crossed[0].public_key()) != (target.subject, target.public_key()):
        return "it is not for the new root"
    return "" if is_authority(crossed[0]) else "it is not that of a CA"


def split_chain(certificates: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return a node's certificates as (its own with intermediates, roots), from a file that has all of them.

    The node's own comes first, roots are those that signed themselves.
    """
    roots = [pem for pem in certificates[1:] if is_root(x509.load_pem_x509_certificate(pem))]
    chain = [pem for pem in certificates if pem not in roots]
    return b"".join(chain), b"".join(roots)


def _subject_key_id(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
