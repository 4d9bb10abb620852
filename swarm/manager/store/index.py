"""Finding the ids of objects by what the objects say: a name, a slot, each of several addresses."""

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")


class Keys(tuple[Hashable, ...]):
    """Several keys under each of which an object is filed."""

    __slots__ = ()


KeyOf: TypeAlias = Callable[[T], Hashable | None]  # Keys: each of them


class Index(Generic[T]):
    """Ids by key. Most keys, such as a slot, have one id: that one is kept as it is, without a container."""

    def __init__(self, key_of: KeyOf[T]) -> None:
        self.key_of = key_of
        # Ids, not objects: most updates then change no index at all. Dicts keep the order of arrival.
        self._ids: dict[Hashable, str | dict[str, None]] = {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._ids)

    def get(self, key: Hashable) -> Collection[str]:
        """Return the ids filed under `key`, in the order in which they came."""
        found = self._ids.get(key, ())
        return (found,) if isinstance(found, str) else found

    def move(self, object_id: str, before: Hashable | None, after: Hashable | None) -> None:
        """File an id under another key, or other Keys; None: under none."""
        if isinstance(before, Keys) or isinstance(after, Keys):
            old, new = _each(before), _each(after)
            for key in old.keys() - new.keys():
                self.move(object_id, key, None)
            for key in new.keys() - old.keys():
                self.move(object_id, None, key)
            return
        if before is not None:
            self._take_out(object_id, before)
        if after is None:
            return
        ids = self._ids.setdefault(after, object_id)
        if isinstance(ids, dict):
            ids[object_id] = None
        elif ids != object_id:
            self._ids[after] = {ids: None, object_id: None}

    def _take_out(self, object_id: str, key: Hashable) -> None:
        ids = self._ids[key]
        if isinstance(ids, dict) and len(ids) > 1:
            del ids[object_id]
        else:
            del self._ids[key]


def _each(key: Hashable | None) -> Mapping[Hashable, None]:
    return dict.fromkeys(key if isinstance(key, Keys) else () if key is None else (key,))
