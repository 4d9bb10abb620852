"""Option values as Docker users write them, turned into messages."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.errors import InvalidArgument
from swarm.model.host_addresses import spelled
from swarm.model.units import parse_bytes, parse_duration
from swarm.timestamps import SECOND

T = TypeVar("T")

PROTOCOLS = {
    "tcp": PortConfig.PROTOCOL_TCP,
    "udp": PortConfig.PROTOCOL_UDP,
    "sctp": PortConfig.PROTOCOL_SCTP,
}
PUBLISH_MODES = {"ingress": PortConfig.PUBLISH_MODE_INGRESS, "host": PortConfig.PUBLISH_MODE_HOST}
MOUNT_TYPES = {
    "bind": Mount.TYPE_BIND,
    "tmpfs": Mount.TYPE_TMPFS,
    "volume": Mount.TYPE_VOLUME,
    "image": Mount.TYPE_IMAGE,
    "cluster": Mount.TYPE_CLUSTER,
}
PUBLISHED_RANGE_MAX = 1000  # ports that one --publish may expand to

_FRACTION = re.compile(r"(?<=:\d\d)\.(\d+)")  # of a second, in a time of day
_SHORT_PUBLISH = re.compile(r"(?:(?:(\[[^\]]+\]|[^:]+):)?(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:/(\w+))?")


def key_values(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return labels given as KEY=VALUE (or KEY for an empty value)."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key:
            raise InvalidArgument(f'{option} "{text}": write KEY=VALUE')
        pairs[key] = value
    return pairs


def environment(texts: Iterable[str], surroundings: Mapping[str, str]) -> list[str]:
    """Return KEY=VALUE strings; a KEY alone takes its value from `surroundings`, or is left out."""
    result = []
    for text in texts:
        key, equals, _ = text.partition("=")
        if not key:
            raise InvalidArgument(f'--env "{text}": write KEY=VALUE')
        if equals:
            result.append(text)
        elif key in surroundings:
            result.append(f"{key}={surroundings[key]}")
    return result


def file_lines(paths: Iterable[str], option: str = "--env-file") -> list[str]:
    """Return the lines of files, without comments and empty ones; `option` is how they were given."""
    lines: list[str] = []
    for path in paths:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{option} {path}: {error}") from None
        stripped = (line.strip() for line in text.splitlines())
        lines += [line for line in stripped if line and not line.startswith("#")]
    return lines


VALUED_FIELDS = frozenset(
    {"type", "source", "src", "target", "destination", "dst", "published", "protocol", "mode"}
)  # alone they are a slip, not `true`


def fields(text: str, option: str, known: Sequence[str]) -> dict[str, str]:
    """Return the fields of a `a=b,c=d` value; a field alone means `true`."""
    return _fields(text.split(","), text, option, known)


def _fields(parts: Iterable[str], text: str, option: str, known: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        key = name.lower()  # as with Docker
        if key not in known:
            raise InvalidArgument(f'{option} "{text}": unknown field "{name}"; known: {", ".join(known)}')
        if not equals and key in VALUED_FIELDS:
            raise InvalidArgument(f'{option} "{text}": write {key}=VALUE')
        found[key] = value if equals else "true"
    return found


def publish(text: str) -> list[PortConfig]:
    """Return the ports of a --publish value, `8080:80/tcp` or `published=8080,target=80,mode=host`."""
    if "=" in text:
        return [_long_publish(text)]
    match = _SHORT_PUBLISH.fullmatch(text)
    if match is None:
        raise InvalidArgument(
            f'--publish "{text}": write [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL] or '
            "published=8080,target=80,mode=host"
        )
    targets = _range(match.group(3), text)
    published = _range(match.group(2), text) if match.group(2) else [0] * len(targets)
    if len(targets) == 1:
        targets *= len(published)  # many ports of the nodes may lead to one of the container
    if len(published) != len(targets):
        raise InvalidArgument(f'--publish "{text}": both ranges must have the same length')
    protocol = _choice(match.group(4) or "tcp", PROTOCOLS, text)
    host_ip = _host_ip(match.group(1) or "", text)
    return [
        PortConfig(protocol=protocol, target_port=target, published_port=port, host_ip=host_ip)
        for port, target in zip(published, targets, strict=True)
    ]


def _long_publish(text: str) -> PortConfig:
    values = fields(text, "--publish", ("published", "target", "protocol", "mode", "name", "host-ip"))
    if "target" not in values:
        raise InvalidArgument(f'--publish "{text}": target=PORT is missing')
    return PortConfig(
        name=values.get("name", ""),
        protocol=_choice(values.get("protocol", "tcp"), PROTOCOLS, text),
        target_port=_port(values["target"], text),
        published_port=_port(values.get("published", "0"), text),
        publish_mode=_choice(values.get("mode", "ingress"), PUBLISH_MODES, text),
        host_ip=_host_ip(values.get("host-ip", ""), text),
    )


def _host_ip(word: str, text: str) -> str:
    try:
        return spelled(word)
    except InvalidArgument as problem:
        raise InvalidArgument(f'--publish "{text}": {problem}') from problem


def _choice(word: str, choices: Mapping[str, T], text: str) -> T:
    if word.lower() not in choices:
        raise InvalidArgument(f'"{text}": "{word}" is not one of {", ".join(choices)}')
    return choices[word.lower()]


def _port(word: str, text: str) -> int:
    if not word.isdigit() or int(word) > 65535:
        raise InvalidArgument(f'--publish "{text}": "{word}" is not a port')
    return int(word)


def _range(word: str, text: str) -> list[int]:
    first, _, last = word.partition("-")
    low, high = _port(first, text), _port(last or first, text)
    if not low <= high < low + PUBLISHED_RANGE_MAX:
        raise InvalidArgument(
            f'--publish "{text}": a range goes up and has at most {PUBLISHED_RANGE_MAX} ports'
        )
    return list(range(low, high + 1))


MOUNT_FIELDS = (
    "type", "source", "src", "target", "destination", "dst", "readonly", "ro",
    "bind-propagation", "bind-create-src", "bind-selinux", "tmpfs-size", "tmpfs-mode",
    "volume-nocopy", "volume-driver", "volume-label", "volume-opt",
    "volume-subpath", "image-subpath", "consistency", "bind-recursive",
)  # fmt: skip
# What is mounted below a source comes along, and stays as writable as it is there.
RECURSIONS = dict.fromkeys(("enabled", "writable"))
CONSISTENCIES = dict.fromkeys(
    ("default", "consistent", "cached", "delegated")
)  # for Docker Desktop: all the same here


def mount(text: str) -> Mount:
    """Return the mount of a --mount value, e.g. `type=bind,src=/srv,dst=/data,readonly`.

    A field with commas stands in quotes, as in CSV. Without a type it is a volume, or a bind of a path.
    """
    parts = next(csv.reader([text]), [])
    repeated = ("volume-label=", "volume-opt=")
    single = (part for part in parts if not part.lower().startswith(repeated))
    values = _fields(single, text, "--mount", MOUNT_FIELDS)
    _choice(values.get("consistency", "default"), CONSISTENCIES, text)
    _choice(values.get("bind-recursive", "enabled"), RECURSIONS, text)
    source = _absolute(values.get("source", values.get("src", "")))
    result = Mount(
        type=_choice(values.get("type", "bind" if source[:1] == "/" else "volume"), MOUNT_TYPES, text),
        source=source,
        target=values.get("target", values.get("destination", values.get("dst", ""))),
        read_only=_truth(values.get("readonly", values.get("ro", "false")), text),
    )
    if "bind-propagation" in values:
        result.bind.propagation = values["bind-propagation"]
    if "bind-create-src" in values:
        result.bind.create_source = _truth(values["bind-create-src"], text)
    if "bind-selinux" in values:
        result.bind.selinux = values["bind-selinux"]
    if "tmpfs-size" in values:
        result.tmpfs.size_bytes = parse_bytes(values["tmpfs-size"])
    if "tmpfs-mode" in values:
        result.tmpfs.mode = _octal(values["tmpfs-mode"], text)
    if "volume-nocopy" in values:
        result.volume.no_copy = _truth(values["volume-nocopy"], text)
    if "volume-driver" in values:
        result.volume.driver = values["volume-driver"]
    if "volume-subpath" in values:
        result.volume.subpath = values["volume-subpath"]
    if "image-subpath" in values:
        result.image.subpath = values["image-subpath"]
    for part in parts:
        if part.lower().startswith(repeated):
            field, _, pair = part.partition("=")
            into = result.volume.labels if field.lower() == "volume-label" else result.volume.driver_options
            into.update(key_values([pair], f"--mount {field}"))
    return result


def _absolute(source: str) -> str:
    return str(Path(source).absolute()) if source == "." or source.startswith("./") else source


def _truth(word: str, text: str) -> bool:
    if word.lower() not in {"true", "false", "1", "0"}:
        raise InvalidArgument(f'--mount "{text}": "{word}" is neither true nor false')
    return word.lower() in {"true", "1"}


def _octal(word: str, text: str) -> int:
    try:
        return int(word, 8)
    except ValueError:
        raise InvalidArgument(f'--mount "{text}": "{word}" is not a mode such as 1777') from None


def filters(texts: Iterable[str], known: Sequence[str]) -> dict[str, list[str]]:
    """Return --filter values by key, without empty texts; unknown keys are refused with the known ones."""
    found: dict[str, list[str]] = {}
    for text in filter(None, texts):
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise InvalidArgument(f'--filter "{text}": write KEY=VALUE with KEY one of {", ".join(known)}')
        found.setdefault(key, []).append(value)
    return found


def truth(key: str, value: str) -> bool:
    """Return what a filter says that is true or false."""
    if value.lower() not in {"true", "false", "1", "0"}:
        raise InvalidArgument(f"--filter {key}={value}: write true or false")
    return value.lower() in {"true", "1"}


def moment(text: str, now_ns: int) -> int:
    """Return nanoseconds since the epoch for an RFC 3339 time, seconds, or an age (`10m`).

    A negative age is to come.
    """
    if text.isascii() and text.replace(".", "", 1).isdecimal():
        return round(Fraction(text) * SECOND)
    try:
        return now_ns + parse_duration(text[1:]) if text.startswith("-") else now_ns - parse_duration(text)
    except InvalidArgument:
        pass
    found = _FRACTION.search(text)
    try:
        seconds = round(datetime.fromisoformat(_FRACTION.sub("", text)).timestamp())
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f'"{text}" is neither a time (2026-01-31T12:00:00Z) nor an age (10m)'
        ) from None
    return seconds * SECOND + (round(Fraction(f"0.{found.group(1)}") * SECOND) if found else 0)
