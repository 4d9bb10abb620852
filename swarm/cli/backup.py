"""`swarmctl backup` and `restore`: the state of a cluster in one sealed file, and begun anew from it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError

from swarm.api.v1 import backup_pb2 as b
from swarm.cli import backup_images
from swarm.cli.ca import read_pem
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError
from swarm.security.backup_file import (
    DamagedBackup,
    NewFile,
    Passphrase,
    key_of,
    passphrase_of,
    read_header,
    seal,
    unseal,
)

RESTORE_TIMEOUT_S = 300.0
SECRET_BYTES_MAX = 64 * 1024  # of a key file or passphrase
VARIABLE = "SWARM_BACKUP_PASSPHRASE"


def _secret_options(command: Callable[..., Any]) -> Callable[..., Any]:
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    command = click.option(
        "--key-file", type=file, help="Seal with this file (32 bytes or more) instead of a passphrase."
    )(command)
    return click.option(
        "--passphrase-file", type=file, help="Read the passphrase from the first line of a file."
    )(command)


@click.group(cls=FlagGroup)
def backup() -> None:
    """Backups of the cluster's state: services, secrets, nodes, tokens, the root CA; images if wanted."""


@backup.command(
    epilog="\b\nExamples:\n  swarmctl backup create /backups/monday.swarm\n"
    "  swarmctl backup create --passphrase-file /root/pass monday.swarm\n"
    "  head -c 32 /dev/urandom > key; swarmctl backup create --key-file key monday.swarm\n"
    "  swarmctl backup create --images full.swarm       (larger: with all images of the cluster)"
)
@click.argument("file", type=click.Path(path_type=Path))
@_secret_options
@click.option("--images", is_flag=True, help="With the images that the managers hold.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is well.")
@click.pass_obj
def create(
    host: str,
    file: Path,
    passphrase_file: Path | None,
    key_file: Path | None,
    *,
    images: bool,
    quiet: bool,
) -> None:
    """Write a backup of the cluster; the file must not exist yet.

    The cluster goes on meanwhile. Everything confirmed before is in it, with every secret and the key of the
    root CA, sealed with a passphrase. Images are with --images: needed for those that no registry has.
    Volumes never are.
    """
    new = NewFile(file)
    secret = _secret(passphrase_file, key_file, confirm=True)
    try:
        with connect(host) as node:
            header = _write(new, node, secret, images=images)
        if not quiet:
            click.echo("Verifying what was written", err=True)
        _check(new.temporary, secret)
        new.keep()
    except OSError as error:
        raise FailedPrecondition(f"cannot write {file}: {error.strerror}") from None
    finally:
        new.discard()
    if not quiet:
        click.echo(
            f"{file}: cluster {header.cluster_id} as of entry {header.index}, {_counted(header)}"
            f"{', images with their content' if images else ''}; {file.stat().st_size} bytes"
        )


def _write(new: NewFile, node: Connection, secret: Passphrase, *, images: bool) -> b.BackupHeader:
    parts = iter(node.control.CreateBackup(b.CreateBackupRequest(), timeout=None))
    first = next(parts, b.BackupPart())
    if first.WhichOneof("part") != "header":
        raise FailedPrecondition("the manager sent no backup: try again")
    header = first.header
    header.with_images = images

    def pieces() -> Iterator[bytes]:
        held = backup_images.HeldImages()
        yield first.SerializeToString()
        for part in held.watch(parts):
            yield part.SerializeToString()
        for part in backup_images.saved(node, held.images) if images else ():
            yield part.SerializeToString()

    with new.open() as out:
        seal(out, MessageToDict(header), secret, pieces())
        out.flush()
        os.fsync(out.fileno())
    return header


