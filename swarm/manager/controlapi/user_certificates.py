"""Who signs the certificate of a user: this manager with the root's key, or an external CA."""

import asyncio
from collections.abc import Callable

from cryptography import x509

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.users_pb2 import IssuedUser, User
from swarm.clock import SECOND, timestamp
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.security.answers import CLOCK_DIFFERENCE_NS, Wanted
from swarm.security.certificates import (
    USER_LIFETIME_NS,
    KeyedCertificate,
    csr_public_key,
    issue_user_certificate,
)
from swarm.security.external_ca import ExternalSigner
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.people import user_key
from swarm.security.rotation import issuer_of, trusted_roots

LIFETIME_MIN_NS = 60 * SECOND
EXTERNAL_TIMEOUT_S = 8.0
ISSUE_S = EXTERNAL_TIMEOUT_S + 4.0  # for a request: an external CA may be slow, and a user is written down


async def issue(
    cluster: Cluster,
    user: User,
    csr_pem: bytes,
    now_ns: int,
    lifetime_ns: int,
    bundle: Callable[[], NodeBundle],
) -> IssuedUser:
    """Return a certificate of a user, who gets its date; `bundle` shows an external CA who asks.

    Raises InvalidArgument, FailedPrecondition, and Unavailable when no external CA answers.
    """
    csr_public_key(csr_pem)
    if lifetime_ns and not LIFETIME_MIN_NS <= lifetime_ns <= 10 * USER_LIFETIME_NS:
        raise InvalidArgument("a certificate of a user is valid for one minute to ten years")
    issuer = issuer_of(cluster.root_ca)
    wanted = Wanted(csr_pem, user.spec.annotations.name, Role.USER, cluster.id, user_key(user))
    if issuer.keyed is not None:
        cert_pem = _own(issuer.keyed, wanted, now_ns, lifetime_ns or USER_LIFETIME_NS)
    else:
        roots_pem = trusted_roots(cluster.root_ca)
        signer = ExternalSigner(cluster.spec.external_cas, issuer.root_pem, roots_pem, bundle())
        try:
            async with asyncio.timeout(EXTERNAL_TIMEOUT_S):
                cert_pem = await signer.sign(wanted, now_ns)
        except TimeoutError:
            raise Unavailable(f"no external CA signed within {EXTERNAL_TIMEOUT_S:g} s") from None
    end_ns = int(x509.load_pem_x509_certificate(cert_pem).not_valid_after_utc.timestamp()) * SECOND
    if lifetime_ns and end_ns > now_ns + lifetime_ns + CLOCK_DIFFERENCE_NS:
        raise FailedPrecondition(
            "the external CA decides how long its certificates are valid, and that is longer than you ask"
            " for: do without --expiry, or change its profile"
        )
    user.certificate_expires_at.CopyFrom(timestamp(end_ns))
    return IssuedUser(
        user=user,
        cert_pem=cert_pem + issuer.intermediates_pem,
        root_ca_pem=trusted_roots(cluster.root_ca),
        cluster_name=cluster.spec.annotations.name,
    )


def _own(root: KeyedCertificate, wanted: Wanted, now_ns: int, lifetime_ns: int) -> bytes:
    return issue_user_certificate(
        root,
        wanted.csr_pem,
        user=wanted.node_id,
        role=wanted.role,
        cluster_id=wanted.cluster_id,
        now_ns=now_ns,
        lifetime_ns=lifetime_ns,
        user_key=wanted.user_key,
    )
