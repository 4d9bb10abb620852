"""The keeper of the lock: follows the cluster, tries again, and forgets no key that a file needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.api.v1.objects_pb2 import Cluster
from swarm.manager import lock as lock_module
from swarm.manager.lock import LockKeeper
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with
from swarm.security.keyring import Keyring, create_keyring, is_sealed, open_keyring
from swarm.security.tls import NodeCredentials
from swarm.security.unlock_key import UnlockKey, format_unlock_key, new_unlock_key
from tests.unit.security.test_sealed_key import bundle


class Files:
    """Raft's files: one that needs a key, and trouble."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self.needed = frozenset({keyring.current.id})
        self.trouble: list[Exception] = []
        self.holds_back = False

    async def rekey(self) -> frozenset[bytes]:
        if self.trouble:
            raise self.trouble.pop()
        current = frozenset({self._keyring.current.id})
        self.needed = self.needed | current if self.holds_back else current
        return self.needed


class Bench:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys"
        self.keyring = create_keyring(self.path)
        self.credentials = NodeCredentials.create(folder / "node.pem", bundle())
        self.store: Store = store_with(Cluster(id="c"))
        self.files = Files(self.keyring)
        self.exposed = 0
        self.keeper = LockKeeper(self.store, self.files, self.keyring, self.credentials, self._expose)

    def _expose(self) -> None:
        self.exposed += 1

    async def lock(self, version: int, key: UnlockKey | None) -> None:
        cluster = Cluster()
        assert self.store.view.cluster is not None
        cluster.CopyFrom(self.store.view.cluster)
        cluster.unlock_key_version = version
        cluster.unlock_key = format_unlock_key(key) if key else ""
        await self.store.update(lambda tx: tx.update(cluster))

    def settled(self, version: int) -> bool:
        current = {self.keyring.current.id}
        sealed = current if self.keyring.is_sealed else set()
        keys = self.keyring.ids == current and self.files.needed == current
        return self.keyring.version == version and keys and self.credentials.needed_keys == sealed


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(lock_module, "RETRY_S", 0.02)
    made = Bench(tmp_path)
    running = asyncio.create_task(made.keeper.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def eventually(bench: Bench, version: int) -> None:
    async with asyncio.timeout(60):
        while not bench.settled(version):
            await asyncio.sleep(0.01)


async def test_on_rotation_and_off_are_followed_with_all_files(bench: Bench) -> None:
    async with asyncio.timeout(60):
        await bench.keeper.settled.wait()
    for version in (1, 2):
        key = new_unlock_key(version)
        await bench.lock(version, key)
        await eventually(bench, version)
        assert open_keyring(bench.path, key).ids == bench.keyring.ids
    assert bench.exposed == 1  # only the first time the private key had been in clear
    await bench.lock(3, None)
    await eventually(bench, 3)
    assert not is_sealed(bench.path)


async def test_a_state_that_is_behind_the_key_file_does_not_turn_it_back(bench: Bench) -> None:
    key = new_unlock_key(5)
    await bench.lock(5, key)
    await eventually(bench, 5)
    before = bench.path.read_bytes()
    await bench.lock(4, None)  # as a restart sees it before the log is replayed
    await asyncio.sleep(0.1)
    assert bench.path.read_bytes() == before


async def test_what_fails_is_tried_again_and_no_needed_key_is_lost(bench: Bench) -> None:
    bench.files.trouble = [OSError("No space left on device")] * 3
    bench.files.holds_back = True
    first = bench.keyring.current
    await bench.lock(1, new_unlock_key(1))
    async with asyncio.timeout(60):
        while bench.files.trouble or first.id not in bench.files.needed or not bench.keyring.is_sealed:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert bench.keyring.find(first.id) == first
    bench.files.holds_back = False
    await eventually(bench, 1)
    assert bench.keyring.find(first.id) is None
