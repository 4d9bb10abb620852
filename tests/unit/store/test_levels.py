"""What is of a newer level than this version knows is not applied, and changes nothing."""

import pytest

from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.store_pb2 import SnapshotFormat, SnapshotRecord, StoreAction, StoreEntry, StoreObject
from swarm.errors import InvariantBroken
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, store_with
from swarm.model.compatibility import LEVEL_MAX

NEWER = LEVEL_MAX + 1


def raising(store: Store, level: int) -> bytes:
    """An entry that raises the level of the cluster."""
    assert store.view.cluster is not None
    cluster = copy_of(store.view.cluster)
    cluster.level = level
    entry = StoreEntry(proposer="p", sequence=1, base_index=store.view.index)
    action = entry.transactions.add().actions.add(kind=StoreAction.KIND_UPDATE)
    action.base_version = cluster.meta.version.index
    action.object.CopyFrom(StoreObject(cluster=cluster))
    return entry.SerializeToString()


async def test_entries_carry_the_level_of_the_cluster() -> None:
    store = store_with(Cluster(id="c", level=LEVEL_MAX))
    proposer = LocalProposer(store)
    store.attach(proposer)
    await store.update(lambda tx: tx.create(Service(id="s")).id)
    assert StoreEntry.FromString(proposer.entries[-1][1]).level == LEVEL_MAX


@pytest.mark.parametrize("kind", ["entry", "raise"])
async def test_an_entry_of_a_newer_level_is_not_applied(kind: str) -> None:
    store = store_with(Cluster(id="c"))
    index = store.view.index
    newer = StoreEntry(proposer="p", sequence=1, base_index=index, level=NEWER).SerializeToString()
    with pytest.raises(InvariantBroken, match=rf"is of level {NEWER}.*install that version again"):
        store.apply(index + 1, newer if kind == "entry" else raising(store, NEWER))
    assert store.view.index == index
    assert store.view.cluster is not None
    assert store.view.cluster.level == 0


async def test_a_snapshot_of_a_newer_level_is_not_read() -> None:
    store = store_with(Cluster(id="c"))
    head = SnapshotRecord(format=SnapshotFormat(level=NEWER, version="9.9")).SerializeToString()
    with pytest.raises(InvariantBroken, match=rf"the snapshot is of level {NEWER}"):
        store.restore(7, [head])
    assert store.view.cluster is not None


async def test_a_snapshot_says_its_level_first_and_only_above_the_first() -> None:
    plain = [
        SnapshotRecord.FromString(one) for one in store_with(Cluster(id="c", level=1)).freeze().records()
    ]
    assert all(record.WhichOneof("record") != "format" for record in plain)
    higher = [SnapshotRecord.FromString(one) for one in store_with_level(2).freeze().records()]
    assert higher[0].format.level == 2
    assert higher[0].format.version


def store_with_level(level: int) -> Store:
    """A store as a newer version would have it: put there without an entry."""
    store = store_with(Cluster(id="c"))
    cluster = copy_of(store.view.cluster or Cluster())
    cluster.level = level
    store._state.tables.clusters.put(cluster)
    return store
