"""What may a volume be called, and what may be said of how it is made?"""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import InvalidArgument
from swarm.model.limits import (
    LABEL_KEY_BYTES,
    LABEL_VALUE_BYTES,
    TEXT_BYTES,
    VOLUME_ENTRIES,
    VOLUME_NAME_CHARACTERS,
    shown,
)
from swarm.model.reference import parse_reference

LOCAL = "local"
DRIVER_CHARACTERS = 100  # its socket has to have a name
LOCAL_OPTIONS = ("type", "device", "o")

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_TEMPLATE = re.compile(r"\{\{.*?\}\}")


def anonymous_name(task_id: str, target: str) -> str:
    """Return the name of the volume without a name that a task has at `target`: the same every time."""
    return sha256(f"{task_id}:{target.rstrip('/')}".encode()).hexdigest()


def name_problems(name: str) -> Iterator[str]:
    """Yield why `name` cannot be that of a volume."""
    if not _NAME.fullmatch(name):
        yield (
            f'"{shown(name)}" is no name for a volume: two or more letters, digits, "_", "." and "-", '
            "of which the first is a letter or digit (a path of the node is mounted with type=bind)"
        )
    yield from VOLUME_NAME_CHARACTERS.exceeded(f'the name "{shown(name)}" of a volume', len(name))


def driver_problems(driver: str, options: Mapping[str, str]) -> Iterator[str]:
    """Yield why no volume can be made by `driver`, local or a plugin of the node, with `options`."""
    if driver not in {"", LOCAL}:
        if len(driver) > DRIVER_CHARACTERS or not _NAME.fullmatch(driver):
            yield f'"{shown(driver)}" is no name of a volume driver: local, or that of a plugin of the node'
        return  # what options there are, a plugin knows
    for key in options:
        if key not in LOCAL_OPTIONS:
            known = ", ".join(LOCAL_OPTIONS)
            yield f'the volume driver local has no option "{shown(key)}"; it has {known}'
    if options:
        for key in ("type", "device"):
            if not options.get(key):
                yield f'the volume driver local needs the option "{key}" beside the others'


def subpath_problems(subpath: str) -> Iterator[str]:
    """Yield why nothing inside a volume or image can be at `subpath`."""
    if subpath.startswith("/") or ".." in subpath.split("/") or "\0" in subpath:
        yield f'the sub-path "{shown(subpath)}" is no path inside: it neither begins with / nor has ..'
    yield from TEXT_BYTES.exceeded(f'the sub-path "{shown(subpath)}"', len(subpath.encode()))


def size_problems(labels: Mapping[str, str], options: Mapping[str, str]) -> Iterator[str]:
    """Yield every limit that labels and options of a volume exceed."""
    for what, pairs in (("labels", labels), ("options", options)):
        yield from VOLUME_ENTRIES.exceeded(f"the {what} of the volume", len(pairs))
        for key, value in pairs.items():
            yield from LABEL_KEY_BYTES.exceeded(f"{shown(key)} of a volume", len(key.encode()))
            limit = LABEL_VALUE_BYTES if what == "labels" else TEXT_BYTES
            yield from limit.exceeded(f"the value of {shown(key)} of a volume", len(value.encode()))


def mount_problems(mount: Mount) -> Iterator[str]:
    """Yield every problem of a mount of type volume; where there are placeholders, the node looks again."""
    where = f'the mount at "{mount.target}"'
    if mount.source and "{{" not in mount.source:
        yield from (f"{where}: {problem}" for problem in name_problems(mount.source))
    elif mount.source and not _NAME.fullmatch(_TEMPLATE.sub("xx", mount.source)):
        yield f'{where}: "{shown(mount.source)}" does not become the name of a volume'
    given = mount.volume
    problems = (*driver_problems(given.driver, given.driver_options),)
    problems += (*size_problems(given.labels, given.driver_options), *subpath_problems(given.subpath))
    yield from (f"{where}: {problem}" for problem in problems)
    if mount.HasField("bind") or mount.HasField("tmpfs"):
        yield f"{where} is a volume with options of bind or tmpfs"


def image_mount_problems(mount: Mount) -> Iterator[str]:
    """Yield every problem of a mount of type image."""
    where = f'the mount at "{mount.target}"'
    try:
        parse_reference(mount.source)
    except InvalidArgument as error:
        yield f"{where}: {error}"
    yield from (f"{where}: {problem}" for problem in subpath_problems(mount.image.subpath))
    if mount.HasField("bind") or mount.HasField("tmpfs"):
        yield f"{where} is an image with options of bind or tmpfs"


def is_sticky(spec: ContainerSpec) -> bool:
    """Whether the next task of a slot should be where the last one was, because its data is there.

    A volume that has a device is the same on several nodes, or empty anyway; of plugins nothing is known.
    """
    if spec.HasField("sticky"):
        return spec.sticky
    return any(
        one.type == Mount.TYPE_VOLUME
        and one.source
        and one.volume.driver in {"", LOCAL}
        and not one.volume.driver_options
        for one in spec.mounts
    )
