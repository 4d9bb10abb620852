"""`swarmd debug`: look at the Raft log and the snapshots of a manager, also of one that does not run."""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.config import Settings, load_settings
from swarm.errors import FailedPrecondition, SwarmError

if TYPE_CHECKING:
    from swarm.manager.raft.entries import Entry
    from swarm.manager.raft.snapshots import Snapshot
    from swarm.manager.store.store import Store
    from swarm.security.keyring import Keyring

EXIT_DAMAGED = 3
UNLOCK_KEY_VARIABLE = "SWARM_UNLOCK_KEY"

_STATE_DIR = click.option("--state-dir", help="Where the node keeps its state  [default: as swarmd]")
_KEY_FILE = click.option(
    "--unlock-key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help=f"The unlock key of an auto-locked manager; else {UNLOCK_KEY_VARIABLE}, or asked for.",
)
_FORMAT = click.option("--format", "layout", type=click.Choice(["text", "json"]), default="text")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the files are, and the keys to read them with."""

    directory: Path
    keys: "Keyring"


class _Damaged(click.ClickException):
    exit_code = EXIT_DAMAGED


class _Commands(click.Group):
    """Says in one line why something is refused."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        from swarm.security.keyring import DamagedKeyFile

        try:
            return super().invoke(ctx)
        except SwarmError as error:
            raise (_Damaged if isinstance(error, DamagedKeyFile) else click.ClickException)(
                str(error)
            ) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # nobody reads the rest: click knows what to do
                raise
            raise click.ClickException(
                f"cannot read {error.filename or 'the files'}: {error.strerror}"
            ) from error


@click.group(
    cls=_Commands,
    epilog="\b\nExamples:\n  swarmd debug state\n  swarmd debug log --from 100 --to 120\n"
    "  swarmd debug objects services --state-dir /backup/swarm\n"
    "\b\nNothing is ever changed, so swarmd may run meanwhile; then files may be replaced while they"
    " are read.\n\b\nExit code: 0: all was readable, 1: refused, 3: something is damaged and was left out.",
)
def debug() -> None:
    """Look into the encrypted Raft log and snapshots of a manager, without keys, tokens and passwords."""


@debug.command(
    epilog="\b\nExamples:\n  swarmd debug log --from 100 --to 120\n"
    "  swarmd debug log --format json | jq '.[].what'\n"
    "  SWARM_UNLOCK_KEY=SWMKEY-1-... swarmd debug log --state-dir /backup/swarm"
)
@_STATE_DIR
@_KEY_FILE
@_FORMAT
@click.option("--from", "first", type=int, help="First entry to show.")
@click.option("--to", "last", type=int, help="Last entry to show.")
@click.pass_context
def log(
    ctx: click.Context,
    state_dir: str | None,
    unlock_key_file: Path | None,
    layout: str,
    first: int | None,
    last: int | None,
) -> None:
    """Show the records of the log, and where it is damaged."""
    from swarm.debug.view import HEAD, as_row, damage_line, log_line, within
    from swarm.manager.raft.inspect import Damage, read_log

    source = _source(ctx, state_dir, unlock_key_file)
    problems: list[str] = []

    def lines() -> Iterator[dict[str, Any]]:
        for one in read_log(source.directory, source.keys):
            if isinstance(one, Damage) and not one.is_torn_end:
                problems.append(str(one))
            line = damage_line(one) if isinstance(one, Damage) else log_line(one)
            if within(line, first, last):
                yield line

    if layout == "json":
        _say_array(lines())
    else:
        for number, line in enumerate(lines()):
            click.echo(as_row(line) if number else f"{HEAD}\n{as_row(line)}")
    ctx.exit(_exit_code(problems))


@debug.command(
    epilog="\b\nExamples:\n  swarmd debug snapshot\n  swarmd debug snapshot --format json | jq '.[-1].index'"
)
@_STATE_DIR
@_KEY_FILE
@_FORMAT
@click.pass_context
def snapshot(ctx: click.Context, state_dir: str | None, unlock_key_file: Path | None, layout: str) -> None:
    """Show what snapshots there are, and whether they can be read."""
    from swarm.debug.view import as_paragraph, members_text
    from swarm.manager.raft.inspect import read_snapshots
    from swarm.manager.raft.snapshots import DamagedSnapshot

    source = _source(ctx, state_dir, unlock_key_file)
    problems: list[str] = []
    found: list[dict[str, Any]] = []
    for one in read_snapshots(source.directory, source.keys):
        if isinstance(one, DamagedSnapshot):
            problems.append(str(one))
            found.append({"damaged": str(one)})
            continue
        held = _counted(_state([], one))
        members = members_text(one.membership)
        found.append(
            {"name": one.name, "index": one.index, "term": one.term, "members": members, "objects": held}
        )
    if layout == "json":
        _say_array(iter(found))
    else:
        for what in found:
            click.echo(as_paragraph(what))
        if not found:
            click.echo("no snapshot yet: everything is in the log")
    ctx.exit(_exit_code(problems))


