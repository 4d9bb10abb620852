"""Gives the cluster its key of encrypted networks, and another one from time to time; runs on the leader."""

import asyncio
import secrets

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Network
from swarm.clock import SECOND, Clock
from swarm.errors import SwarmError
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Watch, WatchOverflow
from swarm.model.overlay_keys import SECRET_BYTES, due_ns, next_key

log = structlog.get_logger(__name__)

WRITE_TIMEOUT_S = 5.0
RETRY_S = 2.0
LOOK_S = 3600.0  # the clock of the machine may be set


def wait_s(view: ReadView, now_ns: int) -> float | None:
    """Return in how many seconds another key is due; None: as long as nothing changes, never."""
    cluster = view.cluster
    at_ns = due_ns(cluster, view.networks) if cluster is not None else None
    return max(at_ns - now_ns, 0) / SECOND if at_ns is not None else None


def renew(transaction: Transaction, secret: bytes, now_ns: int) -> bool:
    """Make `secret` the cluster's key if another one is due; returns whether it was."""
    cluster = transaction.cluster
    if cluster is None or wait_s(transaction, now_ns) != 0:
        return False
    changed = copy_of(cluster)
    changed.overlay_key.CopyFrom(next_key(cluster, secret, now_ns))
    transaction.update(changed)
    return True


class OverlayKeyLoop:
    """Watches for encrypted networks, and for the time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Everything it needs to know is in `store`."""
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled."""
        with self._store.watch(Cluster, Network) as watch:
            while True:
                wait = wait_s(self._store.view, self._clock.now_ns())
                if wait == 0:
                    wait = await self._renew()
                await _next_change(watch, min(wait, LOOK_S) if wait is not None else None)

    async def _renew(self) -> float | None:
        secret, now_ns = secrets.token_bytes(SECRET_BYTES), self._clock.now_ns()
        try:
            done = await self._store.update(lambda tx: renew(tx, secret, now_ns), WRITE_TIMEOUT_S)
        except SwarmError as error:
            log.warning("allocator.overlay_key_not_changed", reason=str(error))
            return RETRY_S
        if done:
            log.info("allocator.overlay_key_changed")
        return wait_s(self._store.view, now_ns)


async def _next_change(watch: Watch, timeout_s: float | None) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await anext(watch)
        watch.drain()
    except (TimeoutError, WatchOverflow):
        pass  # the next look reads the whole state anyhow
