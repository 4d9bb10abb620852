"""Looking into the files of a manager: what is shown, what of damage, and that nothing changes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.clock import SystemClock
from swarm.config import Settings
from swarm.daemon import main
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.entries import change_command, data_command
from swarm.manager.raft.files import open_files
from swarm.manager.store.proposer import Proposer
from swarm.manager.store.store import Store
from swarm.security.keyring import Keyring, create_keyring
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


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


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
    (state,) = rows(run(settings, "state", "--format", "json"))
    assert (state["cluster"], state["raft id"], state["term"]) == ("c1", "r1", 2)
    assert state["objects"] == {"clusters": 1, "nodes": 0, "services": 3, "tasks": 0, "images": 0}
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
    assert f"damaged at offset {offset}" in services.stderr
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
    keyring = Keyring(settings.key_file, _contents(settings))
    keyring.follow(1, key)
    assert "3 services" in run(settings, "state", env={"SWARM_UNLOCK_KEY": format_unlock_key(key)}).stdout
    assert "3 services" in run(settings, "state", input=format_unlock_key(key) + "\n").stdout
    wrong = run(settings, "state", env={"SWARM_UNLOCK_KEY": format_unlock_key(new_unlock_key(1))})
    assert wrong.exit_code == 1
    assert "not the unlock key of this manager" in wrong.stderr


def _contents(settings: Settings):
    from swarm.security.keyring import open_keyring

    return open_keyring(settings.key_file)._contents


async def test_a_node_without_a_log_is_told_apart(tmp_path: Path) -> None:
    result = run(Settings(state_dir=tmp_path), "state")
    assert result.exit_code == 1
    assert "no manager" in result.stderr
    settings = Settings(state_dir=tmp_path / "m")
    await fill(settings, create_keyring(settings.key_file))
    settings.key_file.unlink()
    assert "key file" in run(settings, "log").stderr
