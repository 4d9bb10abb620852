"""This manager's files follow the cluster's lock: sealed with its unlock key, or in clear.

The key file changes first and in one step; from then on a restart needs the new unlock key. What follows can
be interrupted anywhere and is taken up again at the next start: the node's private key is sealed or opened,
Raft's files are encrypted with the newest data key, and only then the data keys before it are forgotten.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from swarm.api.v1.objects_pb2 import Cluster
from swarm.errors import SwarmError
from swarm.manager.store.store import Store
from swarm.manager.store.watch import WatchOverflow
from swarm.security.keyring import Keyring
from swarm.security.tls import NodeCredentials
from swarm.security.unlock_key import parse_unlock_key

log = structlog.get_logger(__name__)

RETRY_S = 5.0  # disk full, or a file that still needs an older key


class EncryptedFiles(Protocol):
    """What is asked of Raft."""

    async def rekey(self) -> frozenset[bytes]:
        """Encrypt what needs another key than the current one; returns the keys that are needed then."""


class LockKeeper:
    """Runs on every manager."""

    def __init__(
        self,
        store: Store,
        files: EncryptedFiles,
        keyring: Keyring,
        credentials: NodeCredentials,
        on_exposed: Callable[[], None],
    ) -> None:
        """`on_exposed` hears that the private key was in clear on disk until now: a new one is due."""
        self._store = store
        self._files = files
        self._keyring = keyring
        self._credentials = credentials
        self._on_exposed = on_exposed
        self.settled = asyncio.Event()  # everything is as the cluster said when this manager first knew it

    async def run(self) -> None:
        """Follow until cancelled."""
        with self._store.watch(Cluster) as watch:
            while True:
                done = await self._follow()
                try:
                    async with asyncio.timeout(None if done else RETRY_S):
                        await anext(watch)
                    watch.drain()
                except (TimeoutError, WatchOverflow):
                    continue  # the next pass reads the whole state anyhow

    async def _follow(self) -> bool:
        """Do what there is to do; returns whether all is done."""
        cluster = self._store.view.cluster
        try:
            if cluster is not None:
                await self._turn(cluster)
            done = await self._catch_up()
        except (SwarmError, OSError) as error:
            log.warning("manager.lock_not_followed", reason=str(error))
            return False
        if done and cluster is not None:
            self.settled.set()
        return done

    async def _turn(self, cluster: Cluster) -> None:
        """Let the key file be as the cluster says, unless it is further than this manager's state."""
        if cluster.unlock_key_version <= self._keyring.version:
            return
        key = parse_unlock_key(cluster.unlock_key) if cluster.unlock_key else None
        await asyncio.to_thread(self._keyring.follow, cluster.unlock_key_version, key)
        log.info("manager.lock_changed", sealed=self._keyring.is_sealed, version=self._keyring.version)

    async def _catch_up(self) -> bool:
        """Let everything else be as the key file says; returns whether nothing needs an older key."""
        if self._credentials.protect(self._keyring):
            self._on_exposed()
        current = self._keyring.current.id
        if self._keyring.ids == {current}:
            return True
        needed = await self._files.rekey()
        await asyncio.to_thread(self._keyring.keep_only, needed | self._credentials.needed_keys)
        log.info("manager.files_encrypted_anew", keys=len(self._keyring.ids))
        return needed <= {current}
