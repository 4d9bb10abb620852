"""Looking into the files of a manager: what is shown, what of damage, and that nothing changes."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.clock import SystemClock
from swarm.config import Settings
from swarm.daemon import main
from swarm.manager.raft import inspect
from swarm.manager.raft import journal as raft_journal
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import change_command, data_command
from swarm.manager.raft.files import open_files
from swarm.manager.raft.inspect import read_log
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.store.proposer import Proposer
from swarm.manager.store.store import Store
from swarm.security import keyring
from swarm.security.keyring import Keyring, create_keyring, open_keyring
from swarm.security.unlock_key import format_unlock_key, new_unlock_key

SECRET = "recognisable-secret"
MYSELF = RaftMember(raft_id="r1", node_id="n1", addr="10.0.0.1:2377")
OTHER = RaftMember(raft_id="r2", node_id="n2", addr="10.0.0.2:2377")


class Log(Proposer):
    """Appends what a store proposes, one frame an entry."""

    def __init__(self, journal, store: Store) -> None:
        self.journal, self.store = journal, store

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        index = self.journal[-1][1] + 1
        self.journal.add(data_command(entry), index, 2)
        self.store.apply(index, entry)
        self.journal.sync()
        return index


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """What a manager leaves: a cluster, three services of which the first is in a snapshot, two members."""
    found = Settings(state_dir=tmp_path)
    await fill(found, create_keyring(found.key_file))
    return found


async def fill(settings: Settings, keys: Keyring) -> None:
    config = RaftConfig(settings.raft_dir, "c1", MYSELF, keys)
    journal, snapshots, disk = open_files(config)
    journal.setCurrentTerm(2, "r1")
    store = Store(SystemClock(), "p1")
    store.attach(Log(journal, store))
    cluster = Cluster(id="c1", unlock_key=SECRET)
    cluster.root_ca.worker_secret = cluster.root_ca.manager_secret = SECRET
    cluster.root_ca.key_pem = SECRET.encode()
    await store.update(lambda tx: tx.create(cluster))
    for number in (1, 2, 3):
        service = Service(id=f"s{number}")
        service.spec.annotations.name = f"web{number}"
        service.spec.task.container.registry_auth.password = SECRET
        await store.update(lambda tx, service=service: tx.create(service))
        if number == 1:
            state = store.freeze()
            members = journal.history().current
            snapshots.adopt(snapshots.write("c1", state.applied_index, 2, members, state.records()))
    joined = MembershipChange(kind=MembershipChange.KIND_ADD, member=OTHER)
    journal.add(change_command(joined), journal[-1][1] + 1, 2)
    journal.setRaftCommitIndex(journal[-1][1])
    journal.sync()
    journal._destroy()
    disk.unlock()


def run(settings: Settings, command: str, *flags: str, **options) -> Result:
    arguments = ["debug", command, *flags, "--state-dir", str(settings.state_dir)]
    before = contents(settings.state_dir)
    result = CliRunner().invoke(main, arguments, **options)
    assert contents(settings.state_dir) == before  # whatever it was asked, nothing has changed
    assert SECRET not in result.output
    return result


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def rows(result: Result) -> list[dict[str, Any]]:
    """Return what was printed, which must be one JSON document."""
    return json.loads(result.stdout)


def spoil(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


async def test_the_log_is_shown_entry_by_entry(settings: Settings) -> None:
    result = run(settings, "log")
    assert result.exit_code == 0, result.output
    for said in ("member r1 of cluster c1", "create service s2 (web2)", "add r2 (node n2", "vote for r1"):
        assert said in result.stdout
    found = rows(run(settings, "log", "--format", "json", "--from", "3", "--to", "4"))
    assert [row["index"] for row in found] == [3, 4]
    assert found[0]["what"] == "create service s1 (web1)"
    assert "registry_auth" in str(found[0]["detail"])


async def test_state_snapshots_and_objects_are_shown(settings: Settings) -> None:
    state = json.loads(run(settings, "state", "--format", "json").stdout)
    assert (state["cluster"], state["raft id"], state["term"]) == ("c1", "r1", 2)
    assert state["objects"] == {"clusters": 1, "nodes": 0, "services": 3, "tasks": 0, "images": 0} | {
        "secrets": 0,
        "configs": 0,
        "attachments": 0,
        "volumes": 0,
        "networks": 0,
        "stacks": 0,
        "users": 0,
    }
    assert len(state["members"]) == 2
    (snapshot,) = rows(run(settings, "snapshot", "--format", "json"))
    assert snapshot["objects"]["services"] == 1
    services = json.loads(run(settings, "objects", "services").stdout)
    assert [one["spec"]["annotations"]["name"] for one in services] == ["web1", "web2", "web3"]
    assert json.loads(run(settings, "objects", "clusters").stdout)[0]["id"] == "c1"
    assert "3 services" in run(settings, "state").stdout


async def test_damage_in_the_middle_is_told_with_its_place_and_the_rest_is_shown(settings: Settings) -> None:
    found = rows(run(settings, "log", "--format", "json"))
    offset = next(row["offset"] for row in found if row.get("index") == 4)
    spoil(settings.raft_dir / "log", offset + 40)
    result = run(settings, "log", "--format", "json")
    assert result.exit_code == 3
    (damage,) = [row for row in rows(result) if row["kind"] == "damage"]
    assert damage["offset"] == offset
    indexes = [row["index"] for row in rows(result) if row["kind"] == "entry"]
    assert indexes == [1, 2, 3, 5, 6]
    services = run(settings, "objects", "services")
    assert services.exit_code == 3
    assert f"{settings.raft_dir / 'log'} is damaged at offset {offset}" in services.stderr
    assert [one["id"] for one in json.loads(services.stdout)] == ["s1"]


async def test_a_torn_end_is_what_a_crash_leaves(settings: Settings) -> None:
    path = settings.raft_dir / "log"
    path.write_bytes(path.read_bytes()[:-7])
    result = run(settings, "log")
    assert result.exit_code == 0
    assert "torn end" in result.stdout
    assert len(json.loads(run(settings, "objects", "services").stdout)) == 3


async def test_a_damaged_snapshot_is_told_and_the_log_does_as_well(settings: Settings) -> None:
    (path,) = settings.raft_dir.glob("snapshot-*")
    spoil(path, 60)
    result = run(settings, "snapshot")
    assert result.exit_code == 3
    assert "is damaged at offset" in result.stdout
    services = run(settings, "objects", "services")
    assert services.exit_code == 3
    assert len(json.loads(services.stdout)) == 3


async def test_an_auto_locked_manager_needs_its_unlock_key(settings: Settings, tmp_path: Path) -> None:
    key = new_unlock_key(1)
    Keyring(settings.key_file, _contents(settings)).follow(1, key)
    assert "3 services" in run(settings, "state", env={"SWARM_UNLOCK_KEY": format_unlock_key(key)}).stdout
    assert "3 services" in run(settings, "state", input=format_unlock_key(key) + "\n").stdout
    wrong = run(settings, "state", env={"SWARM_UNLOCK_KEY": format_unlock_key(new_unlock_key(1))})
    assert wrong.exit_code == 1
    assert "not the unlock key of this manager" in wrong.stderr


def _contents(settings: Settings):
    return open_keyring(settings.key_file)._contents


async def test_a_node_without_a_log_is_told_apart(tmp_path: Path) -> None:
    result = run(Settings(state_dir=tmp_path), "state")
    assert result.exit_code == 1
    assert "no manager" in result.stderr
    settings = Settings(state_dir=tmp_path / "m")
    await fill(settings, create_keyring(settings.key_file))
    settings.key_file.unlink()
    assert "key file" in run(settings, "log").stderr


async def test_damage_anywhere_gives_exit_3_with_file_and_offset_or_is_a_torn_end(
    settings: Settings,
) -> None:
    found = rows(run(settings, "log", "--format", "json"))
    offsets = sorted({row["offset"] for row in found})
    path = settings.raft_dir / "log"
    whole = path.read_bytes()
    for at in sorted({0, 9, 20, *random.Random(1).sample(range(len(whole)), 60)}):
        spoil(path, at)
        frame = max((offset for offset in offsets if offset <= at), default=0)
        result = run(settings, "log", "--format", "json")
        if frame == offsets[-1]:  # nothing whole follows: what a crash leaves looks the same
            assert result.exit_code == 0, result.output
            assert rows(result)[-1]["kind"] == "torn end"
        else:
            assert result.exit_code == 3, result.output
            assert f"the Raft log {path} is damaged at offset {frame}: " in result.stderr
            assert (frame, "damage") in [(row["offset"], row["kind"]) for row in rows(result)]
        path.write_bytes(whole)


async def test_any_damage_of_a_snapshot_is_told_with_file_and_offset(settings: Settings) -> None:
    (path,) = settings.raft_dir.glob("snapshot-*")
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        spoil(path, at)
        result = run(settings, "snapshot", "--format", "json")
        assert result.exit_code == 3
        assert f"the snapshot {path.name} is damaged at offset " in result.stderr
        assert "damaged" in rows(result)[0]
        path.write_bytes(whole)
    for size in (0, 20, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert run(settings, "snapshot").exit_code == 3


async def test_a_log_that_was_emptied_or_is_of_something_else_is_damaged_from_its_beginning(
    settings: Settings,
) -> None:
    path = settings.raft_dir / "log"
    for content in (b"", b"something else" * 10):
        path.write_bytes(content)
        for command in ("log", "state"):
            result = run(settings, command)
            assert result.exit_code == 3
            assert f"{path} is damaged at offset 0" in result.stderr


@pytest.mark.parametrize("frames", ["one", "several"])
async def test_entries_that_were_synced_and_are_gone_are_missed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, frames: str
) -> None:
    """A compacted log that lost its end could pass for a torn one, but it says itself how far it went."""
    if frames == "several":
        monkeypatch.setattr(raft_journal, "_COPY_BYTES", 1)
    compact(settings, 3)
    path = settings.raft_dir / "log"
    found = rows(run(settings, "log", "--format", "json"))
    last = next(row["offset"] for row in found if row.get("index") == 6)
    path.write_bytes(path.read_bytes()[: last + 50])
    result = run(settings, "log")
    assert result.exit_code == 3
    assert ("were synced" if frames == "several" else "whose it is") in result.stderr
    assert str(path) in result.stderr


def compact(settings: Settings, first: int) -> None:
    journal = DurableJournal(Disk(settings.raft_dir), open_keyring(settings.key_file))
    compaction = journal.begin_compaction(first, journal.history().at(first))
    compaction.write()
    journal.finish_compaction(compaction)
    journal._destroy()


async def test_a_damaged_key_file_is_told_apart_from_one_that_is_missing(settings: Settings) -> None:
    settings.key_file.write_text(settings.key_file.read_text()[:-9])
    result = run(settings, "log")
    assert result.exit_code == 3
    assert f"the key file {settings.key_file} is damaged" in result.stderr


async def test_the_key_file_of_another_manager_is_refused_and_not_called_damage(settings: Settings) -> None:
    create_keyring(settings.key_file)
    for command in ("log", "snapshot", "state"):
        result = run(settings, command, "--format", "json")
        assert result.exit_code == 1
        assert "not in this manager's key file" in result.stderr
        assert not result.stdout


async def test_without_an_unlock_key_it_says_how_to_give_it(settings: Settings) -> None:
    Keyring(settings.key_file, _contents(settings)).follow(1, new_unlock_key(1))
    result = run(settings, "state", input="")
    assert result.exit_code == 1
    assert "--unlock-key-file" in result.stderr


async def test_a_log_that_is_replaced_while_it_is_read_is_read_to_its_end(settings: Settings) -> None:
    keys = open_keyring(settings.key_file)
    expected = list(read_log(settings.raft_dir, keys))
    reading = read_log(settings.raft_dir, keys)
    seen = [next(reading)]
    compact(settings, 3)
    assert [*seen, *reading] == expected


async def test_a_snapshot_that_vanishes_while_it_is_looked_for_is_no_damage(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "complete_snapshots", lambda _: ["snapshot-gone"])
    result = run(settings, "snapshot", "--format", "json")
    assert (result.exit_code, rows(result)) == (0, [])


async def test_files_that_may_not_be_read_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: str, *_: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", forbidden)
    keys = open_keyring(settings.key_file)
    monkeypatch.setattr(keyring, "open_keyring", lambda *_: keys)
    result = CliRunner().invoke(main, ["debug", "log", "--state-dir", str(settings.state_dir)])
    assert result.exit_code == 1
    assert f"cannot read {settings.raft_dir / 'log'}: Permission denied" in result.stderr


@pytest.mark.parametrize("command", ["log", "snapshot", "state", "objects"])
def test_help_shows_examples(command: str) -> None:
    result = CliRunner().invoke(main, ["debug", command, "--help"])
    assert result.exit_code == 0
    assert f"  swarmd debug {command}" in result.stdout
