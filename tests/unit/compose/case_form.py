"""Compose files of tests/unit/compose/cases, and what comes of them as text that people can review.

`python -m tests.unit.compose.case_form` writes what comes of each case now. It is to be read before it is
committed: the tests compare with it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.message import Message

from swarm.compose.project import Loader
from swarm.compose.services import Stack, read_stack
from swarm.errors import InvalidArgument, NotFound, SwarmError
from swarm.model.spec_changes import entries
from tests.unit.compose.files import DIRECTORY

CASES = Path(__file__).parent / "cases"
_OPTION = re.compile(r"^# (variables|profiles): (.*)$", re.MULTILINE)


def case_names() -> list[str]:
    """Return the names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.yaml") if "." not in path.stem)


def answer_to(name: str) -> str:
    """Return what comes of a case: specs and warnings, or the error."""
    paths = [f"{name}.yaml", *sorted(path.name for path in CASES.glob(f"{name}.*.yaml"))]
    said = dict(_OPTION.findall((CASES / paths[0]).read_text()))
    variables = dict(one.split("=", 1) for one in said.get("variables", "").split())
    try:
        loader = Loader(_read, variables)
        project = loader.load(paths, DIRECTORY, profiles=said.get("profiles", "").split())
        found = read_stack(project, "shop", _read, _read_data)
    except SwarmError as problem:
        return f"error: {problem}\n"
    return "\n".join(_told(found)) + "\n"


def _told(stack: Stack) -> Iterator[str]:
    yield from (f"warning: {one}" for one in stack.warnings)
    for build in stack.builds:
        yield f"build {build.image}"
        for key in build.__slots__:
            if (value := getattr(build, key)) and key not in {"image", "service"}:
                lines = str(value).split("\n")
                yield f"  {key.replace('_', '-')}: " + "\n    ".join(lines).rstrip()
    kinds: Mapping[str, list[Message]] = {
        "service": list(stack.services),
        "network": list(stack.networks),
        "secret": list(stack.secrets),
        "config": list(stack.configs),
    }
    for kind, specs in kinds.items():
        for spec in specs:
            yield from _spec(kind, spec)


def _spec(kind: str, spec: Message) -> Iterator[str]:
    said = dict(entries(spec))
    yield f"{kind} {said.pop('name')[0]}"
    for key, values in said.items():
        first, *rest = [one for value in values for one in value.split("\n")]
        yield f"  {key}: {first}"
        yield from (f"  {'':{len(key)}}  {one}" for one in rest)


def _read_data(path: str) -> bytes:
    name = path.removeprefix(f"{DIRECTORY}/")
    for folder in (CASES, CASES / "files"):
        if (folder / name).is_file() and not name.startswith("/"):
            return (folder / name).read_bytes()
    raise NotFound(f"there is no file {path}")


def _read(path: str) -> str:
    try:
        return _read_data(path).decode()
    except UnicodeDecodeError as problem:
        raise InvalidArgument(f"cannot read {path}: {problem}") from None


if __name__ == "__main__":
    for case in case_names():
        (CASES / f"{case}.txt").write_text(answer_to(case))
