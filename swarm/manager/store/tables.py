"""What the store holds and how it is found: one table a kind, with indexes that cost the same at any size.

`Table`, `TaskTable` and `ReadView` are what readers see; `MemoryTable` and `Tables` are the real ones.
Objects are values: whoever gets one from a table must copy it before changing it.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from google.protobuf.message import Message

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
from swarm.api.v1.store_pb2 import StoreObject
from swarm.api.v1.types_pb2 import NetworkAddresses
from swarm.api.v1.users_pb2 import User
from swarm.manager.store.index import Index, KeyOf, Keys
from swarm.model.http_routes import route_key
from swarm.model.preemption import is_nominated
from swarm.model.task import task_name
from swarm.model.task_state import is_done, is_running

Object: TypeAlias = (
    Node | Service | Task | Cluster | Image | Secret | Config | Network | Volume | Stack | Attachment | User
)
Kind: TypeAlias = type[Message]  # one of KINDS
T = TypeVar("T", bound=Object)

KINDS: tuple[Kind, ...] = (
    Cluster,
    Node,
    Service,
    Task,
    Image,
    Secret,
    Config,
    Network,
    Volume,
    Stack,
    Attachment,
    User,
)

# Kinds whose name belongs to one object only. Hostnames repeat, and names of tasks contain their id.
UNIQUE_NAMES: frozenset[Kind] = frozenset(
    (Service, Image, Cluster, Secret, Config, Network, Volume, Stack, User)
)


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

    def beginning_with(self, prefix: str) -> list[T]:
        """Return the objects whose id begins so."""
        return [obj for obj in self if obj.id.startswith(prefix)]

    def __contains__(self, object_id: object) -> bool:
        """Whether there is an object with this id."""
        return isinstance(object_id, str) and self.get(object_id) is not None


class TaskTable(Table[Task]):
    """Tasks, which are also found by service, by node and by slot."""

    def by_service(self, service_id: str) -> tuple[Task, ...]:
        """Return the tasks of a service."""
        return self.indexed("service", service_id)

    def running(self, service_id: str) -> int:
        """Return how many tasks of a service run and are meant to."""
        return sum(map(is_running, self.by_service(service_id)))

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
    def volumes(self) -> Table[Volume]:
        """Cluster volumes."""

    @property
    def networks(self) -> Table[Network]:
        """Networks."""

    @property
    def stacks(self) -> Table[Stack]:
        """What was deployed as stacks."""

    @property
    def attachments(self) -> Table[Attachment]:
        """Places of containers of no service in networks, by container id."""

    @property
    def users(self) -> Table[User]:
        """People with certificates of the cluster."""

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
    if isinstance(obj, Image | Stack):
        return obj.annotations.name
    if isinstance(obj, Attachment):
        return obj.name
    if isinstance(obj, Node):
        return obj.spec.annotations.name or obj.description.hostname
    return obj.spec.annotations.name


# Written down once: asking a descriptor for its name takes longer than finding an object.
_NAMES: dict[Kind, str] = {kind: kind.DESCRIPTOR.name.lower() for kind in KINDS}
_TABLES: dict[Kind, str] = {kind: f"{name}s" for kind, name in _NAMES.items()}


def kind_name(kind: Kind) -> str:
    """Return the kind as people say it, e.g. `service`; it is also its field in StoreObject."""
    return _NAMES[kind]


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


def _addresses(held: Iterable[NetworkAddresses]) -> Keys:
    return Keys((one.network_id, address) for one in held for address in one.addresses)


def _task_addresses(task: Task) -> Keys | None:
    """Until a task has ended, its addresses are its own, and so are those of its service."""
    if not task.networks and not task.virtual_addresses:
        return None
    if is_done(task):
        return None
    return Keys({*_addresses(task.networks), *_addresses(task.virtual_addresses)})


def _joined(task: Task) -> Keys | None:
    """The networks that a task has an address in, until it has ended."""
    return None if not task.networks or is_done(task) else Keys(one.network_id for one in task.networks)


def _networks(service: Service) -> Keys | None:
    """Every network that tasks of the service are in, or may be again."""
    specs = (service.spec, service.previous_spec) if service.HasField("previous_spec") else (service.spec,)
    return Keys({one.network_id for spec in specs for one in spec.task.networks}) or None


def _asked_ports(service: Service) -> Keys | None:
    """Every port that the spec of a service names: how it is published, its protocol and its number."""
    ports = service.spec.endpoint.ports
    asked = {(one.publish_mode, one.protocol, one.published_port) for one in ports if one.published_port}
    return Keys(asked) or None


_TASK_INDEXES: Mapping[str, KeyOf[Task]] = {
    "address": _task_addresses,
    "network": _joined,
    "service": lambda task: task.service_id or None,
    "node": lambda task: task.node_id or None,
    "slot": lambda task: (task.service_id, task.slot) if task.service_id and task.slot else None,
    "nominated": lambda task: is_nominated(task) or None,
}


def _named(obj: Object) -> str | None:
    return object_name(obj) or None


_BY_NAME: Mapping[str, KeyOf[Any]] = {"name": _named}
_NODE_INDEXES: Mapping[str, KeyOf[Node]] = {
    "name": _named,
    "address": lambda node: _addresses(node.networks) or None,
    "network": lambda node: Keys(one.network_id for one in node.networks) or None,
    "place": lambda node: Keys({*filter(None, (node.status.addr, node.description.data_path_addr))}) or None,
}
_SERVICE_INDEXES: Mapping[str, KeyOf[Service]] = {
    "name": _named,
    "address": lambda service: _addresses(service.virtual_addresses) or None,
    "network": _networks,
    "asked port": _asked_ports,
    "route": lambda service: Keys(map(route_key, service.spec.endpoint.routes)) or None,
    "acme": lambda service: any(route.acme for route in service.spec.endpoint.routes) or None,
    "routed": lambda service: bool(service.spec.endpoint.routes) or None,
    "ingress port": lambda service: (
        Keys((port.protocol, port.published_port) for port in service.ingress_ports) or None
    ),
}
_ATTACHMENT_INDEXES: Mapping[str, KeyOf[Attachment]] = {
    "name": _named,
    "address": lambda attachment: _addresses(attachment.networks) or None,
    "network": lambda attachment: Keys(one.network_id for one in attachment.wanted) or None,
    "node": lambda attachment: attachment.node_id,
}
_NETWORK_INDEXES: Mapping[str, KeyOf[Network]] = {
    "name": _named,
    "vxlan id": lambda network: network.vxlan_id or None,
    "ingress": lambda network: network.spec.ingress or None,
}


class MemoryTable(Table[T]):
    """A table in memory."""

    def __init__(self, indexes: Mapping[str, KeyOf[T]], *, filed: bool = True) -> None:
        """Unless `filed`, objects are filed in the indexes when somebody first asks for one of them."""
        self._objects: dict[str, T] = {}
        self._keys_of = indexes
        self._indexes: dict[str, Index[T]] = {}
        self._filed = filed
        if filed:
            self._make_indexes()

    def _make_indexes(self) -> None:
        self._indexes = {name: Index(key_of) for name, key_of in self._keys_of.items()}

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
        if not self._filed:
            self._filed = True
            self._make_indexes()
            for obj in self._objects.values():
                self._file(obj.id, None, obj)
        objects = self._objects
        return tuple([objects[object_id] for object_id in self._indexes[index].get(key)])

    def put(self, obj: T) -> T | None:
        """Insert or replace `obj`; return what it replaced."""
        object_id = obj.id
        previous = self._objects.get(object_id)
        self._objects[object_id] = obj
        if self._filed:
            self._file(object_id, previous, obj)
        return previous

    def delete(self, object_id: str) -> T | None:
        """Remove the object with this id, if there is one; return it."""
        previous = self._objects.pop(object_id, None)
        if previous is not None and self._filed:
            self._file(object_id, previous, None)
        return previous

    def _file(self, object_id: str, previous: T | None, obj: T | None) -> None:
        for index in self._indexes.values():
            key_of = index.key_of
            before = None if previous is None else key_of(previous)
            after = None if obj is None else key_of(obj)
            if before != after:
                index.move(object_id, before, after)


class MemoryTaskTable(MemoryTable[Task], TaskTable):
    """Tasks in memory."""

    def __init__(self, *, filed: bool = True) -> None:
        """`filed` as in MemoryTable; it also says whether running tasks are counted all the time."""
        super().__init__(_TASK_INDEXES, filed=filed)
        self._counts = filed
        self._running: Counter[str] = Counter()  # by service: lists of services ask for it all the time

    def running(self, service_id: str) -> int:
        """Return how many tasks of a service run and are meant to."""
        return self._running.get(service_id, 0) if self._counts else super().running(service_id)

    def put(self, obj: Task) -> Task | None:
        """Insert or replace `obj`; return what it replaced."""
        previous = super().put(obj)
        if self._counts:
            self._count(previous, -1)
            self._count(obj, 1)
        return previous

    def delete(self, object_id: str) -> Task | None:
        """Remove the object with this id, if there is one; return it."""
        previous = super().delete(object_id)
        if self._counts:
            self._count(previous, -1)
        return previous

    def _count(self, task: Task | None, number: int) -> None:
        if task is not None and is_running(task):
            left = self._running[task.service_id] + number
            if left:
                self._running[task.service_id] = left
            else:
                del self._running[task.service_id]


class Tables:
    """Every table of the store: the live state, a ReadView."""

    def __init__(self, *, filed: bool = True) -> None:
        """`filed` as in MemoryTable."""
        self.clusters: MemoryTable[Cluster] = MemoryTable(_BY_NAME, filed=filed)
        self.nodes: MemoryTable[Node] = MemoryTable(_NODE_INDEXES, filed=filed)
        self.services: MemoryTable[Service] = MemoryTable(_SERVICE_INDEXES, filed=filed)
        self.tasks = MemoryTaskTable(filed=filed)
        self.images: MemoryTable[Image] = MemoryTable(_BY_NAME, filed=filed)
        self.secrets: MemoryTable[Secret] = MemoryTable(_BY_NAME, filed=filed)
        self.configs: MemoryTable[Config] = MemoryTable(_BY_NAME, filed=filed)
        self.volumes: MemoryTable[Volume] = MemoryTable(_BY_NAME, filed=filed)
        self.networks: MemoryTable[Network] = MemoryTable(_NETWORK_INDEXES, filed=filed)
        self.stacks: MemoryTable[Stack] = MemoryTable(_BY_NAME, filed=filed)
        self.attachments: MemoryTable[Attachment] = MemoryTable(_ATTACHMENT_INDEXES, filed=filed)
        self.users: MemoryTable[User] = MemoryTable(_BY_NAME, filed=filed)
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
    return cast("Table[Object]", getattr(view, _TABLES[kind]))
