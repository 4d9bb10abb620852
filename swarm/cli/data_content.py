"""Where the content of a secret or config comes from: a file, standard input, a variable, an editor."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import click

from swarm.errors import InvalidArgument
from swarm.model.limits import CONFIG_BYTES, SECRET_BYTES

_MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of our own in it, for nobody else


def content_options(command: Any) -> Any:
    """Add what names the content: FILE|-, --env and --edit."""
    command = click.option("--edit", is_flag=True, help="Write it in $VISUAL or $EDITOR.")(command)
    command = click.option("--env", metavar="VAR", help="Take it from this environment variable.")(command)
    return click.argument("file", metavar="[FILE|-]", required=False)(command)


def has_content(given: dict[str, Any]) -> bool:
    """Whether the options name any content."""
    return given["file"] is not None or given["env"] is not None or given["edit"]


def read_content(noun: str, given: dict[str, Any], before: bytes = b"") -> bytes:
    """Return the content that the options name; an editor begins with `before`. Raises InvalidArgument."""
    if (given["file"] is not None) + (given["env"] is not None) + bool(given["edit"]) != 1:
        raise InvalidArgument(
            f"say one of FILE, - (standard input), --env VAR and --edit: what is in the {noun}"
        )
    if given["env"] is not None:
        value = os.environb.get(os.fsencode(given["env"]))
        if value is None:
            raise InvalidArgument(f"--env {given['env']}: the variable is not set")
        return _checked(value, f"the variable {given['env']}", noun)
    if given["edit"]:
        return _checked(edited(noun, before), "what the editor left", noun)
    return read_data(given["file"], noun)


def edited(noun: str, before: bytes) -> bytes:
    """Return what a person makes of `before` in an editor; no copy of it stays.

    The end of the last line, which editors add, is not a part of a secret.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    in_memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="swarmctl-", dir=_MEMORY if in_memory else None) as folder:
        path = Path(folder) / noun
        path.touch(0o600)
        path.write_bytes(before)
        try:
            status = subprocess.run([*command, str(path)], check=False).returncode
            if status:
                raise InvalidArgument(f"the editor {command[0]} ended with {status}: nothing was changed")
            content = path.read_bytes()
        except OSError as error:
            raise InvalidArgument(f"cannot edit with {command[0]} ($EDITOR): {error.strerror}") from None
        finally:
            _wipe(Path(folder))
    return content.removesuffix(b"\n") if noun == "secret" else content


def _wipe(folder: Path) -> None:
    """Overwrite all files of a folder: the editor's own copies as well."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as opened:
                opened.write(bytes(path.stat().st_size))
                opened.flush()
                os.fsync(opened.fileno())


def read_data(source: str, noun: str) -> bytes:
    """Return the content of a file, of standard input for `-`; raises InvalidArgument."""
    most = _limit(noun).value + 1
    try:
        data = _read(sys.stdin.buffer if source == "-" else None, source, most)
    except OSError as error:
        raise InvalidArgument(f"cannot read {source}: {error.strerror}") from None
    return _checked(data, "standard input" if source == "-" else source, noun)


def _limit(noun: str) -> Any:
    return SECRET_BYTES if noun == "secret" else CONFIG_BYTES


def _checked(data: bytes, where: str, noun: str) -> bytes:
    limit = _limit(noun)
    if not data:
        raise InvalidArgument(f"{where} is empty: a {noun} needs at least one byte")
    for problem in limit.exceeded(where, len(data)):
        raise InvalidArgument(problem.replace(f"{len(data)} bytes", f"more than {limit.value} bytes", 1))
    return data


def _read(stream: BinaryIO | None, source: str, most: int) -> bytes:
    if stream is not None:
        if stream.isatty():
            click.echo("Reading from the terminal; end with Ctrl-D.", err=True)
        return stream.read(most)
    with Path(source).open("rb") as opened:
        return opened.read(most)
