"""Ends a rotation of the root when every node has a certificate of the new one; runs on the leader."""

import asyncio

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.errors import SwarmError
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Watch, WatchOverflow
from swarm.security.rotation import Progress, finished, progress
from swarm.security.tokens import new_secret

log = structlog.get_logger(__name__)

WRITE_TIMEOUT_S = 5.0
RETRY_S = 2.0
GATHER_S = 0.2  # nodes report by the dozen
TELL_S = 30.0  # how often to name the nodes that are waited for


def plan_rotation(view: ReadView) -> Progress | None:
    """Return how far the rotation is that is under way, None when there is none."""
    cluster = view.cluster
    if cluster is None or not cluster.root_ca.HasField("rotation"):
        return None
    return progress(cluster.root_ca, view.nodes)


def finish_rotation(transaction: Transaction, worker_secret: str, manager_secret: str) -> bool:
    """Make the new root the only one, if every node is ready for it; returns whether it was done."""
    state = plan_rotation(transaction)
    cluster = transaction.cluster
    if state is None or cluster is None or not state.complete:
        return False
    changed = copy_of(cluster)
    changed.root_ca.CopyFrom(finished(cluster.root_ca, worker_secret, manager_secret))
    transaction.update(changed)
    return True


class RotationLoop:
    """Watches the nodes while the cluster changes to another root."""

    def __init__(self, store: Store) -> None:
        """Everything it needs to know is in `store`."""
        self._store = store
        self._told_s = float("-inf")

    async def run(self) -> None:
        """Run until cancelled."""
        with self._store.watch(Cluster, Node) as watch:
            while True:
                state = plan_rotation(self._store.view)
                retry_s = None
                if state is not None and state.complete:
                    retry_s = await self._finish(state)
                elif state is not None:
                    self._tell(state)
                    retry_s = TELL_S
                await _next_change(watch, retry_s)
                await asyncio.sleep(GATHER_S)

    async def _finish(self, state: Progress) -> float | None:
        secrets = new_secret(), new_secret()
        try:
            done = await self._store.update(lambda tx: finish_rotation(tx, *secrets), WRITE_TIMEOUT_S)
        except SwarmError as error:
            log.warning("ca.rotation_not_finished", reason=str(error))
            return RETRY_S
        if done:
            log.info("ca.rotation_finished", root_digest=state.desired_digest.hex(), nodes=state.nodes)
        return None

    def _tell(self, state: Progress) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._told_s < TELL_S:
            return
        self._told_s = now_s
        for node_id, reason in state.waiting.items():
            log.info("ca.rotation_waits", node_id=node_id, reason=reason)


async def _next_change(watch: Watch, timeout_s: float | None) -> None:
    """Wait for a change of cluster or nodes, or until it is time to try again."""
    try:
        async with asyncio.timeout(timeout_s):
            await anext(watch)
        watch.drain()
    except (TimeoutError, WatchOverflow):
        pass  # the next look reads the whole state anyhow
