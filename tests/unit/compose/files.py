"""Compose projects in memory."""

from collections.abc import Mapping

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.compose.project import Loader, Project
from swarm.compose.services import Stack, read_stack
from swarm.errors import NotFound

DIRECTORY = "/srv/shop"


class Files:
    """Files by path; relative paths are in DIRECTORY."""

    def __init__(self, **texts: str) -> None:
        self._texts = {_path(name.replace("__", ".")): text for name, text in texts.items()}

    def add(self, name: str, text: str) -> None:
        self._texts[_path(name)] = text

    def read(self, path: str) -> str:
        text = self._texts.get(_path(path))
        if text is None:
            raise NotFound(f"there is no file {path}")
        return text

    def read_data(self, path: str) -> bytes:
        return self.read(path).encode()


def _path(name: str) -> str:
    return name if name.startswith("/") else f"{DIRECTORY}/{name}"


def project(
    *texts: str, files: Files | None = None, variables: Mapping[str, str] | None = None, **more: object
) -> Project:
    """Load the texts as c0.yaml, c1.yaml, …"""
    found = files or Files()
    names = [f"c{number}.yaml" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        found.add(name, text)
    return Loader(found.read, variables or {}).load(names, DIRECTORY, **more)  # type: ignore[arg-type]


def stack(*texts: str, files: Files | None = None, variables: dict[str, str] | None = None) -> Stack:
    """Return the stack `shop` of these Compose files."""
    found = files or Files()
    return read_stack(
        project(*texts, files=found, variables=variables),
        "shop",
        found.read,
        found.read_data,
    )


def service(text: str, **more: object) -> ServiceSpec:
    """Return the spec of a service `web` with these lines in addition to its image."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    found = stack(f"services:\n  web:\n    image: web:1\n{lines}", **more)  # type: ignore[arg-type]
    return found.services[0]
