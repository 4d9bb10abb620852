"""Several Compose files as one: what a later one says comes on top of the earlier."""

from collections.abc import Callable, Hashable
from typing import TypeAlias

from swarm.compose.tree import Mark, Tree

Path: TypeAlias = tuple[str, ...]
Key: TypeAlias = Callable[[Tree], Hashable]

# Lists that are one value: the later one counts.
_REPLACED = {("command",), ("entrypoint",), ("healthcheck", "test")}


def _values(item: Tree, *keys: str) -> str:
    """Return what stands under the first of `keys` that is there."""
    return next((str(item.entries[key].value) for key in keys if key in item.entries), "")


def _port(item: Tree) -> Hashable:
    protocol = _values(item, "protocol") or "tcp"
    return tuple(_values(item, key) for key in ("host_ip", "target", "published")), protocol


# Lists in which an entry is known by something: of two with the same the later one comes on top.
_KEYED: dict[Path, Key] = {
    ("ports",): _port,
    ("volumes",): lambda item: _values(item, "target"),
    ("secrets",): lambda item: _values(item, "target", "source"),
    ("configs",): lambda item: _values(item, "target", "source"),
    ("env_file",): lambda item: _values(item, "path"),
}


def merge(base: Tree, over: Tree, path: Path = ()) -> Tree:
    """Return `base` with `over` on top of it; both in long forms. `path` is within a service."""
    if over.mark is Mark.OVERRIDE:
        return without_marks(over)
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _mappings(base, over, path)
    if isinstance(base.value, list) and isinstance(over.value, list) and path not in _REPLACED:
        return over.having(_lists(base.items, [without_marks(item) for item in over.items], path))
    return without_marks(over)


def _mappings(base: Tree, over: Tree, path: Path) -> Tree:
    if path == ("logging",) and _values(base, "driver") != _values(over, "driver") != "":
        return without_marks(over)  # options of another driver mean nothing to this one
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        if entry.mark is Mark.RESET:
            entries.pop(key, None)
        elif key in entries:
            entries[key] = merge(entries[key], entry, _below(path, key))
        else:
            entries[key] = without_marks(entry)
    return over.having(entries)


def _below(path: Path, key: str) -> Path:
    """Return the path within a service: of ("services", NAME, …) the last part."""
    whole = (*path, key)
    return whole[2:] if len(whole) > 2 and whole[0] == "services" else whole


def _lists(base: list[Tree], over: list[Tree], path: Path) -> list[Tree]:
    key = _KEYED.get(path)
    if key is None:
        known = [item.plain() for item in base]
        return [*base, *(item for item in over if item.plain() not in known)]
    found = {key(item): item for item in base}
    for item in over:
        before = found.get(key(item))
        found[key(item)] = merge(before, item, path) if before is not None else item
    return list(found.values())


def without_marks(tree: Tree) -> Tree:
    """Return `tree` without what `!reset` removes; there is nothing below it."""
    if isinstance(tree.value, dict):
        kept = {
            key: without_marks(entry) for key, entry in tree.value.items() if entry.mark is not Mark.RESET
        }
        return Tree(kept, tree.place, tree.key_place)
    if isinstance(tree.value, list):
        return Tree([without_marks(item) for item in tree.value], tree.place, tree.key_place)
    return Tree(tree.value, tree.place, tree.key_place)
