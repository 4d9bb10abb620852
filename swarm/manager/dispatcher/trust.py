"""Whom should nodes trust now, and from whom should their certificates be?"""

import functools

from swarm.api.v1.dispatcher_pb2 import Trust
from swarm.manager.store.tables import ReadView
from swarm.security.rotation import issuer_of, renewal_spread_ns, trusted_roots
from swarm.security.tokens import root_digest

_digest = functools.lru_cache(maxsize=4)(root_digest)  # asked at every heartbeat of every node


def trust_of(view: ReadView) -> Trust | None:
    """Return what to tell a node, None while this manager does not know its cluster."""
    if view.cluster is None:
        return None
    root = view.cluster.root_ca
    issuer_pem = issuer_of(root).root_pem
    return Trust(
        roots_pem=trusted_roots(root),
        version=root.trust_version,
        issuer_digest=_digest(issuer_pem) if issuer_pem else b"",
        renew_within_ns=renewal_spread_ns(len(view.nodes)),
    )
