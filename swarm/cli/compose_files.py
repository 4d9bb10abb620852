"""Which Compose files, and in which surroundings they are read."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from swarm.errors import InvalidArgument, NotFound
from swarm.model.limits import COMPOSE_FILE_BYTES

STDIN = "-"
DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
OVERRIDES = ("compose.override.yaml", "compose.override.yml", "docker-compose.override.yml")


def compose_options(command: Any) -> Any:
    """Add the options that say which files make a stack."""
    options = (
        click.option(
            "-c",
            "--compose-file",
            "files",
            multiple=True,
            metavar="FILE",
            help=f"Compose file, - for standard input; later ones come on top (default {DEFAULTS[0]}).",
        ),
        click.option(
            "--env-file",
            "env_files",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False),
            help="Variables for the files (default .env beside the first one).",
        ),
        click.option(
            "--profile", "profiles", multiple=True, help="Also services of this profile; * for all."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def load(given: dict[str, Any], name: str, *, raw: bool = False) -> Any:
    """Return the project that the options name; raises what reading it raises."""
    from swarm.compose.project import Loader

    files = [str(one) for one in given["files"]] or _defaults()
    directory = str(Path.cwd() if files[0] == STDIN else Path(files[0]).resolve().parent)
    return Loader(read_file, os.environ, raw=raw).load(
        files, directory, name=name, env_files=given["env_files"], profiles=given["profiles"]
    )


def read_file(path: str) -> str:
    """Return the text of a file; raises NotFound, and InvalidArgument for what cannot be read."""
    try:
        return read_data(path).decode()
    except UnicodeDecodeError as problem:
        raise InvalidArgument(f"cannot read {path}: byte {problem.start + 1} is no UTF-8") from None


def read_data(path: str) -> bytes:
    """Return what is in a file; raises NotFound, and InvalidArgument for what cannot be read."""
    most = COMPOSE_FILE_BYTES.value
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(most + 1)
        with Path(path).open("rb") as file:  # a pipe is as good as a file, and /dev/zero has no end
            found = file.read(most + 1)
            size = max(len(found), os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise InvalidArgument(f"cannot read {path}: {why}") from None
    for too_large in COMPOSE_FILE_BYTES.exceeded(path, size):
        raise InvalidArgument(too_large)
    return found


def _defaults() -> Sequence[str]:
    found = [next((name for name in names if Path(name).is_file()), "") for names in (DEFAULTS, OVERRIDES)]
    if not found[0]:
        raise NotFound(f"there is no {' or '.join(DEFAULTS)} here: name the file with --compose-file FILE")
    return [name for name in found if name]