@debug.command(
    epilog="\b\nExamples:\n  swarmd debug state\n  swarmd debug state --format json | jq .objects\n"
    "  swarmd debug state --state-dir /backup/swarm --unlock-key-file key.txt"
)
@_STATE_DIR
@_KEY_FILE
@_FORMAT
@click.pass_context
def state(ctx: click.Context, state_dir: str | None, unlock_key_file: Path | None, layout: str) -> None:
    """Show whose log it is, who the managers are, and how much there is of what, at the end of the log."""
    from swarm.debug.view import as_paragraph

    found = _everything(_source(ctx, state_dir, unlock_key_file))
    what = {**found.about, "objects": _counted(found.store)}
    click.echo(json.dumps(what) if layout == "json" else as_paragraph(what))
    ctx.exit(_exit_code(found.problems))


@debug.command(
    epilog="\b\nExamples:\n  swarmd debug objects services\n"
    "  swarmd debug objects nodes --state-dir /backup/swarm"
)
@click.argument("kind", type=click.Choice(["clusters", "nodes", "services", "tasks", "images"]))
@_STATE_DIR
@_KEY_FILE
@click.pass_context
def objects(ctx: click.Context, kind: str, state_dir: str | None, unlock_key_file: Path | None) -> None:
    """Print objects as JSON, as they are at the end of the log, committed or not."""
    from swarm.debug.view import objects_shown

    found = _everything(_source(ctx, state_dir, unlock_key_file))
    click.echo(json.dumps(objects_shown(getattr(found.store.view, kind)), indent=2))
    ctx.exit(_exit_code(found.problems))


@dataclass(frozen=True, slots=True)
class _Found:
    store: "Store"
    about: dict[str, Any]
    problems: tuple[str, ...]


def _everything(source: Source) -> _Found:
    """Return the newest state that can be read."""
    from swarm.debug.summary import summary
    from swarm.manager.raft.inspect import read_log, read_snapshots, surviving_entries
    from swarm.manager.raft.snapshots import DamagedSnapshot

    items = list(read_log(source.directory, source.keys))
    entries, damage = surviving_entries(iter(items))
    snapshots = list(read_snapshots(source.directory, source.keys))
    good = [one for one in snapshots if not isinstance(one, DamagedSnapshot)]
    problems = [str(one) for one in snapshots if isinstance(one, DamagedSnapshot)]
    problems += [f"{one}; what is shown ends there" for one in damage if not one.is_torn_end]
    latest = good[-1] if good else None
    usable, gap = _fitting(entries, latest)
    problems += [gap] if gap else []
    return _Found(_state(usable, latest), summary(items, usable, latest), tuple(problems))


def _fitting(entries: "list[Entry]", latest: "Snapshot | None") -> "tuple[list[Entry], str]":
    """Return the entries that can follow the snapshot, and what is wrong if some cannot."""
    have = latest.index if latest is not None else 1
    if entries and entries[0][1] > have:
        begin = entries[0][1]
        return [], f"the log begins with entry {begin}, and the newest readable snapshot ends at {have}"
    return entries, ""


def _state(entries: "Iterable[Entry]", latest: "Snapshot | None") -> "Store":
    from swarm.clock import SystemClock
    from swarm.manager.recovery import restored_store

    return restored_store(entries, latest, SystemClock())


def _counted(store: "Store") -> dict[str, int]:
    from swarm.manager.store.tables import KINDS, kind_name, table_of

    return {f"{kind_name(kind)}s": len(table_of(store.view, kind)) for kind in KINDS}


def _say_array(lines: Iterator[dict[str, Any]]) -> None:
    """Print one JSON array, an element a line, as they come."""
    before = "["
    for line in lines:
        click.echo(f"{before}\n{json.dumps(line)}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def _exit_code(problems: Sequence[str]) -> int:
    """Tell about what was left out, and return the exit code."""
    for problem in problems:
        click.echo(f"swarmd: {problem}", err=True)
    return EXIT_DAMAGED if problems else 0


def _source(ctx: click.Context, state_dir: str | None, key_file: Path | None) -> Source:
    """Return the files of the node that swarmd would be with these settings; raises FailedPrecondition."""
    config, flags = ctx.find_root().obj or (None, {})
    given = {**flags, "state_dir": state_dir} if state_dir is not None else flags
    settings = load_settings(given, os.environ, config)
    if not settings.raft_dir.is_dir():
        raise FailedPrecondition(
            f"there is no Raft log in {settings.raft_dir}: the node is no manager, or its state is elsewhere"
            " (--state-dir)"
        )
    return Source(settings.raft_dir, _keyring(settings, key_file))


def _keyring(settings: Settings, key_file: Path | None) -> "Keyring":
    from swarm.security.keyring import Locked, open_keyring
    from swarm.security.unlock_key import parse_unlock_key

    try:
        return open_keyring(settings.key_file)
    except FileNotFoundError:
        raise FailedPrecondition(
            f"the key file {settings.key_file} is missing, and {settings.raft_dir} cannot be read without it"
        ) from None
    except Locked:
        text = key_file.read_text() if key_file is not None else os.environ.get(UNLOCK_KEY_VARIABLE, "")
        return open_keyring(settings.key_file, parse_unlock_key(text or _asked()))


def _asked() -> str:
    try:
        return str(click.prompt("Unlock key", hide_input=True, err=True))
    except click.Abort:
        raise FailedPrecondition(
            f"this manager is auto-locked: give its unlock key in {UNLOCK_KEY_VARIABLE} or with"
            " --unlock-key-file"
        ) from None
