"""Who signs a node's certificate: this manager with the root's key, or an external CA."""

import asyncio
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Cluster
from swarm.errors import Unavailable
from swarm.security.answers import Wanted
from swarm.security.certificates import issue_node_certificate
from swarm.security.external_ca import ExternalSigner
from swarm.security.keyfiles import NodeBundle
from swarm.security.rotation import issuer_of, trusted_roots

EXTERNAL_TIMEOUT_S = 8.0  # less than nodes wait for their answer


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate, with the intermediates that go with it, and what to trust."""

    cert_pem: bytes
    chain_pem: bytes
    roots_pem: bytes
    trust_version: int


async def sign(
    cluster: Cluster, wanted: Wanted, bundle: NodeBundle, now_ns: int, lifetime_ns: int
) -> Signed:
    """Return a certificate of the root that signs now; `bundle` shows an external CA who asks.

    An external CA decides about the lifetime. Raises Unavailable and FailedPrecondition when it does not
    sign, or signs something else.
    """
    issuer = issuer_of(cluster.root_ca)
    roots_pem = trusted_roots(cluster.root_ca)
    if issuer.keyed is not None:
        cert_pem = issue_node_certificate(
            issuer.keyed,
            wanted.csr_pem,
            node_id=wanted.node_id,
            role=wanted.role,
            cluster_id=wanted.cluster_id,
            now_ns=now_ns,
            lifetime_ns=lifetime_ns,
        )
    else:
        signer = ExternalSigner(cluster.spec.external_cas, issuer.root_pem, roots_pem, bundle)
        try:
            async with asyncio.timeout(EXTERNAL_TIMEOUT_S):
                cert_pem = await signer.sign(wanted, now_ns)
        except TimeoutError:
            raise Unavailable(f"no external CA signed within {EXTERNAL_TIMEOUT_S:g} s") from None
    return Signed(cert_pem, cert_pem + issuer.intermediates_pem, roots_pem, cluster.root_ca.trust_version)
