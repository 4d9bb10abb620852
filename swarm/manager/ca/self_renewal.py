"""A manager whose certificate expired gives itself a new one: the replicated state holds the root's key.

Only so can managers come back that were all switched off for longer than certificates live: none of them
would accept the others. Who has the key of the root could issue any certificate anyhow. A manager that was
removed or demoted meanwhile gains nothing: the others go by their state, not by what a certificate says.
"""

import asyncio

import structlog

from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER
from swarm.clock import Clock
from swarm.errors import SwarmError
from swarm.manager.ca.issue import certificate_lifetime_ns
from swarm.manager.ca.signing import sign
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.security.answers import Wanted
from swarm.security.certificates import create_csr, new_key_pem
from swarm.security.identity import Identity, Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import NodeCredentials

log = structlog.get_logger(__name__)

LOOK_S = 0.5
RETRY_S = 20.0


def may_renew_itself(view: ReadView, identity: Identity, end_ns: int, now_ns: int) -> bool:
    """Tell whether a manager whose certificate ends at `end_ns` may sign one for itself. Pure."""
    cluster, node = view.cluster, view.nodes.get(identity.node_id)
    if cluster is None or node is None or now_ns <= end_ns:
        return False
    member = identity.role is Role.MANAGER and identity.cluster_id == cluster.id
    return member and node.role == NODE_ROLE_MANAGER and identity.node_id not in cluster.removed_nodes


class SelfRenewal:
    """Runs on every manager."""

    def __init__(self, store: Store, credentials: NodeCredentials, clock: Clock) -> None:
        """Renew `credentials` by what is in `store`, this manager's own copy of the state."""
        self._store = store
        self._credentials = credentials
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            now_ns, end_ns = self._clock.now_ns(), self._credentials.validity_ns[1]
            pause_s = LOOK_S
            if may_renew_itself(self._store.view, self._credentials.identity, end_ns, now_ns):
                pause_s = await self._renew(now_ns)
            await asyncio.sleep(pause_s)

    async def _renew(self, now_ns: int) -> float:
        """Try it; returns after how many seconds to look again."""
        cluster, identity = self._store.view.cluster, self._credentials.identity
        assert cluster is not None
        key_pem = new_key_pem()
        wanted = Wanted(create_csr(key_pem), identity.node_id, Role.MANAGER, cluster.id)
        try:
            lifetime_ns = certificate_lifetime_ns(cluster)
            signed = await sign(cluster, wanted, self._credentials.bundle, now_ns, lifetime_ns)
            bundle = NodeBundle(signed.chain_pem, signed.roots_pem, key_pem)
            self._credentials.renew(bundle, signed.trust_version)
        except (SwarmError, OSError) as error:
            log.warning("ca.self_renewal_failed", node_id=identity.node_id, reason=str(error))
            return RETRY_S
        log.warning("ca.expired_manager_renewed_itself", node_id=identity.node_id)
        return LOOK_S
