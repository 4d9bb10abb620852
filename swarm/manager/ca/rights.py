"""Looks again at the streams that are being served whenever somebody's right to them may have ended."""

import asyncio
import contextlib

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.users_pb2 import User
from swarm.manager.store.store import Store
from swarm.manager.store.watch import WatchOverflow
from swarm.security.live_calls import LiveCalls

EXPIRY_LOOK_S = 10.0  # certificates end without a commit that says so


class RightsLoop:
    """Ends the streams of who lost a right at once, those of expired certificates within seconds."""

    def __init__(self, store: Store, live: LiveCalls) -> None:
        """Judge the streams in `live` by the roles and removals in `store`."""
        self._store = store
        self._live = live

    async def run(self) -> None:
        """Run until cancelled."""
        with self._store.watch(Cluster, Node, User) as watch:
            while True:
                self._live.recheck()
                with contextlib.suppress(WatchOverflow, TimeoutError):
                    async with asyncio.timeout(EXPIRY_LOOK_S):
                        await anext(watch)
                    watch.drain()
