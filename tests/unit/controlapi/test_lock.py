"""The cluster's spec and its unlock key: who gets one when, and what nobody gets to see."""

import pytest

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.errors import FailedPrecondition, InvalidArgument, StaleVersion
from swarm.manager.controlapi.lock import managers_away, rotate_unlock_key, unlock_key, update_cluster
from swarm.manager.controlapi.redact import shown_cluster
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with
from swarm.security.unlock_key import parse_unlock_key
from tests.unit.controlapi.fakes import FakeRaft, a_cluster, a_node

SECRET, OTHER = b"\x01" * 32, b"\x02" * 32


def the_cluster(store: Store) -> Cluster:
    assert store.view.cluster is not None
    return store.view.cluster


async def update(store: Store, *, version: int | None = None, secret: bytes = SECRET, **fields) -> Cluster:
    cluster = the_cluster(store)
    spec = ClusterSpec()
    spec.CopyFrom(cluster.spec)
    for name, value in fields.items():
        setattr(spec, name, value)
    index = cluster.meta.version.index if version is None else version
    await store.update(lambda tx: update_cluster(tx, index, spec, secret))
    return the_cluster(store)


async def test_autolock_brings_a_key_and_its_end_takes_it() -> None:
    store = store_with(a_cluster())
    on = await update(store, autolock=True)
    key = parse_unlock_key(on.unlock_key)
    assert (key.secret, key.version, on.unlock_key_version) == (SECRET, 1, 1)
    same = await update(store, autolock=True, secret=OTHER, task_history_limit=3)
    assert (same.unlock_key, same.unlock_key_version) == (on.unlock_key, 1)
    assert same.spec.task_history_limit == 3
    off = await update(store, autolock=False)
    assert (off.unlock_key, off.unlock_key_version) == ("", 2)
    again = await update(store, autolock=True, secret=OTHER)
    assert parse_unlock_key(again.unlock_key).version == again.unlock_key_version == 3


async def test_a_rotation_needs_a_lock_and_counts_on() -> None:
    store = store_with(a_cluster())
    with pytest.raises(FailedPrecondition, match="--autolock=true"):
        await store.update(lambda tx: rotate_unlock_key(tx, OTHER))
    with pytest.raises(FailedPrecondition, match="there is no unlock key"):
        unlock_key(the_cluster(store))
    await update(store, autolock=True)
    text = await store.update(lambda tx: rotate_unlock_key(tx, OTHER))
    assert text == unlock_key(the_cluster(store))
    assert parse_unlock_key(text).version == the_cluster(store).unlock_key_version == 2


async def test_what_was_read_too_early_or_is_wrong_changes_nothing() -> None:
    store = store_with(a_cluster())
    before = the_cluster(store)
    with pytest.raises(StaleVersion, match="out of sequence"):
        await update(store, version=before.meta.version.index + 1, autolock=True)
    for wrong in ({"heartbeat_period_ns": 1}, {"snapshot_interval": 0}, {"node_cert_expiry_ns": 1}):
        with pytest.raises(InvalidArgument):
            await update(store, **wrong)
    assert the_cluster(store) == before


async def test_a_lifetime_that_the_cluster_was_founded_with_may_stay() -> None:
    cluster = a_cluster()
    cluster.spec.node_cert_expiry_ns = 60 * 10**9
    changed = await update(store_with(cluster), autolock=True)
    assert changed.spec.node_cert_expiry_ns == 60 * 10**9


async def test_nobody_reads_the_unlock_key_by_the_way() -> None:
    store = store_with(a_cluster())
    cluster = await update(store, autolock=True)
    assert cluster.unlock_key
    shown = shown_cluster(cluster)
    assert (shown.unlock_key, shown.unlock_key_version) == ("", 1)


def test_managers_that_do_not_answer_are_named() -> None:
    store = store_with(a_cluster(), a_node("m1", manager=True), a_node("m2", manager=True))
    raft = FakeRaft(3)
    assert managers_away(store.view, raft) == []
    raft.lost = {"r2", "r3"}
    assert managers_away(store.view, raft) == ["host-m2", "m3"]
