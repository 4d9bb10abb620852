"""One way to say a thing: the short forms of a Compose file become the long ones, paths become absolute.

Merging and everything after it see long forms only.
"""

import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from swarm.compose.interpolation import value_of
from swarm.compose.short_forms import long_port, long_volume
from swarm.compose.tree import Mark, Tree
from swarm.errors import InvalidArgument

Change: TypeAlias = Callable[[Tree], Tree]

# Lists of KEY=VALUE that may be mappings as well.
_MAPPINGS = (
    ("environment",),
    ("labels",),
    ("annotations",),
    ("sysctls",),
    ("deploy", "labels"),
    ("build", "args"),
    ("build", "labels"),
)
_LISTS = (("dns",), ("dns_search",), ("dns_opt",), ("tmpfs",), ("env_file",), ("label_file",))
_RESOURCES = ("networks", "volumes", "secrets", "configs")


def canonical(tree: Tree, directory: str, variables: Mapping[str, str]) -> Tree:
    """Return a file that fits the schema in long forms, its relative paths as seen from `directory`."""
    found = _edit(
        tree,
        ("services",),
        lambda services: services.having(
            {name: _service(one, directory, variables) for name, one in services.entries.items()}
        ),
    )
    for kind in ("secrets", "configs"):
        found = _edit(found, (kind,), lambda all_of: _with_paths(all_of, directory))
    for kind in _RESOURCES:
        found = _edit(
            found,
            (kind,),
            lambda all_of: all_of.having(
                {
                    name: _edit(_mapping_or_empty(one), ("labels",), _to_mapping)
                    for name, one in all_of.entries.items()
                }
            ),
        )
    return found


def _service(service: Tree, directory: str, variables: Mapping[str, str]) -> Tree:
    found = _edit(service, ("build",), lambda one: _key(one, "context"))
    for path in _MAPPINGS:
        found = _edit(found, path, _to_mapping)
    for path in _LISTS:
        found = _edit(found, path, _to_list)
    found = _edit(found, ("extra_hosts",), _hosts)
    found = _edit(found, ("environment",), lambda one: _from_surroundings(one, variables))
    found = _edit(found, ("env_file",), lambda one: _each(one, lambda item: _file(item, directory)))
    found = _edit(found, ("label_file",), lambda one: _each(one, lambda item: _absolute(item, directory)))
    found = _edit(found, ("security_opt",), lambda one: _each(one, lambda item: _profile(item, directory)))
    found = _edit(found, ("extends",), lambda one: _key(one, "service"))
    found = _edit(found, ("extends", "file"), lambda one: _absolute(one, directory))
    found = _edit(found, ("build", "context"), lambda one: _absolute(one, directory))
    found = _edit(found, ("depends_on",), _dependencies)
    found = _edit(found, ("networks",), _names_to_mapping)
    found = _edit(found, ("ports",), long_ports)
    found = _edit(found, ("volumes",), lambda one: _each(one, lambda item: _volume(item, directory)))
    for kind in ("secrets", "configs"):
        found = _edit(found, (kind,), lambda one: _each(one, lambda item: _key(item, "source")))
    return found


def _volume(item: Tree, directory: str) -> Tree:
    return _edit(long_volume(item, directory), ("volume", "labels"), _to_mapping)


def long_ports(ports: Tree) -> Tree:
    """Return ports in long form; a range becomes one port each."""
    return ports.having([port for item in ports.items for port in long_port(item)])


def _edit(tree: Tree, path: tuple[str, ...], change: Change) -> Tree:
    """Return `tree` with what stands at `path` changed, if something does."""
    if not path:
        return change(tree)
    entry = tree.entries.get(path[0])
    if entry is None:
        return tree
    return tree.having({**tree.entries, path[0]: _edit(entry, path[1:], change)})


def _each(tree: Tree, change: Change) -> Tree:
    return tree.having([change(item) for item in tree.items])


def _key(tree: Tree, key: str) -> Tree:
    """Return text as a mapping with one key."""
    return tree.having({key: Tree(tree.value, tree.place)}) if isinstance(tree.value, str) else tree


def _to_list(tree: Tree) -> Tree:
    return tree if isinstance(tree.value, list) else tree.having([Tree(tree.value, tree.place)])


def _to_mapping(tree: Tree) -> Tree:
    if not isinstance(tree.value, list):
        return tree
    entries: dict[str, Tree] = {}
    for item in tree.items:
        key, equals, value = str(item.value).partition("=")
        entries[key.strip()] = Tree(value if equals else None, item.place, item.place)
    return tree.having(entries)


def _hosts(tree: Tree) -> Tree:
    """Return `NAME:ADDRESS` and `NAME=ADDRESS` as a mapping."""
    if not isinstance(tree.value, list):
        return tree
    entries: dict[str, Tree] = {}
    for item in tree.items:
        text = str(item.value)
        name, _, address = text.partition("=") if "=" in text else text.partition(":")
        entries[name] = Tree(address, item.place, item.place)
    return tree.having(entries)


def _from_surroundings(environment: Tree, variables: Mapping[str, str]) -> Tree:
    """Give variables that have no value their own of whoever runs swarmctl; drop those without."""
    entries: dict[str, Tree] = {}
    for key, entry in environment.entries.items():
        if entry.value is not None or entry.mark is Mark.RESET:
            entries[key] = entry
            continue
        try:
            value = value_of(key, variables)
        except InvalidArgument as problem:
            raise entry.problem(str(problem)) from None
        if value is not None:
            entries[key] = entry.having(value)
    return environment.having(entries)


def _mapping_or_empty(tree: Tree) -> Tree:
    return tree if isinstance(tree.value, dict) else tree.having({})


def _names_to_mapping(tree: Tree) -> Tree:
    if isinstance(tree.value, list):
        return tree.having({str(item.value): item.having({}) for item in tree.items})
    return tree.having({name: _mapping_or_empty(one) for name, one in tree.entries.items()})


def _dependencies(tree: Tree) -> Tree:
    if not isinstance(tree.value, list):
        return tree
    return tree.having(
        {
            str(item.value): item.having({"condition": Tree("service_started", item.place)})
            for item in tree.items
        }
    )


def _file(item: Tree, directory: str) -> Tree:
    return _edit(_key(item, "path"), ("path",), lambda path: _absolute(path, directory))


def _with_paths(all_of: Tree, directory: str) -> Tree:
    return all_of.having(
        {
            name: _edit(one, ("file",), lambda path: _absolute(path, directory))
            for name, one in all_of.entries.items()
        }
    )


def _profile(option: Tree, directory: str) -> Tree:
    """Return a security option with the path of its seccomp profile, if it has one, as an absolute one."""
    name, separator, value = str(option.value).partition("=" if "=" in str(option.value) else ":")
    if name != "seccomp" or value in {"", "unconfined", "default", "builtin"}:
        return option
    return option.having(f"{name}{separator}{absolute(value, directory)}")


def _absolute(path: Tree, directory: str) -> Tree:
    text = str(path.value)
    if "://" in text:  # the context of a build may be an address
        return path
    return path.having(absolute(text, directory))


def absolute(path: str, directory: str) -> str:
    """Return a path as seen from a directory; `~` is the home of whoever runs swarmctl."""
    return posixpath.normpath(str(Path(directory) / Path(path).expanduser()))
