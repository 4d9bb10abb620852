"""A copy of the store on which changes are tried: nothing of it is ever stored or heard of."""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from swarm.api.v1.store_pb2 import StoreAction
from swarm.clock import timestamp
from swarm.manager.store.tables import KINDS, Object, ReadView, Tables, table_of
from swarm.manager.store.transaction import Transaction, Write
from swarm.manager.store.watch import Action, Event
from swarm.steps import Steps

R = TypeVar("R")
Frozen: TypeAlias = tuple[Object, ...]

OBJECTS_PER_STEP = 500  # copied between two yields: about a millisecond

_ACTIONS = {
    StoreAction.KIND_CREATE: Action.CREATE,
    StoreAction.KIND_UPDATE: Action.UPDATE,
    StoreAction.KIND_REMOVE: Action.REMOVE,
}


def freeze(view: ReadView) -> Frozen:
    """Return everything in `view` as it is now; quick, for objects are values and need no copy."""
    return tuple(obj for kind in KINDS for obj in table_of(view, kind))


def tables_of(frozen: Frozen, index: int) -> Steps[Tables]:
    """Return tables that hold what was frozen, in the same order."""
    tables = Tables()
    tables.index = index
    for count, obj in enumerate(frozen, 1):
        tables.of(type(obj)).put(obj)
        if count % OBJECTS_PER_STEP == 0:
            yield
    return tables


class Scratch:
    """Tables that change at once, and a clock that only moves when it is told to."""

    def __init__(self, tables: Tables, now_ns: int) -> None:
        self.tables = tables
        self.now_ns = now_ns

    def change(self, fn: Callable[[Transaction], R]) -> tuple[R, tuple[Event, ...]]:
        """Run `fn` as the store would; return what it returned and what that changed."""
        transaction = Transaction(self.tables, timestamp(self.now_ns))
        result = fn(transaction)
        return result, tuple([self._apply(write) for write in transaction.writes])

    def _apply(self, write: Write) -> Event:
        table = self.tables.of(type(write.object))
        if write.kind == StoreAction.KIND_REMOVE:
            previous = table.delete(write.object.id)
        else:
            previous = table.put(write.object)
        return Event(_ACTIONS[write.kind], write.object, previous)
