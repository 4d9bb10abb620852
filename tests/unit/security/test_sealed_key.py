"""The node's private key on disk: sealed exactly while the key file is and the node is a manager."""

from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition
from swarm.security.certificates import (
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
    node_id_of_csr,
)
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.keyring import KeySet, create_keyring, new_data_key
from swarm.security.sealed_key import seal_key, sealed_with, unsealer
from swarm.security.tls import NodeCredentials
from swarm.security.unlock_key import new_unlock_key

NOW = 1_800_000_000 * 10**9
ROOT = create_root_ca("cluster", NOW)
CLEAR = b"BEGIN PRIVATE KEY"
FIRST_KEY = new_key_pem()
NODE_ID = node_id_of_csr(create_csr(FIRST_KEY))


def bundle(role: Role = Role.MANAGER, key_pem: bytes = FIRST_KEY) -> NodeBundle:
    cert_pem = issue_node_certificate(
        ROOT,
        create_csr(key_pem),
        node_id=NODE_ID,
        role=role,
        cluster_id="cluster",
        now_ns=NOW,
        lifetime_ns=10**15,
    )
    return NodeBundle(cert_pem, ROOT.cert_pem, key_pem)


def test_a_sealed_block_opens_with_its_key_only() -> None:
    key = new_data_key()
    text = b"before\n" + seal_key(FIRST_KEY, key) + b"after\n"
    assert CLEAR not in text
    assert sealed_with(text) == key.id
    assert unsealer(KeySet((new_data_key(), key)))(text) == b"before\n" + FIRST_KEY + b"after\n"
    for keys in (None, KeySet((new_data_key(),))):
        with pytest.raises(FailedPrecondition, match="sealed with a key that is not there"):
            unsealer(keys)(text)


def test_a_damaged_block_is_called_damaged() -> None:
    key = new_data_key()
    text = bytearray(seal_key(FIRST_KEY, key))
    text[-60] = text[-60] ^ 1 if chr(text[-60] ^ 1).isalnum() else ord("A")
    with pytest.raises(FailedPrecondition, match="damaged"):
        unsealer(KeySet((key,)))(bytes(text))


def test_the_private_key_follows_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    credentials = NodeCredentials.create(path, bundle())
    keyring = create_keyring(tmp_path / "keys")
    assert not credentials.protect(keyring)
    assert CLEAR in path.read_bytes()
    keyring.follow(1, new_unlock_key(1))
    assert credentials.protect(keyring)  # it was in clear: a new key is due
    assert CLEAR not in path.read_bytes()
    assert credentials.needed_keys == {keyring.current.id}
    keyring.follow(2, new_unlock_key(2))
    assert not credentials.protect(keyring)
    assert credentials.needed_keys == {keyring.current.id}
    again = NodeCredentials.load(path, keyring)
    assert again is not None
    assert again.bundle == credentials.bundle
    keyring.follow(3, None)
    assert not again.protect(keyring)
    assert CLEAR in path.read_bytes()


def test_a_renewed_key_stays_sealed(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    credentials = NodeCredentials.create(path, bundle())
    keyring = create_keyring(tmp_path / "keys")
    keyring.follow(1, new_unlock_key(1))
    credentials.protect(keyring)
    renewed = bundle(key_pem=new_key_pem())
    credentials.renew(renewed)
    assert CLEAR not in path.read_bytes()
    loaded = NodeCredentials.load(path, keyring)
    assert loaded is not None
    loaded.renew(bundle())  # the first thing that it does after a restart
    assert CLEAR not in path.read_bytes()


def test_the_key_of_a_worker_is_never_sealed(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    credentials = NodeCredentials.create(path, bundle())
    keyring = create_keyring(tmp_path / "keys")
    keyring.follow(1, new_unlock_key(1))
    credentials.protect(keyring)
    credentials.renew(bundle(Role.WORKER))
    assert NodeCredentials.load(path) is not None
    credentials.protect(keyring)
    assert CLEAR in path.read_bytes()
