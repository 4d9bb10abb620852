"""What the store holds and how it is found: one table a kind, with indexes that cost the same at any size.

`Table`, `TaskTable` and `ReadView` are what readers see; `MemoryTable` and `Tables` are the real ones.
Objects are values: whoever gets one from a table must copy it before changing it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from google.protobuf.message import Message

from swarm.api.v1.objects_pb2 import Cluster, Config, Image, Node, Secret, Service, Task
from swarm.api.v1.store_pb2 import StoreObject
from swarm.model.preemption import is_nominated
from swarm.model.task import task_name

Object: TypeAlias = Node | Service | Task | Cluster | Image | Secret | Config
Kind: TypeAlias = type[Message]  # one of KINDS
T = TypeVar("T", bound=Object)

KINDS: tuple[Kind, ...] = (Cluster, Node, Service, Task, Image, Secret, Config)

# Kinds whose name belongs to one object only. Hostnames repeat, and names of tasks contain their id.
UNIQUE_NAMES: frozenset[Kind] = frozenset((Service, Image, Cluster, Secret, Config))


class Table(ABC, Generic[T]):
    """Objects of one kind, for reading."""

    @abstractmethod
    def get(self, object_id: str) -> T | None:
        """Return the object with this id."""

    @abstractmethod
    def __iter__(self) -> Iterator[T]:
        """Iterate over all objects, in no particular order."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of objects."""

    @abstractmethod
    def indexed(self, index: str, key: Hashable) -> tuple[T, ...]:
        """Return the objects filed under `key` in one of the table's indexes."""

    def named(self, name: str) -> tuple[T, ...]:
        """Return every object of that name; a node's name is its own or, without one, its hostname."""
        return self.indexed("name", name)

    def by_name(self, name: str) -> T | None:
        """Return the one object of that name, None when there is none or there are several."""
        found = self.named(name)
        return found[0] if len(found) == 1 else None

    def __contains__(self, object_id: object) -> bool:
        """Whether there is an object with this id."""
        return isinstance(object_id, str) and self.get(object_id) is not None


class TaskTable(Table[Task]):
    """Tasks, which are also found by service, by node and by slot."""

    def by_service(self, service_id: str) -> tuple[Task, ...]:
        """Return the tasks of a service."""
        return self.indexed("service", service_id)

    def by_node(self, node_id: str) -> tuple[Task, ...]:
        """Return the tasks bound to a node."""
        return self.indexed("node", node_id)

    def by_slot(self, service_id: str, slot: int) -> tuple[Task, ...]:
        """Return the tasks, past and present, of one slot of a replicated service."""
        return self.indexed("slot", (service_id, slot))

    def nominated(self) -> tuple[Task, ...]:
        """Return the tasks that wait for others to stop on a node where room is kept for them."""
        return self.indexed("nominated", True)

    def named(self, name: str) -> tuple[Task, ...]:
        """Return the task called `service.slot.id`: the id decides."""
        task = self.get(name.rpartition(".")[2])
        return (task,) if task is not None and object_name(task) == name else ()


class ReadView(Protocol):
    """A consistent picture of the cluster."""

    @property
    def nodes(self) -> Table[Node]:
        """Nodes."""

    @property
    def services(self) -> Table[Service]:
        """Services."""

    @property
    def tasks(self) -> TaskTable:
        """Tasks."""

    @property
    def images(self) -> Table[Image]:
        """Images loaded into the cluster."""

    @property
    def secrets(self) -> Table[Secret]:
        """Secrets."""

    @property
    def configs(self) -> Table[Config]:
        """Configs."""

    @property
    def clusters(self) -> Table[Cluster]:
        """The cluster object as a table of at most one."""

    @property
    def cluster(self) -> Cluster | None:
        """The cluster object; None before the cluster is made."""

    @property
    def index(self) -> int:
        """Index of the last entry applied."""


def object_name(obj: Object) -> str:
    """Return the name an object is found by; empty when it has none."""
    if isinstance(obj, Task):
        return task_name(obj)
    if isinstance(obj, Image):
        return obj.annotations.name
    if isinstance(obj, Node):
        return obj.spec.annotations.name or obj.description.hostname
    return obj.spec.annotations.name


def kind_name(kind: Kind) -> str:
    """Return the kind as people say it, e.g. `service`; it is also its field in StoreObject."""
    return kind.DESCRIPTOR.name.lower()


def copy_of(obj: T) -> T:
    """Return a copy that may be changed."""
    copy: Any = type(obj)()
    copy.CopyFrom(obj)
    return cast("T", copy)


