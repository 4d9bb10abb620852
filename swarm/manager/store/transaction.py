"""What a writer changes: an overlay over the state, kept or dropped as a whole.

Overlays stack: the live tables, over them the batch that waits to be proposed, over that the
transaction that runs. So a transaction sees those before it in its batch, and nobody else sees either.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import (
    Attachment,
    Cluster,
    Config,
    Image,
    Network,
    Node,
    Secret,
    Service,
    Stack,
    Task,
    Volume,
)
from swarm.api.v1.store_pb2 import StoreAction, StoreTransaction
from swarm.api.v1.users_pb2 import User
from swarm.errors import FailedPrecondition, InvalidArgument, NameConflict, NotFound, StaleVersion
from swarm.manager.store.tables import (
    UNIQUE_NAMES,
    Kind,
    MemoryTable,
    Object,
    ReadView,
    T,
    Table,
    Tables,
    TaskTable,
    copy_of,
    kind_name,
    object_name,
    table_of,
)
from swarm.model import limits
from swarm.model.limits import Limit

# Versions of objects written but not committed: real ones are indexes of the log and never get here.
PENDING_VERSION = 1 << 63

# How many objects there may be. Tasks are counted by what services want, before any is made.
_COUNTS: Mapping[Kind, Limit] = {
    Node: limits.NODES,
    Service: limits.SERVICES,
    Image: limits.IMAGES,
    Secret: limits.SECRETS,
    Config: limits.CONFIGS,
    Volume: limits.VOLUMES,
    Network: limits.NETWORKS,
    Stack: limits.STACKS,
    User: limits.USERS,
}


@dataclass(frozen=True, slots=True)
class Write:
    """The net effect of a transaction on one object; a REMOVE keeps the object as it was."""

    kind: "StoreAction.Kind"
    object: Object


class OverlayTable(Table[T]):
    """The objects of `base`, except those written or erased here."""

    def __init__(self, base: Table[T], written: MemoryTable[T]) -> None:
        self._base = base
        self._written = written
        self._masked: set[str] = set()  # ids whose value in `base` counts no more
        self._growth = 0

    def get(self, object_id: str) -> T | None:
        """Return the object with this id."""
        if object_id in self._masked:
            return self._written.get(object_id)
        return self._base.get(object_id)

    def __iter__(self) -> Iterator[T]:
        """Iterate over all objects."""
        for obj in self._base:
            if obj.id not in self._masked:
                yield obj
        yield from tuple(self._written)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._base) + self._growth

    def indexed(self, index: str, key: Hashable) -> tuple[T, ...]:
        """Return the objects filed under `key`."""
        below = self._base.indexed(index, key)
        if self._masked:
            below = tuple([obj for obj in below if obj.id not in self._masked])
        return below + self._written.indexed(index, key)

    def put(self, obj: T) -> None:
        """Insert or replace `obj`."""
        self._growth += self.get(obj.id) is None
        self._masked.add(obj.id)
        self._written.put(obj)

    def delete(self, object_id: str) -> None:
        """Erase the object with this id."""
        self._growth -= self.get(object_id) is not None
        self._masked.add(object_id)
        self._written.delete(object_id)


class OverlayTaskTable(OverlayTable[Task], TaskTable):
    """Tasks as a transaction sees them."""


class Overlay:
    """A ReadView on which changes can be tried."""

    def __init__(self, base: ReadView) -> None:
        fresh = Tables(filed=False)  # most transactions only ask for what they know the id of
        self.clusters: OverlayTable[Cluster] = OverlayTable(base.clusters, fresh.clusters)
        self.nodes: OverlayTable[Node] = OverlayTable(base.nodes, fresh.nodes)
        self.services: OverlayTable[Service] = OverlayTable(base.services, fresh.services)
        self.tasks = OverlayTaskTable(base.tasks, fresh.tasks)
        self.images: OverlayTable[Image] = OverlayTable(base.images, fresh.images)
        self.secrets: OverlayTable[Secret] = OverlayTable(base.secrets, fresh.secrets)
        self.configs: OverlayTable[Config] = OverlayTable(base.configs, fresh.configs)
        self.volumes: OverlayTable[Volume] = OverlayTable(base.volumes, fresh.volumes)
        self.networks: OverlayTable[Network] = OverlayTable(base.networks, fresh.networks)
        self.stacks: OverlayTable[Stack] = OverlayTable(base.stacks, fresh.stacks)
        self.attachments: OverlayTable[Attachment] = OverlayTable(base.attachments, fresh.attachments)
        self.users: OverlayTable[User] = OverlayTable(base.users, fresh.users)
        self.index = base.index

    @property
    def cluster(self) -> Cluster | None:
        """The cluster object; None before the cluster is made."""
        return next(iter(self.clusters), None)

    def of(self, kind: Kind) -> OverlayTable[Object]:
        """Return the table of a kind."""
        return cast("OverlayTable[Object]", table_of(self, kind))

    def absorb(self, transaction: "Transaction") -> None:
        """Take over what `transaction`, which ran on this overlay, changed."""
        for write in transaction.writes:
            if write.kind == StoreAction.KIND_REMOVE:
                self.of(type(write.object)).delete(write.object.id)
            else:
                self.of(type(write.object)).put(write.object)


class Transaction(Overlay):
    """A ReadView with `create`, `update` and `remove`; what it did is in `writes`.

    `update` and `remove` take an object that states, in meta.version, which version the caller read:
    a copy of what this transaction, or the view earlier on, returned.
    """

    def __init__(self, base: ReadView, now: Timestamp, pending_version: int = PENDING_VERSION) -> None:
        super().__init__(base)
        self._now = now
        self._pending_version = pending_version
        self._writes: dict[tuple[Kind, str], Write] = {}

    @property
    def writes(self) -> tuple[Write, ...]:
        """The net effect, one item an object, in the order of the last write."""
        return tuple(self._writes.values())

    def create(self, obj: T) -> T:
        """Add `obj` (a copy of it) and return it as stored. Raises NameConflict, also for a known id."""
        kind = type(obj)
        if not obj.id:
            raise InvalidArgument(f"a new {kind_name(kind)} needs an id")
        if obj.id in self.of(kind):
            raise NameConflict(f"{kind_name(kind)} {obj.id} exists already")
        if kind is Cluster and len(self.clusters):
            raise NameConflict("the cluster object exists already")
        self._check_room(kind)
        stored = self._stamped(obj)
        stored.meta.created_at.CopyFrom(self._now)
        erased = self._writes.get((kind, obj.id))
        self._put(StoreAction.KIND_UPDATE if erased else StoreAction.KIND_CREATE, stored)
        return stored

    def update(self, obj: T) -> T:
        """Replace an object by `obj` (a copy of it) and return it as stored.

        Raises NotFound, NameConflict, and StaleVersion when the object changed since the caller read it.
        """
        current = self._current(obj)
        stored = self._stamped(obj)
        stored.meta.created_at.CopyFrom(current.meta.created_at)
        earlier = self._writes.get((type(obj), obj.id))
        self._put(earlier.kind if earlier else StoreAction.KIND_UPDATE, stored)
        return stored

    def remove(self, obj: T) -> None:
        """Remove an object. Raises NotFound, and StaleVersion when it changed since the caller read it."""
        current = self._current(obj)
        key = (type(obj), obj.id)
        earlier = self._writes.pop(key, None)
        self.of(type(obj)).delete(obj.id)
        if earlier is None or earlier.kind != StoreAction.KIND_CREATE:
            self._writes[key] = Write(StoreAction.KIND_REMOVE, current)

    def _check_room(self, kind: Kind) -> None:
        limit = _COUNTS.get(kind)
        for problem in limit.exceeded("with this one", len(self.of(kind)) + 1) if limit else ():
            raise FailedPrecondition(f"the cluster has no room for another {kind_name(kind)}: {problem}")

    def _current(self, obj: T) -> Object:
        current = self.of(type(obj)).get(obj.id)
        what = f"{kind_name(type(obj))} {obj.id}"
        if current is None:
            raise NotFound(f"{what} does not exist")
        ours = (type(obj), obj.id) in self._writes
        if not ours and obj.meta.version.index != current.meta.version.index:
            raise StaleVersion(
                f"update out of sequence: {what} changed since it was read "
                f"(read version {obj.meta.version.index}); read it again and repeat the change"
            )
        return current

    def _stamped(self, obj: T) -> T:
        stored = copy_of(obj)
        stored.meta.version.index = self._pending_version
        stored.meta.updated_at.CopyFrom(self._now)
        return stored

    def _put(self, kind: "StoreAction.Kind", obj: Object) -> None:
        name = object_name(obj) if type(obj) in UNIQUE_NAMES else ""
        if name and any(other.id != obj.id for other in self.of(type(obj)).named(name)):
            raise NameConflict(f"the name {name} is taken by another {kind_name(type(obj))}")
        self.of(type(obj)).put(obj)
        self._writes.pop((type(obj), obj.id), None)  # so that the order is that of the last write
        self._writes[type(obj), obj.id] = Write(kind, obj)


def encode(transaction: Transaction, live: ReadView) -> StoreTransaction:
    """Return what the log carries of a transaction; `live` tells the versions before the entry."""
    encoded = StoreTransaction()
    for write in transaction.writes:
        obj = write.object
        kind = type(obj)
        before = table_of(live, kind).get(obj.id)
        action = encoded.actions.add(
            kind=write.kind, base_version=before.meta.version.index if before is not None else 0
        )
        carried: Object = getattr(action.object, kind_name(kind))
        if write.kind == StoreAction.KIND_REMOVE:
            carried.id = obj.id
        else:
            carried.CopyFrom(obj)  # type: ignore[arg-type]  # of the same kind
            carried.meta.version.ClearField("index")
    return encoded
