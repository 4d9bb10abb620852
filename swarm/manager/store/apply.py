"""What a committed entry does to the state: the same on every manager, from the entry and the state alone.

An entry is applied once (proposer and sequence), and only to the state it was built on (base index).
Versions and names are checked all the same: they hold even if a proposer is wrong about its base.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from swarm.api.v1.store_pb2 import ProposerRecord, StoreAction, StoreEntry, StoreTransaction
from swarm.errors import InvariantBroken
from swarm.manager.store.history import Action, Event
from swarm.manager.store.tables import UNIQUE_NAMES, Kind, Object, Tables, kind_name, object_name, unwrap
from swarm.model.compatibility import unknown_level

# Proposers remembered: one per start of a manager. No entry stays in a log past so many starts.
PROPOSERS_LIMIT = 256

_KNOWN_ACTIONS = {StoreAction.KIND_CREATE, StoreAction.KIND_UPDATE, StoreAction.KIND_REMOVE}


@dataclass(slots=True)
class State:
    """Everything that is replicated."""

    tables: Tables = field(default_factory=Tables)
    proposers: dict[str, ProposerRecord] = field(default_factory=dict)  # the last to write comes last

    @property
    def last_entry_index(self) -> int:
        """Index of the last entry that was not a repetition: what the next one builds on."""
        return next((record.index for record in reversed(self.proposers.values())), 0)

    def remember(self, record: ProposerRecord) -> None:
        """Note the newest entry of a proposer; forget the proposers that have been silent the longest."""
        self.proposers.pop(record.proposer, None)
        self.proposers[record.proposer] = record
        while len(self.proposers) > PROPOSERS_LIMIT:
            del self.proposers[next(iter(self.proposers))]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry: for each transaction an empty string, or why it was refused."""

    refusals: tuple[str, ...]
    events: tuple[Event, ...]
    repeated: bool = False  # applied before; nothing was done


@dataclass(slots=True)
class _Change:
    kind: "StoreAction.Kind"
    object: Object
    base_version: int


def parse_entry(data: bytes) -> StoreEntry:
    """Return what the bytes of a committed entry mean.

    Raises InvariantBroken for what this version does not know. It must not be skipped: other managers, of a
    newer version, apply it, and the states would differ from then on.
    """
    try:
        entry = StoreEntry.FromString(data)
    except DecodeError as error:
        raise InvariantBroken("an entry of the log cannot be read") from error
    _check_level(entry.level)
    for transaction in entry.transactions:
        for action in transaction.actions:
            if action.kind not in _KNOWN_ACTIONS or action.object.WhichOneof("object") is None:
                raise InvariantBroken(
                    "an entry of the log changes something in a way, or of a kind, that this version does "
                    "not know: it is from a newer version of swarm"
                )
            _check_level(action.object.cluster.level)  # what raises the level comes before all of it
    return entry


def _check_level(level: int) -> None:
    refusal = unknown_level(level, "an entry of the log")
    if refusal:
        raise InvariantBroken(refusal)


def apply_entry(state: State, index: int, entry: StoreEntry) -> Outcome:
    """Apply one committed entry, as `parse_entry` returned it, and say what became of it. Never raises."""
    state.tables.index = index
    record = state.proposers.get(entry.proposer)
    if record is not None and entry.sequence <= record.sequence:
        return Outcome((), (), repeated=True)
    base_index = state.last_entry_index
    state.remember(ProposerRecord(proposer=entry.proposer, sequence=entry.sequence, index=index))
    if entry.base_index != base_index:
        reason = f"built on entry {entry.base_index}, but entry {base_index} was committed since"
        return Outcome((reason,) * len(entry.transactions), ())
    return _apply_transactions(state.tables, index, entry.transactions)


def _apply_transactions(tables: Tables, index: int, transactions: Iterable[StoreTransaction]) -> Outcome:
    refusals: list[str] = []
    events: list[Event] = []
    versions: dict[tuple[Kind, str], int] = {}  # before this entry, of what it touched
    refused = ""
    for transaction in transactions:
        if not refused:
            refused = _apply_transaction(tables, index, transaction, versions, events)
            refusals.append(refused)
        else:
            refusals.append("built on a transaction that was refused")
    return Outcome(tuple(refusals), tuple(events))


def _apply_transaction(
    tables: Tables,
    index: int,
    transaction: StoreTransaction,
    versions: dict[tuple[Kind, str], int],
    events: list[Event],
) -> str:
    changes: list[_Change] = []
    for action in transaction.actions:
        obj = unwrap(action.object)
        assert obj is not None, "parse_entry lets none of these through"
        changes.append(_Change(action.kind, obj, action.base_version))
    refused = _refusal(tables, changes, versions)
    if refused:
        return refused
    for change in changes:
        key = (type(change.object), change.object.id)
        current = tables.of(key[0]).get(key[1])
        versions.setdefault(key, current.meta.version.index if current else 0)
        events.append(_write(tables, index, change))
    return ""


def _write(tables: Tables, index: int, change: _Change) -> Event:
    table = tables.of(type(change.object))
    if change.kind == StoreAction.KIND_REMOVE:
        removed = table.delete(change.object.id)
        return Event(Action.REMOVE, removed or change.object, removed)
    change.object.meta.version.index = index
    previous = table.put(change.object)
    return Event(Action.UPDATE if previous else Action.CREATE, change.object, previous)


def _refusal(tables: Tables, changes: Sequence[_Change], versions: dict[tuple[Kind, str], int]) -> str:
    touched: set[tuple[Kind, str]] = set()
    for change in changes:
        kind, object_id = key = (type(change.object), change.object.id)
        if key in touched or not object_id:
            return f"it writes {kind_name(kind)} {object_id or '(no id)'} twice or without an id"
        touched.add(key)
        current = tables.of(kind).get(object_id)
        if change.kind == StoreAction.KIND_CREATE:
            if current is not None:
                return f"{kind_name(kind)} {object_id} exists already"
            continue
        if current is None:
            return f"{kind_name(kind)} {object_id} does not exist"
        version = versions.get(key, current.meta.version.index)
        if version != change.base_version:
            return f"{kind_name(kind)} {object_id} is at version {version}, not {change.base_version}"
    return _taken_name(tables, changes, touched)


def _taken_name(tables: Tables, changes: Sequence[_Change], touched: set[tuple[Kind, str]]) -> str:
    """Check the names as they will be after the whole transaction, so that the order does not matter."""
    claimed: set[tuple[Kind, str]] = set()
    for change in changes:
        kind = type(change.object)
        if kind not in UNIQUE_NAMES or change.kind == StoreAction.KIND_REMOVE:
            continue
        name = object_name(change.object)
        if not name:
            continue
        holders = (other.id for other in tables.of(kind).named(name))
        if (kind, name) in claimed or any((kind, holder) not in touched for holder in holders):
            return f"the name {name} is taken by another {kind_name(kind)}"
        claimed.add((kind, name))
    return ""
