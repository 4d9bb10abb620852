"""What is there for somebody who may only see and change what has certain labels.

Readers get a view without all the rest. Writers get a transaction in which nothing else can be named or
changed, while rules about the whole cluster (ports, addresses, names) still see everything.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from swarm.api.v1.objects_pb2 import (
    Attachment,
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
from swarm.api.v1.users_pb2 import User
from swarm.errors import NotFound, NotPermitted
from swarm.manager.store.store import Store
from swarm.manager.store.tables import (
    MemoryTable,
    Object,
    ReadView,
    T,
    Table,
    TaskTable,
    kind_name,
    object_name,
)
from swarm.manager.store.transaction import Transaction
from swarm.model.host_reach import GROUP, cluster_volumes, host_reach
from swarm.model.labels import has_label

R = TypeVar("R")
Scope = tuple[str, ...]  # KEY or KEY=VALUE, one of which must be there; empty: everything is

_LABELLED = (Service, Secret, Config, Network, Volume, Node)


def sees(scope: Scope, view: ReadView, obj: Object) -> bool:
    """Whether an object is there for somebody of this scope."""
    if not scope:
        return True
    if isinstance(obj, _LABELLED):
        return _fits(scope, obj.spec.annotations.labels)
    if isinstance(obj, Image):
        return _fits(scope, obj.annotations.labels)
    if isinstance(obj, Task):
        service = view.services.get(obj.service_id)
        annotations = service.spec.annotations if service is not None else obj.service_annotations
        return _fits(scope, annotations.labels)
    if isinstance(obj, Stack):  # it has no labels of its own
        found = [part.annotations for one in obj.revisions for part in one.services]
        found += [part.annotations for one in obj.revisions for part in one.networks]
        return bool(found) and all(_fits(scope, one.labels) for one in found)
    return False


def sees_node(scope: Scope, view: ReadView, node: Node) -> bool:
    """Whether a node is there: by a label, or because something runs on it that is there."""
    return sees(scope, view, node) or any(sees(scope, view, task) for task in view.tasks.by_node(node.id))


def _fits(scope: Scope, labels: Mapping[str, str]) -> bool:
    return any(has_label(labels, one) for one in scope)


class _HidingTable(Table[T]):
    """A table in which some objects cannot be named; `complete`: looking at all of them shows them still."""

    def __init__(self, inner: Table[T], shown: Callable[[T], bool], *, complete: bool) -> None:
        self._inner = inner
        self._shown = shown
        self._complete = complete

    def get(self, object_id: str) -> T | None:
        found = self._inner.get(object_id)
        return found if found is not None and self._shown(found) else None

    def __iter__(self) -> Iterator[T]:
        return iter(self._inner) if self._complete else filter(self._shown, self._inner)

    def __len__(self) -> int:
        return len(self._inner) if self._complete else sum(1 for _ in self)

    def indexed(self, index: str, key: Hashable) -> tuple[T, ...]:
        found = self._inner.indexed(index, key)
        return found if self._complete and index != "name" else tuple(filter(self._shown, found))

    def named(self, name: str) -> tuple[T, ...]:
        return tuple(filter(self._shown, self._inner.named(name)))

    def beginning_with(self, prefix: str) -> list[T]:
        return list(filter(self._shown, self._inner.beginning_with(prefix)))


class _HidingTaskTable(_HidingTable[Task], TaskTable):
    """Tasks, some of which are hidden."""


class ScopedView:
    """A ReadView for reading: what is out of scope is not there, but nodes are (see `sees_node`)."""

    def __init__(self, view: ReadView, scope: Scope, *, complete: bool = False) -> None:
        """`complete` as in _HidingTable: for rules about the whole cluster."""
        self._view = view

        def shown(obj: Object) -> bool:
            ingress = isinstance(obj, Network) and obj.spec.ingress  # everybody's, to be referred to
            return ingress or sees(scope, view, obj)

        def hiding(table: Table[T]) -> Table[T]:
            return _HidingTable(table, shown, complete=complete)

        self.services: Table[Service] = hiding(view.services)
        self.secrets: Table[Secret] = hiding(view.secrets)
        self.configs: Table[Config] = hiding(view.configs)
        self.volumes: Table[Volume] = hiding(view.volumes)
        self.networks: Table[Network] = hiding(view.networks)
        self.stacks: Table[Stack] = hiding(view.stacks)
        self.tasks: TaskTable = _HidingTaskTable(view.tasks, shown, complete=complete)
        nobody: Table[Attachment] = MemoryTable(_NO_ATTACHMENTS)
        self.attachments: Table[Attachment] = view.attachments if complete else nobody

    def __getattr__(self, name: str) -> Any:
        """Be the view in all else."""
        return getattr(self._view, name)


_NO_ATTACHMENTS: Mapping[str, Callable[[Attachment], None]] = dict.fromkeys(
    ("name", "address", "network", "node"), lambda _: None
)


class ScopedTransaction(ScopedView):
    """A transaction in which only what is in scope can be named and changed."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction, scope, complete=True)
        self._transaction = transaction
        self._scope = scope

    def create(self, obj: T) -> T:
        """Add an object; raises NotPermitted for one out of scope."""
        self._check(None, obj)
        return self._transaction.create(obj)

    def update(self, obj: T) -> T:
        """Replace an object; raises NotFound and NotPermitted."""
        self._check(self._before(obj), obj)
        return self._transaction.update(obj)

    def remove(self, obj: T) -> None:
        """Remove an object; raises NotFound."""
        self._before(obj)
        self._transaction.remove(obj)

    def _before(self, obj: Object) -> Object:
        before = self._transaction.of(type(obj)).get(obj.id)
        if before is not None and isinstance(obj, User):  # the servicer saw that it is who asks
            return before
        if before is None or not sees(self._scope, self._transaction, before):
            raise NotFound(f"there is no {kind_name(type(obj))} {obj.id}")
        return before

    def _check(self, before: Object | None, after: Object) -> None:
        if before is not None and isinstance(after, User):
            return
        what = f"{kind_name(type(after))} {object_name(after)}"
        if not sees(self._scope, self._transaction, after):
            raise NotPermitted(
                f"{what} needs {_named(self._scope)}: you see and change only what has it"
                " (swarmctl user inspect self)"
            )
        if isinstance(after, Secret) and after.spec.HasField("driver") and before is None:
            raise NotPermitted(
                f"{what} would be asked of a driver, which knows secrets of others as well: an administrator"
                " makes such a secret"
            )
        if isinstance(after, Service):
            had = host_reach(before.spec) if isinstance(before, Service) else frozenset()
            for more in sorted(host_reach(after.spec) - had):
                raise NotPermitted(
                    f"{what} would have {more}: that reaches beyond {_named(self._scope)}, which is all that"
                    " you see and change"
                )
            for name in cluster_volumes(after.spec):
                if not name.startswith(GROUP) and not self.volumes.named(name) and name not in self.volumes:
                    raise NotFound(f"there is no cluster volume {name}")