def wrap(obj: Object) -> StoreObject:
    """Return a copy of `obj` as the log carries it."""
    wrapped = StoreObject()
    getattr(wrapped, kind_name(type(obj))).CopyFrom(obj)
    return wrapped


def unwrap(wrapped: StoreObject) -> Object | None:
    """Return the object inside as a message of its own; None for a kind this version does not know.

    A copy, because a message taken out of an entry would keep the whole entry in memory.
    """
    field = wrapped.WhichOneof("object")
    if field is None:
        return None
    return copy_of(cast("Object", getattr(wrapped, field)))


KeyOf: TypeAlias = Callable[[T], Hashable | None]

_TASK_INDEXES: Mapping[str, KeyOf[Task]] = {
    "service": lambda task: task.service_id or None,
    "node": lambda task: task.node_id or None,
    "slot": lambda task: (task.service_id, task.slot) if task.service_id and task.slot else None,
    "nominated": lambda task: is_nominated(task) or None,
}


def _named(obj: Object) -> str | None:
    return object_name(obj) or None


class MemoryTable(Table[T]):
    """A table in memory."""

    def __init__(self, indexes: Mapping[str, KeyOf[T]]) -> None:
        self._objects: dict[str, T] = {}
        self._key_of = dict(indexes)
        # Ids, not objects: most updates then change no index at all. Dicts keep the order of arrival.
        self._ids: dict[str, dict[Hashable, dict[str, None]]] = {name: {} for name in indexes}

    def get(self, object_id: str) -> T | None:
        """Return the object with this id."""
        return self._objects.get(object_id)

    def __iter__(self) -> Iterator[T]:
        """Iterate over all objects."""
        return iter(self._objects.values())

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._objects)

    def indexed(self, index: str, key: Hashable) -> tuple[T, ...]:
        """Return the objects filed under `key`."""
        objects = self._objects
        return tuple([objects[object_id] for object_id in self._ids[index].get(key, ())])

    def put(self, obj: T) -> T | None:
        """Insert or replace `obj`; return what it replaced."""
        previous = self._objects.get(obj.id)
        self._objects[obj.id] = obj
        for index, key_of in self._key_of.items():
            old = None if previous is None else key_of(previous)
            new = key_of(obj)
            if old != new:
                self._unfile(index, old, obj.id)
                if new is not None:
                    self._ids[index].setdefault(new, {})[obj.id] = None
        return previous

    def delete(self, object_id: str) -> T | None:
        """Remove the object with this id, if there is one; return it."""
        previous = self._objects.pop(object_id, None)
        if previous is not None:
            for index, key_of in self._key_of.items():
                self._unfile(index, key_of(previous), object_id)
        return previous

    def _unfile(self, index: str, key: Hashable | None, object_id: str) -> None:
        if key is None:
            return
        ids = self._ids[index][key]
        del ids[object_id]
        if not ids:
            del self._ids[index][key]


class MemoryTaskTable(MemoryTable[Task], TaskTable):
    """Tasks in memory."""

    def __init__(self) -> None:
        super().__init__(_TASK_INDEXES)


class Tables:
    """Every table of the store: the live state, a ReadView."""

    def __init__(self) -> None:
        self.clusters: MemoryTable[Cluster] = MemoryTable({"name": _named})
        self.nodes: MemoryTable[Node] = MemoryTable({"name": _named})
        self.services: MemoryTable[Service] = MemoryTable({"name": _named})
        self.tasks = MemoryTaskTable()
        self.images: MemoryTable[Image] = MemoryTable({"name": _named})
        self.secrets: MemoryTable[Secret] = MemoryTable({"name": _named})
        self.configs: MemoryTable[Config] = MemoryTable({"name": _named})
        self.index = 0

    @property
    def cluster(self) -> Cluster | None:
        """The cluster object; None before the cluster is made."""
        return next(iter(self.clusters), None)

    def of(self, kind: Kind) -> MemoryTable[Object]:
        """Return the table of a kind."""
        return cast("MemoryTable[Object]", table_of(self, kind))

    def take_over(self, other: "Tables") -> None:
        """Hold what `other` holds; whoever has this view then sees the new state."""
        self.__dict__.update(other.__dict__)


def table_of(view: ReadView, kind: Kind) -> Table[Object]:
    """Return the table of a kind in any view."""
    return cast("Table[Object]", getattr(view, f"{kind_name(kind)}s"))
