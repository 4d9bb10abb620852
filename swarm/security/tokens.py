"""What a join token says: which cluster (digest of its root certificate) and the secret that lets a node in.

`SWMTKN-1-<SHA-256 of the root certificate, 50 digits of base 36>-<16 random bytes, 25 digits of base 36>`.
No error of this module repeats any part of the text it was given: it may be a secret with a typo in it.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from swarm.errors import InvalidArgument
from swarm.ids import base36

PREFIX = "SWMTKN-1"
DIGEST_BYTES = 32
DIGEST_DIGITS = 50
SECRET_BYTES = 16
SECRET_DIGITS = 25

_SHAPE = re.compile(r"SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A parsed token; `secret` is its text form (25 digits of base 36) and stays out of `repr`."""

    root_digest: bytes
    secret: str = field(repr=False)


def new_secret() -> str:
    """Return a fresh secret: 128 random bits as 25 digits of base 36."""
    return base36(secrets.randbits(SECRET_BYTES * 8), SECRET_DIGITS)


def root_digest(root_cert_pem: bytes) -> bytes:
    """Return the SHA-256 of the certificate's DER form, as tokens carry it."""
    certificate = x509.load_pem_x509_certificate(root_cert_pem)
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def format_token(root_cert_pem: bytes, secret: str) -> str:
    """Return the token that joins the cluster of this root certificate with this secret."""
    digest = base36(int.from_bytes(root_digest(root_cert_pem), "big"), DIGEST_DIGITS)
    return f"{PREFIX}-{digest}-{secret}"


def parse_token(text: str) -> JoinToken:
    """Return what the token says; raises InvalidArgument, never quoting the token."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(_what_is_wrong(text.strip()))
    digest, secret = int(match[1], 36), int(match[2], 36)
    if digest >= 1 << DIGEST_BYTES * 8 or secret >= 1 << SECRET_BYTES * 8:
        raise InvalidArgument("the join token is damaged: it holds a number that is too large")
    return JoinToken(root_digest=digest.to_bytes(DIGEST_BYTES, "big"), secret=match[2])


def _what_is_wrong(text: str) -> str:
    """Return a sentence that helps to find the mistake without repeating the token."""
    if not text:
        return "a join token is required: swarmctl join-token worker|manager on a manager prints one"
    if not text.startswith("SWMTKN-"):
        return "this is not a join token: a token starts with SWMTKN-1-"
    if not text.startswith(PREFIX + "-"):
        return "the join token is of a version that this swarm does not know: it understands SWMTKN-1-"
    return (
        f"the join token is malformed: after SWMTKN-1- come {DIGEST_DIGITS} and {SECRET_DIGITS} small"
        " letters and digits with a dash between; was it copied completely?"
    )
