"""Which CDI devices does this node have, and what do they mean for a container?

Reads the directories of CDI specifications: of two that name the same device the one in the later directory
counts, and two in the same directory make it useless. A file that cannot be read takes nothing from others.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.cdi.spec import CdiSpec, Edits, read_spec

DEFAULT_DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
FILE_BYTES_MAX = 4 * 1024 * 1024
NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Found:
    """One device, and the file that describes it."""

    spec: CdiSpec
    edits: Edits


@dataclass(frozen=True, slots=True)
class Registry:
    """The devices of this node by their full names."""

    devices: Mapping[str, Found]
    problems: tuple[str, ...] = ()  # files and devices that were left out, and why

    def edits_for(self, names: Sequence[str]) -> Edits:
        """Return what a container with these devices needs; raises TaskRejected for one that is not here."""
        total, specs = Edits(), list[CdiSpec]()
        for name in names:
            found = self.devices.get(name)
            if found is None:
                raise TaskRejected(self._missing(name))
            if not any(found.spec is known for known in specs):
                specs.append(found.spec)
                total += found.spec.edits
            total += found.edits
        return total

    def _missing(self, name: str) -> str:
        have = sorted(self.devices, key=_natural)
        shown = ", ".join(have[:NAMES_SHOWN]) + (", …" if len(have) > NAMES_SHOWN else "")
        left_out = f" ({'; '.join(self.problems)})" if self.problems else ""
        return f"no device {name} on this node: it has {shown or 'none'}{left_out}"

    def parts(self) -> dict[str, tuple[str, ...]]:
        """Return which whole devices of its kind each device is made of, by full name.

        The device files tell: two names for the same files are one device, and a name for the files of
        several devices together stands for all of these.
        """
        kinds: dict[str, dict[str, frozenset[str]]] = {}
        for full, found in self.devices.items():
            name = full.partition("=")[2]
            files = frozenset(node.source for node in found.edits.device_nodes)
            kinds.setdefault(found.spec.kind, {})[name] = files or frozenset((f"={name}",))
        return {
            f"{kind}={name}": parts
            for kind in sorted(kinds)
            for name, parts in sorted(_parts(kinds[kind]).items(), key=lambda one: _natural(one[0]))
        }


def read_registry(directories: Iterable[Path]) -> Registry:
    """Read the specifications; blocks for as long as a few small files take."""
    devices: dict[str, Found] = {}
    problems: list[str] = []
    for directory in directories:
        here: dict[str, Found] = {}
        doubtful: set[str] = set()
        for path in _files(directory, problems):
            for full, found in _read(path, problems).items():
                if full in here:
                    doubtful.add(full)
                    problems.append(f"{path}: the device {full} stands in another file beside it, too")
                here[full] = found
        devices |= here
        for name in doubtful:
            del devices[name]
    return Registry(devices, tuple(problems))


def _files(directory: Path, problems: list[str]) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix in {".json", ".yaml"})
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(f"{directory}: {error.strerror}")
        return []


def _read(path: Path, problems: list[str]) -> dict[str, Found]:
    try:
        spec = read_spec(_document(path))
    except (OSError, ValueError, RecursionError, InvalidArgument) as error:
        problems.append(f"{path}: {' '.join(str(error).split())}")
        return {}
    return {f"{spec.kind}={name}": Found(spec, edits) for name, edits in spec.devices.items()}


def _document(path: Path) -> object:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise InvalidArgument(f"it is larger than {FILE_BYTES_MAX} bytes")
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidArgument(str(error)) from error


def _parts(files: Mapping[str, frozenset[str]]) -> dict[str, tuple[str, ...]]:
    first: dict[frozenset[str], str] = {}  # of several names for the same files the simplest one counts
    for name in sorted(files, key=_natural):
        first.setdefault(files[name], name)
    whole = {some for some in first if not _is_several(some, first)}
    return {
        name: tuple(sorted((first[one] for one in whole if one <= some), key=_natural))
        if some not in whole
        else (first[some],)
        for name, some in files.items()
    }


def _is_several(some: frozenset[str], all_files: Iterable[frozenset[str]]) -> bool:
    within = [one for one in all_files if one < some]
    return len(within) > 1 and frozenset().union(*within) == some


def _natural(name: str) -> tuple[bool, int, str]:
    """Order 2 before 10, and numbers before names."""
    number = name.rpartition("=")[2]
    return (False, int(number), name) if number.isdecimal() else (True, 0, name)
