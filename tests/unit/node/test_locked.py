"""Is a node locked after its restart? Every pair of files that an interruption may leave."""

from pathlib import Path

import pytest

from swarm.api.v1.control_pb2 import InfoResponse
from swarm.config import Settings, load_settings
from swarm.errors import FailedPrecondition
from swarm.node.locked import LockedNode, open_node, unlocked
from swarm.node.state import NodeState
from swarm.security.identity import Role
from swarm.security.keyring import Keyring, Locked, WrongUnlockKey, create_keyring
from swarm.security.tls import NodeCredentials
from swarm.security.unlock_key import format_unlock_key, new_unlock_key
from tests.unit.security.test_sealed_key import bundle

KEY = new_unlock_key(1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"state_dir": str(tmp_path / "s"), "run_dir": str(tmp_path / "r")}, {})


def member(settings: Settings, role: Role = Role.MANAGER) -> NodeCredentials:
    return NodeCredentials.create(settings.certificate_file, bundle(role))


def sealed_keyring(settings: Settings) -> Keyring:
    keyring = create_keyring(settings.key_file)
    keyring.follow(1, KEY)
    return keyring


def test_a_manager_in_clear_is_open_and_so_is_one_that_never_ran(settings: Settings) -> None:
    assert open_node(settings).credentials is None
    member(settings)
    assert open_node(settings).credentials is not None
    create_keyring(settings.key_file)
    assert open_node(settings).credentials is not None


@pytest.mark.parametrize("private_key_too", [True, False])
def test_a_sealed_key_file_locks_a_manager(settings: Settings, private_key_too: bool) -> None:
    credentials = member(settings)
    keyring = sealed_keyring(settings)
    if private_key_too:
        credentials.protect(keyring)
    with pytest.raises(Locked, match="swarmctl unlock"):
        open_node(settings)
    with pytest.raises(WrongUnlockKey):
        unlocked(settings, format_unlock_key(new_unlock_key(1)))
    opened = unlocked(settings, format_unlock_key(KEY))
    assert opened.credentials is not None
    assert opened.keyring is not None
    assert opened.keyring.ids == keyring.ids


def test_a_lock_that_was_being_taken_off_is_off(settings: Settings) -> None:
    credentials = member(settings)
    keyring = sealed_keyring(settings)
    credentials.protect(keyring)
    keyring.follow(2, None)  # and killed here: the private key is sealed still
    opened = open_node(settings)
    assert opened.credentials is not None
    assert opened.credentials.bundle == credentials.bundle


def test_a_worker_is_not_locked_by_what_a_demotion_left(settings: Settings) -> None:
    member(settings, Role.WORKER)
    sealed_keyring(settings)
    opened = open_node(settings)
    assert opened.credentials is not None
    assert opened.keyring is None


def test_a_sealed_key_without_its_key_file_says_which_file_is_missing(settings: Settings) -> None:
    member(settings).protect(sealed_keyring(settings))
    settings.key_file.unlink()
    with pytest.raises(Locked, match=r"raft\.keys is missing.*leave --force"):
        open_node(settings)


def test_a_damaged_key_file_keeps_only_what_needs_it_from_working(settings: Settings) -> None:
    credentials = member(settings)
    sealed_keyring(settings)
    text = settings.key_file.read_bytes()
    settings.key_file.write_bytes(b"x" + text)
    assert open_node(settings).credentials is not None  # the manager half will complain
    settings.key_file.write_bytes(text)
    credentials.protect(unlocked(settings, format_unlock_key(KEY)).keyring)
    settings.key_file.write_bytes(b"x" + text)
    for attempt in (lambda: open_node(settings), lambda: unlocked(settings, format_unlock_key(KEY))):
        with pytest.raises(Locked, match=r"is damaged: restore it.*leave --force"):
            attempt()


def test_a_locked_node_says_what_it_is_and_leaves_by_force_only() -> None:
    locked = LockedNode(NodeState("n1", "c1", "10.0.0.1:2377", "0.0.0.0:2377"), "locked: do this")
    info = locked.info("1.0")
    assert (info.state, info.node_id, info.error) == (InfoResponse.STATE_LOCKED, "n1", "locked: do this")
    with pytest.raises(FailedPrecondition, match="unlock it first"):
        locked.check_leave(force=False)
    locked.check_leave(force=True)