def _named(scope: Scope) -> str:
    return f"the label {scope[0]}" if len(scope) == 1 else f"one of the labels {', '.join(scope)}"


class ScopedStore:
    """The store for those who ask: each sees and changes what is in their scope."""

    def __init__(self, store: Store, scope: Callable[[], Scope]) -> None:
        """`scope` returns that of who asks now."""
        self._store = store
        self._scope = scope

    @property
    def view(self) -> ReadView:
        """What is there for who asks."""
        scope = self._scope()
        return cast("ReadView", ScopedView(self._store.view, scope)) if scope else self._store.view

    @property
    def whole(self) -> ReadView:
        """Everything, to decide by; never to be shown as it is."""
        return self._store.view

    def shown_nodes(self, nodes: Iterable[Node]) -> list[Node]:
        """Return those nodes that are there for who asks."""
        scope, view = self._scope(), self._store.view
        return [node for node in nodes if not scope or sees_node(scope, view, node)]

    async def update(self, fn: Callable[[Transaction], R], timeout_s: float = 5.0) -> R:
        """As Store.update, with a transaction of the scope."""
        scope = self._scope()
        if not scope:
            return await self._store.update(fn, timeout_s)
        return await self._store.update(
            lambda transaction: fn(cast("Transaction", ScopedTransaction(transaction, scope))), timeout_s
        )

    def __getattr__(self, name: str) -> Any:
        """Be the store in what is about no object: versions and snapshots."""
        return getattr(self._store, name)