@backup.command(
    epilog="\b\nExamples:\n  swarmctl backup inspect monday.swarm\n"
    "  swarmctl backup inspect --format json monday.swarm"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format", "layout", default="pretty", help="pretty, json, yaml or TEMPLATE.", show_default=True
)
def inspect(file: Path, layout: str) -> None:
    """Show what a backup is of; needs no passphrase, and so checks nothing (see `backup verify`)."""
    header = _public(file)
    if layout != "pretty":
        from swarm.cli.render import show_object

        show_object(_row(header), layout)
        return
    for name, value in _row(header).items():
        shown = _counted(header) if isinstance(value, dict) else str(value)
        if isinstance(value, bool):
            shown = "yes" if value else "no"
        click.echo(f"{name + ':':<14}{shown}")


def _row(header: b.BackupHeader) -> dict[str, Any]:
    return {
        "ClusterID": header.cluster_id,
        "Index": header.index,
        "CreatedAt": header.created_at.ToJsonString(),
        "Version": header.version,
        "StoreVersion": header.store_version,
        "WithImages": header.with_images,
        "Objects": {one.kind: one.count for one in header.counts},
    }


def _counted(header: b.BackupHeader) -> str:
    return ", ".join(f"{one.count} {one.kind}{'s' * (one.count != 1)}" for one in header.counts if one.count)


@backup.command(
    epilog="\b\nExamples:\n  swarmctl backup verify monday.swarm\n"
    "  swarmctl backup verify --key-file key monday.swarm"
)
@click.argument("file", type=click.Path(path_type=Path))
@_secret_options
def verify(file: Path, passphrase_file: Path | None, key_file: Path | None) -> None:
    """Open and check every part of a backup."""
    _public(file)
    header = _check(file, _secret(passphrase_file, key_file))
    click.echo(f"{file} is whole: cluster {header.cluster_id} as of {header.created_at.ToJsonString()}.")


@click.command(
    epilog="\b\nExamples:\n  swarmctl restore monday.swarm\n"
    "  swarmctl restore --advertise-addr 10.0.0.9 --key-file key monday.swarm\n"
    "  swarmctl restore --ca-key root.key monday.swarm      (the cluster has an external CA)"
)
@click.argument("file", type=click.Path(path_type=Path))
@_secret_options
@click.option(
    "--advertise-addr", default="", help="Address (HOST[:PORT] or interface) that other nodes use."
)
@click.option("--listen-addr", default="", help="Address to listen on (default 0.0.0.0:2377).")
@click.option(
    "--ca-key",
    type=click.Path(path_type=Path),
    help="Key of the root (PEM, no passphrase) when an external CA holds it; used once, not kept.",
)
@click.option("--force", is_flag=True, help="Also when managers of the cluster still answer.")
@click.pass_obj
def restore(
    host: str,
    file: Path,
    passphrase_file: Path | None,
    key_file: Path | None,
    advertise_addr: str,
    listen_addr: str,
    ca_key: Path | None,
    *,
    force: bool,
) -> int:
    """Begin a cluster anew from a backup, with this node, which is in none, as its only manager.

    For the day when all managers are lost for good. Workers keep their containers; tell those that do not
    find this node where it is: `swarmctl node rejoin`.
    """
    _public(file)
    secret = _secret(passphrase_file, key_file)
    header = _check(file, secret)
    options = b.RestoreOptions(advertise_addr=advertise_addr, listen_addr=listen_addr, force=force)
    if ca_key is not None:
        options.ca_key_pem = read_pem(ca_key, "--ca-key")

    def requests() -> Iterator[b.RestoreRequest]:
        yield b.RestoreRequest(options=options)
        for part in _parts(file, secret):
            yield b.RestoreRequest(part=part)
            if part.WhichOneof("part") == "end":
                return

    with connect(host) as node:
        answer = node.local.Restore(requests(), timeout=RESTORE_TIMEOUT_S)
        loaded = _load_after(node, file, secret) if header.with_images else []
    click.echo(f"Node {answer.node_id} is the only manager of cluster {answer.cluster_id} now.")
    for peer in answer.former_managers:
        click.echo(f"  no manager any more: node {peer.node_id} at {peer.addr}")
    if loaded:
        click.echo(f"  images loaded: {', '.join(loaded)}")
    click.echo(
        "\nWorkers keep their tasks until they are back; one that never will: swarmctl node rm --force NODE"
    )
    click.echo(f"\nOn nodes that do not come back by themselves:\n\n    swarmctl node rejoin {answer.addr}")
    click.echo("\nTo add a manager, run there:")
    click.echo(f"\n    swarmctl join --token {answer.manager_token} {answer.addr}\n")
    return 1 if loaded is None else 0


