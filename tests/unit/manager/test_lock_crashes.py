"""A change of the lock that is cut short anywhere, with the power: the next start finds all it needs."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from swarm.manager.raft.files import keys_in_use
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.snapshots import SnapshotStore
from swarm.security import keyfiles, keyring
from swarm.security.keyring import Keyring, Locked, create_keyring, open_keyring
from swarm.security.tls import NodeCredentials
from swarm.security.unlock_key import UnlockKey, new_unlock_key
from tests.simulation.raft.disk import PowerCut, SimDisk
from tests.unit.raft.test_journal import MEMBERS
from tests.unit.security.test_sealed_key import bundle

FIRST, SECOND = new_unlock_key(1), new_unlock_key(2)
ENTRIES, RECORDS = 30, [b"record %d" % number for number in range(20)]


class Manager:
    """The files of a manager, and what `LockKeeper` and Raft do with them, step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk: Any = SimDisk()
        NodeCredentials.create(folder / "node.pem", bundle())
        keys = create_keyring(folder / "keys")
        DurableJournal.create(self.disk, keys, "cluster", "a", MEMBERS)
        journal = DurableJournal(self.disk, keys)
        for index in range(2, ENTRIES + 1):
            journal.add(b"\x00entry", index, 1)
        journal.sync()
        store = SnapshotStore(self.disk, keys)
        for index in (10, 20):
            store.adopt(store.write("cluster", index, 1, MEMBERS, iter(RECORDS)))

    def start(self, *known: UnlockKey) -> tuple[Keyring, NodeCredentials, DurableJournal, SnapshotStore]:
        """Open everything, with whichever of the keys is needed, and check that all is there."""
        keys = self._open_keys(known)
        credentials = NodeCredentials.load(self.folder / "node.pem", keys)
        assert credentials is not None
        assert credentials.bundle.key_pem == bundle().key_pem
        journal, store = DurableJournal(self.disk, keys), SnapshotStore(self.disk, keys)
        assert journal[-1][1] == ENTRIES
        assert not store.damaged
        assert [list(store.read(name).records()) for name in store._complete()] == [RECORDS, RECORDS]
        return keys, credentials, journal, store

    def _open_keys(self, known: tuple[UnlockKey, ...]) -> Keyring:
        try:
            return open_keyring(self.folder / "keys")
        except Locked:
            for key in known[:-1]:
                try:
                    return open_keyring(self.folder / "keys", key)
                except keyring.WrongUnlockKey:
                    continue
            return open_keyring(self.folder / "keys", known[-1])

    def follow(self, version: int, key: UnlockKey | None, *known: UnlockKey) -> None:
        """Start, follow a change, and catch up."""
        keys, credentials, journal, store = self.start(*known)
        keys.follow(version, key)
        credentials.protect(keys)
        store.rekey()
        if journal.key_id != keys.current.id:
            compaction = journal.begin_compaction(1, MEMBERS)
            compaction.write()
            journal.finish_compaction(compaction)
        keys.keep_only(keys_in_use(self.disk) | credentials.needed_keys)

    def check_settled(self, version: int, *known: UnlockKey) -> None:
        keys, credentials, *_ = self.start(*known)
        assert keys.version == version
        assert keys.ids == {keys.current.id} == keys_in_use(self.disk)
        assert credentials.needed_keys == ({keys.current.id} if keys.is_sealed else set())
        assert (b"BEGIN PRIVATE KEY" in (self.folder / "node.pem").read_bytes()) == (not keys.is_sealed)


class Bomb:
    """Goes off at one operation on a disk; also counts them."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.went_off = False

    def __call__(self) -> bool:
        self.left -= 1
        self.went_off = self.went_off or self.left == 0
        return self.left == 0


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Bomb], None]]:
    """Put a bomb before and after every replacement of a small file."""
    write = keyfiles.write_private
    bombs: list[Bomb] = []

    def step() -> None:
        if bombs and bombs[-1]():
            raise PowerCut

    def guarded(path: Path, content: bytes) -> None:
        step()
        write(path, content)
        step()

    monkeypatch.setattr(keyfiles, "write_private", guarded)
    monkeypatch.setattr(keyring, "write_private", guarded)
    yield bombs.append
    bombs.clear()


CHANGES = {
    "on": ((), (1, FIRST), (FIRST,)),
    "rotation": (((1, FIRST),), (2, SECOND), (FIRST, SECOND)),
    "off": (((1, FIRST),), (2, None), (FIRST,)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_power_cut_at_any_operation_leaves_a_manager_that_starts_and_finishes(
    tmp_path: Path, mine: Callable[[Bomb], None], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyfiles, "sync_directory", lambda _: None)
    before, (version, key), known = CHANGES[change]
    for at in count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        manager = Manager(folder)
        for earlier in before:
            manager.follow(*earlier, FIRST)
        bomb = Bomb(at)
        mine(bomb)
        manager.disk.cut_now = bomb
        try:
            manager.follow(version, key, *known)
        except PowerCut:
            assert bomb.went_off
        bomb.left = 0  # does not go off any more
        manager.disk.cut_power(random.Random(at))
        manager.start(*known)
        if bomb.went_off:
            manager.follow(version, key, *known)
        manager.check_settled(version, *known)
        if not bomb.went_off:
            assert at > (4 if change == "off" else 20), "too few operations: is this the real thing?"
            return
