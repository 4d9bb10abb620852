"""Ports and volumes of a service, from `8080:80` and `./data:/data:ro` to their long forms."""

import posixpath
import re
from pathlib import Path

from swarm.compose.tree import Scalar, Tree
from swarm.model.limits import PORTS, shown

_PORT = re.compile(
    r"(?:(?:(?P<ip>\[[0-9a-fA-F:.]+\]|[^:]*):)?(?P<published>\d+(?:-\d+)?)?:)?(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>\w+))?",
    re.ASCII,
)
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_PORTS_MAX = 65535


def long_port(port: Tree) -> list[Tree]:
    """Return what one entry of `ports` publishes, a port each; raises InvalidArgument."""
    if isinstance(port.value, dict):
        return _from_long(port)
    match = _PORT.fullmatch(str(port.value))
    if match is None:
        raise port.problem(f'"{port.value}" is no port: write [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]')
    return _expand(
        port,
        target=match["target"],
        published=match["published"] or "",
        more={
            **({"host_ip": match["ip"].strip("[]")} if match["ip"] else {}),
            **({"protocol": match["protocol"]} if match["protocol"] else {}),
        },
    )


def _from_long(port: Tree) -> list[Tree]:
    if "target" not in port.entries:
        raise port.problem("target must be said: the port in the container")
    plain = {key: entry.value for key, entry in port.entries.items() if key not in {"target", "published"}}
    more = {key: value for key, value in plain.items() if not isinstance(value, dict | list)}
    published = port.entries.get("published")
    return _expand(
        port,
        target=str(port.entries["target"].value),
        published="" if published is None else str(published.value),
        more=more,
    )


def _expand(port: Tree, *, target: str, published: str, more: dict[str, Scalar]) -> list[Tree]:
    targets = _range(port, target)
    wanted = _range(port, published) if published else [0] * len(targets)
    if len(wanted) != len(targets):
        raise port.problem(f"{published} are {len(wanted)} ports and {target} are {len(targets)}")
    found = []
    for inside, outside in zip(targets, wanted, strict=True):
        values: dict[str, Scalar] = {"target": inside, **({"published": outside} if outside else {}), **more}
        found.append(port.having({key: Tree(value, port.place) for key, value in values.items()}))
    return found


def _range(port: Tree, text: str) -> list[int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise port.problem(f'"{shown(text)}" is no port and no range of ports')
    low, high = int(match[1]), int(match[2] or match[1])
    if not 1 <= low <= high <= _PORTS_MAX:
        raise port.problem(f'"{text}" is not between 1 and {_PORTS_MAX}, the first one smaller')
    for problem in PORTS.exceeded(f'"{text}"', high - low + 1):
        raise port.problem(problem)
    return list(range(low, high + 1))


def long_volume(volume: Tree, directory: str) -> Tree:
    """Return one entry of `volumes` in long form, the path of a bind as seen from `directory`."""
    if isinstance(volume.value, dict):
        source = volume.entries.get("source")
        if volume.entries["type"].value != "bind" or source is None:
            return volume
        where = source.having(_path(str(source.value), directory))
        return volume.having({**volume.entries, "source": where})
    parts = str(volume.value).split(":")
    if len(parts) > 3 or not all(parts):
        raise volume.problem(f'"{volume.value}" is no volume: write [SOURCE:]TARGET[:OPTIONS]')
    values: dict[str, Tree] = {}
    source_text, target, options = _split(parts)
    is_path = source_text.startswith((".", "/", "~"))
    values["type"] = Tree("bind" if is_path else "volume", volume.place)
    if source_text:
        values["source"] = Tree(_path(source_text, directory) if is_path else source_text, volume.place)
    values["target"] = Tree(target, volume.place)
    for option in filter(None, options.split(",")):
        _apply(volume, values, option)
    if is_path and "bind" not in values:
        values["bind"] = _bind(volume, None)
    return volume.having(values)


def _split(parts: list[str]) -> tuple[str, str, str]:
    """Return source, target and options."""
    if len(parts) == 1:
        return "", parts[0], ""
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


_PROPAGATIONS = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}
_NOTHING_HERE = {"cached", "delegated", "consistent"}  # advice for Docker Desktop


def _apply(volume: Tree, values: dict[str, Tree], option: str) -> None:
    if option in {"ro", "rw"}:
        values["read_only"] = Tree(option == "ro", volume.place)
    elif option in _PROPAGATIONS:
        values["bind"] = _bind(volume, values.get("bind"), propagation=option)
    elif option in {"z", "Z"}:
        values["bind"] = _bind(volume, values.get("bind"), selinux=option)
    elif option == "nocopy":
        values["volume"] = Tree({"nocopy": Tree(True, volume.place)}, volume.place)
    elif option not in _NOTHING_HERE:
        known = ", ".join(sorted({"ro", "rw", "nocopy", "z", "Z", *_PROPAGATIONS}))
        raise volume.problem(f'"{option}" is no option of a volume; known: {known}')


def _bind(volume: Tree, before: Tree | None, **options: str) -> Tree:
    """Return the options of a bind in short form: it makes the path on the node."""
    said = before.entries if before is not None else {}
    said = {**said, **{key: Tree(value, volume.place) for key, value in options.items()}}
    return Tree({**said, "create_host_path": Tree(value=True, place=volume.place)}, volume.place)


def _path(path: str, directory: str) -> str:
    return posixpath.normpath(str(Path(directory) / Path(path).expanduser()))