def _load_after(node: Connection, file: Path, secret: Passphrase) -> list[str] | None:
    """Load the images after the state was restored; None when that fails; the cluster is there."""
    try:
        return backup_images.load(node, _parts(file, secret))
    except SwarmError as error:
        click.echo(
            f"Warning: the cluster is restored, but not all of its images: {error}. When this is mended:\n"
            f"    swarmctl backup load-images {file}",
            err=True,
        )
        return None


@backup.command(
    "load-images",
    epilog="\b\nExamples:\n  swarmctl backup load-images full.swarm\n"
    "  swarmctl backup load-images --key-file key full.swarm",
)
@click.argument("file", type=click.Path(path_type=Path))
@_secret_options
@click.pass_obj
def load_images(host: str, file: Path, passphrase_file: Path | None, key_file: Path | None) -> None:
    """Give the images of a backup to the cluster, as restore does; may be repeated."""
    if not _public(file).with_images:
        raise FailedPrecondition(
            f"{file} has no images: it was made without --images; load them with swarmctl image load or pull"
        )
    secret = _secret(passphrase_file, key_file)
    _check(file, secret)
    with connect(host) as node:
        for name in backup_images.load(node, _parts(file, secret)):
            click.echo(f"Loaded image: {name}")


def _public(file: Path) -> b.BackupHeader:
    """Return what stands in clear in a backup."""
    try:
        return ParseDict(read_header(file).public, b.BackupHeader())
    except OSError as error:
        raise FailedPrecondition(f"cannot read {file}: {error.strerror}") from None
    except ParseError:
        raise DamagedBackup(f"{file} is no usable backup: its header is damaged") from None


def _parts(file: Path, secret: Passphrase) -> Iterator[b.BackupPart]:
    try:
        for piece in unseal(file, secret):
            yield b.BackupPart.FromString(piece)
    except DecodeError:
        raise DamagedBackup(f"{file} is no usable backup: it was made by another version of swarm") from None
    except OSError as error:
        raise FailedPrecondition(f"cannot read {file}: {error.strerror}") from None


def _check(file: Path, secret: Passphrase) -> b.BackupHeader:
    """Read all of a backup and return its header, which is sealed, too."""
    header, records, end = b.BackupHeader(), 0, b.BackupEnd()
    for part in _parts(file, secret):
        if part.WhichOneof("part") == "header":
            header = part.header
        records += len(part.records.records)
        if part.WhichOneof("part") == "end":
            end = part.end
    if not header.cluster_id or end.records != records:
        raise DamagedBackup(f"{file} is no usable backup: parts of the state are missing")
    return header


def _secret(passphrase_file: Path | None, key_file: Path | None, *, confirm: bool = False) -> Passphrase:
    """Return what seals or opens the backup: from a file, the environment, a person or standard input."""
    if passphrase_file is not None and key_file is not None:
        raise InvalidArgument("give --passphrase-file or --key-file, not both")
    if key_file is not None:
        return key_of(_content(key_file))
    if passphrase_file is not None:
        text = _content(passphrase_file).decode(errors="surrogateescape").split("\n", 1)[0]
        return passphrase_of(text)
    if VARIABLE in os.environ:
        return passphrase_of(os.environ[VARIABLE])
    if sys.stdin.isatty():
        asked = click.prompt(
            "Passphrase of the backup", hide_input=True, confirmation_prompt=confirm, err=True
        )
        return passphrase_of(str(asked))
    return passphrase_of(sys.stdin.readline(SECRET_BYTES_MAX).rstrip("\n"))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise FailedPrecondition(f"cannot read {path}: {error.strerror}") from None
    if len(content) > SECRET_BYTES_MAX:
        raise InvalidArgument(
            f"{path} is too large for a key or passphrase: at most {SECRET_BYTES_MAX} bytes"
        )
    return content
