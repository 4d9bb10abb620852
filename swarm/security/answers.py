"""Is what an external CA answered the certificate that was asked for? Pure."""

import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, Unavailable
from swarm.security.certificates import HOUR_NS, csr_public_key, split_pem
from swarm.security.identity import Role, subject_attribute
from swarm.security.roots import UNREADABLE, is_issued_by

VALIDITY_LEFT_MIN_NS = 60 * SECOND
CLOCK_DIFFERENCE_NS = HOUR_NS


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that is asked for, of a node, or (`user_key`) of a person of the store.

    `node_id` of a person is the name.
    """

    csr_pem: bytes
    node_id: str
    role: Role
    cluster_id: str
    user_key: str = ""

    @property
    def hosts(self) -> list[str]:
        """The alternative names. CFSSL cannot write an attribute for who a person is, so that is one."""
        return [self.role.value, self.user_key or self.node_id]

    @property
    def usages(self) -> set[x509.ObjectIdentifier]:
        """What it has to be good for: people only call."""
        calls = {ExtendedKeyUsageOID.CLIENT_AUTH}
        return calls if self.user_key else {ExtendedKeyUsageOID.SERVER_AUTH, *calls}


def certificate_in(url: str, status: int, answer: bytes) -> bytes:
    """Return the certificate (PEM) in a CFSSL answer.

    Raises FailedPrecondition with what the CA said against it, Unavailable when its server failed.
    """
    try:
        parsed: Any = json.loads(answer)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        error = Unavailable if status >= 500 else FailedPrecondition
        raise error(f"the external CA at {url} answered with status {status} and no CFSSL answer")
    result = parsed.get("result")
    pem = result.get("certificate") if isinstance(result, dict) else None
    if not parsed.get("success") or not isinstance(pem, str):
        error = Unavailable if status >= 500 else FailedPrecondition
        raise error(f"the external CA at {url} refused to sign: {_said(parsed) or f'status {status}'}")
    blocks = split_pem(pem.encode(), "CERTIFICATE")
    if len(blocks) != 1:
        raise FailedPrecondition(
            f"the external CA at {url} answered with {len(blocks)} certificates instead of one"
        )
    return blocks[0]


def _said(answer: dict[str, Any]) -> str:
    """Return the messages of an answer, shortened: they are somebody else's."""
    errors = answer.get("errors")
    if not isinstance(errors, list):
        return ""
    texts = [str(one.get("message", "")) if isinstance(one, dict) else str(one) for one in errors]
    return "; ".join(text for text in texts if text)[:300]


def check_issued(cert_pem: bytes, wanted: Wanted, root_pem: bytes, now_ns: int) -> None:
    """Raise FailedPrecondition unless this is exactly the certificate that is wanted, from that root."""
    try:
        problem = _problem(cert_pem, wanted, root_pem, now_ns)
    except UNREADABLE as error:
        problem = f"it cannot be read ({error})"
    if problem:
        raise FailedPrecondition(
            f"the external CA answered with a certificate that cannot be used: {problem}"
        )


def _problem(cert_pem: bytes, wanted: Wanted, root_pem: bytes, now_ns: int) -> str:
    certificate = x509.load_pem_x509_certificate(cert_pem)
    key = certificate.public_key()
    constraints = _extension(certificate, x509.BasicConstraints)
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    names = _extension(certificate, x509.SubjectAlternativeName)
    if key != csr_public_key(wanted.csr_pem):
        return "it is for another key"
    if not is_issued_by(certificate, x509.load_pem_x509_certificate(root_pem)):
        return "it is not signed by the root of the cluster"
    if constraints is not None and constraints.ca:
        return "it is that of a CA"
    if usages is not None and not wanted.usages <= {*usages}:
        whom = "clients" if wanted.user_key else "servers and clients"
        return f"it is not for {whom} (extended key usage)"
    if names is None or {*names.get_values_for_type(x509.DNSName)} != {*wanted.hosts}:
        return f"its names must be {' and '.join(wanted.hosts)}"
    return _subject_problem(certificate, wanted) or _validity_problem(certificate, now_ns)


def _subject_problem(certificate: x509.Certificate, wanted: Wanted) -> str:
    expected = {
        "name (CN)" if wanted.user_key else "node id (CN)": (NameOID.COMMON_NAME, wanted.node_id),
        "role (OU)": (NameOID.ORGANIZATIONAL_UNIT_NAME, wanted.role.value),
        "cluster id (O)": (NameOID.ORGANIZATION_NAME, wanted.cluster_id),
    }
    for what, (oid, value) in expected.items():
        if subject_attribute(certificate, oid) != value:
            return f"its {what} is not {value}"
    return ""


def _validity_problem(certificate: x509.Certificate, now_ns: int) -> str:
    now_s = now_ns / SECOND
    if certificate.not_valid_before_utc.timestamp() > now_s + CLOCK_DIFFERENCE_NS / SECOND:
        return "it is not valid yet"
    if certificate.not_valid_after_utc.timestamp() < now_s + VALIDITY_LEFT_MIN_NS / SECOND:
        return "it expires within a minute"
    return ""


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
