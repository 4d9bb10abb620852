import json
from pathlib import Path

import pytest

from swarm.errors import InvalidArgument, NameConflict, NotFound
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError
from swarm.machine.host_keys import HostKey
from swarm.machine.store import MachineStore, Record

RECORD = Record(
    name="m1",
    driver="generic",
    endpoint=Endpoint(Hop("h", 23, "ada"), "/k", (Hop("gate"),)),
    labels={"a": "b"},
)


@pytest.fixture
def store(tmp_path: Path) -> MachineStore:
    return MachineStore(tmp_path / "data" / "machines")


def test_what_is_kept_comes_back(store: MachineStore) -> None:
    assert store.names() == []
    store.add(RECORD)
    assert store.load("m1") == RECORD
    assert store.load_all("default") == [RECORD]
    assert store.load_all("other") == []
    store.remove("m1")
    assert store.names() == []


def test_only_the_owner_can_read_it(store: MachineStore) -> None:
    store.add(RECORD)
    store.save_host_keys("m1", {"h": (HostKey("ssh-ed25519", "QUJD"),)})
    folder = store.folder("m1")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert store.host_keys("m1") == {"h": (HostKey("ssh-ed25519", "QUJD"),)}


def test_two_machines_of_one_name_cannot_be(store: MachineStore) -> None:
    store.add(RECORD)
    with pytest.raises(NameConflict, match="m1 already"):
        store.add(RECORD)


def test_a_machine_that_is_not_there_is_told_with_those_that_are(store: MachineStore) -> None:
    store.add(RECORD)
    with pytest.raises(NotFound, match="known: m1"):
        store.load("m2")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 99}', '{"schema": 1, "name": "m1"}'])
def test_a_damaged_record_hinders_only_its_own_machine(store: MachineStore, text: str) -> None:
    store.add(RECORD)
    store.folder("m2").mkdir()
    (store.folder("m2") / "machine.json").write_text(text)
    with pytest.raises(MachineError, match="rm --force m2"):
        store.load("m2")
    assert store.load_all() == [RECORD]
    assert store.names() == ["m1", "m2"]
    store.remove("m2")
    assert store.names() == ["m1"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a" * 64, ".hidden"])
def test_a_name_leads_nowhere_else(store: MachineStore, name: str) -> None:
    with pytest.raises(InvalidArgument):
        store.folder(name)


def test_one_at_a_time_works_on_a_machine(store: MachineStore) -> None:
    with store.lock("m1"), pytest.raises(MachineError, match="another swarmctl"):
        store.lock("m1").__enter__()
    with store.lock("m1"):
        pass
    with store.cluster_lock("prod"), pytest.raises(MachineError, match="starts the cluster"):
        store.cluster_lock("prod").__enter__()


def test_a_journal_survives_a_cut_line(store: MachineStore) -> None:
    store.write_journal("m1", {"step": "upload"})
    with (store.folder("m1") / "journal.jsonl").open("a") as file:
        file.write('{"step": "unp\n')
    store.write_journal("m1", {"step": "join"})
    assert [line["step"] for line in store.journal("m1")] == ["upload", "join"]


def test_no_secret_has_a_place_in_a_record(store: MachineStore) -> None:
    store.add(RECORD)
    text = (store.folder("m1") / "machine.json").read_text()
    assert not [key for key in json.loads(text) if "pass" in key or "token" in key or "secret" in key]
