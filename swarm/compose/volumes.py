"""Entries of a service's `volumes`: binds, memory, and volumes of the project."""

from swarm.api.v1.types_pb2 import Mount
from swarm.compose import data, values
from swarm.compose.tree import Tree
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.model.volumes import driver_problems, name_problems

_TYPES = {
    "bind": Mount.TYPE_BIND,
    "tmpfs": Mount.TYPE_TMPFS,
    "volume": Mount.TYPE_VOLUME,
    "image": Mount.TYPE_IMAGE,
    "cluster": Mount.TYPE_CLUSTER,
}


def mount(entry: Tree, known: Tree | None, stack: str) -> Mount:
    """Return the mount that an entry means; `known` are the volumes of the project."""
    kind = values.text(entry.entries["type"])
    if kind not in _TYPES:
        raise entry.problem(f"this version has no mounts of type {kind}; it has {', '.join(_TYPES)}")
    result = Mount(type=_TYPES[kind])
    for key in ("source", "target"):
        if (part := entry.get(key)) is not None:
            setattr(result, key, values.text(part))
    if (read_only := entry.get("read_only")) is not None:
        result.read_only = values.truth(read_only)
    _bind(result, entry)
    if (size := entry.get("tmpfs", "size")) is not None:
        result.tmpfs.size_bytes = values.size_bytes(size)
    if (permissions := entry.get("tmpfs", "mode")) is not None:
        result.tmpfs.mode = values.permissions(permissions)
    if (subpath := entry.get("volume", "subpath")) is not None:
        result.volume.subpath = values.text(subpath)
    if (subpath := entry.get("image", "subpath")) is not None:
        result.image.subpath = values.text(subpath)
    if kind == "volume":
        _volume(result, entry, known, stack)
    return result


def _bind(result: Mount, entry: Tree) -> None:
    if (propagation := entry.get("bind", "propagation")) is not None:
        result.bind.propagation = values.text(propagation)
    if (create := entry.get("bind", "create_host_path")) is not None:
        result.bind.create_source = values.truth(create)
    if (label := entry.get("bind", "selinux")) is not None:
        result.bind.selinux = values.text(label)


def _volume(result: Mount, entry: Tree, known: Tree | None, stack: str) -> None:
    if (no_copy := entry.get("volume", "nocopy")) is not None:
        result.volume.no_copy = values.truth(no_copy)
    labels = values.mapping(entry.get("volume", "labels"))
    if not result.source:
        if labels:
            result.volume.labels.update(labels)
        return
    key = result.source
    own = known.get(key) if known is not None else None
    result.source = data.name_of(known, key, stack)
    if own is not None and data.is_external(own):
        return  # made by somebody else, as they like
    place = own if own is not None else entry
    options = values.mapping(place.get("driver_opts")) if own is not None else {}
    driver = own.get("driver") if own is not None else None
    if driver is not None and values.text(driver) not in {"", "default"}:
        result.volume.driver = values.text(driver)
    if "{{" not in result.source:
        for problem in name_problems(result.source):
            raise place.problem(problem)
    for problem in driver_problems(result.volume.driver, options):
        raise place.problem(problem)
    result.volume.driver_options.update(options)
    result.volume.labels.update(labels | (values.mapping(own.get("labels")) if own is not None else {}))
    result.volume.labels[NAMESPACE_LABEL] = stack


def tmpfs(entry: Tree) -> Mount:
    """Return what `/run:size=64m,mode=1777` says."""
    target, _, options = values.text(entry).partition(":")
    result = Mount(type=Mount.TYPE_TMPFS, target=target)
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            result.tmpfs.size_bytes = values.size_bytes(entry.having(value))
        elif key == "mode":
            result.tmpfs.mode = values.permissions(entry.having(value))
        elif key == "ro":
            result.read_only = True
        elif key != "rw":
            raise entry.problem(f'"{option}" is no option of a tmpfs; known: size, mode, ro, rw')
    return result
