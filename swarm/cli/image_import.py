"""`swarmctl image import`: the files of a tar archive become an image of one layer."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import click

from swarm.cli.connect import connect
from swarm.cli.flags import FlagCommand
from swarm.errors import InvalidArgument

_CHUNK_BYTES = 1 << 20
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


@dataclass(frozen=True, slots=True)
class _Layer:
    """An archive as an image has it, compressed, and the digest that it has unpacked."""

    file: IO[bytes]
    digest: str
    size_bytes: int
    diff_id: str


@click.command(
    "import",
    cls=FlagCommand,
    epilog="\b\nExamples:\n  swarmctl image import rootfs.tar.gz shop/base:1\n"
    "  swarmctl container cp db:/ - | swarmctl image import -c 'CMD [\"/bin/sh\"]' - db:copy\n\n"
    "The archive may be compressed with gzip, bzip2 or xz.",
)
@click.argument("source", metavar="FILE|-", type=click.Path(allow_dash=True))
@click.argument("name", metavar="NAME[:TAG]", default="")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="As in a Dockerfile; repeatable."
)
@click.option("-m", "--message", default="", help="Comment in the image's history.")
@click.option("--platform", default="", help="linux/ARCHITECTURE[/VARIANT] (default: this machine's).")
@click.pass_obj
def import_command(host: str, /, source: str, name: str, changes: tuple[str, ...], **given: str) -> None:
    """Make an image of the files in a tar archive, and give it to the cluster."""
    from swarm.clock import SystemClock, timestamp
    from swarm.model.image_changes import with_changes
    from swarm.model.reference import parse_reference
    from swarm.runtime.images.platforms import host_platform, parse_platform

    if "://" in source:
        raise InvalidArgument(f"image import reads no URL: curl {source} | swarmctl image import - NAME")
    if not name or parse_reference(name).digest:
        raise InvalidArgument("image import: say which NAME[:TAG] the image has in the cluster")
    platform = parse_platform(given["platform"]) if given["platform"] else host_platform()
    made_at = timestamp(SystemClock().now_ns()).ToJsonString()
    about: dict[str, Any] = {
        "created": made_at,
        "architecture": platform.architecture,
        **({"variant": platform.variant} if platform.variant else {}),
        "os": platform.os,
        "config": with_changes({}, changes),
        "history": [{"created": made_at, "comment": given["message"] or f"Imported from {source}"}],
    }
    with _opened(source) as stream, _layer(stream, source) as layer, tempfile.TemporaryFile() as archive:
        write_image(archive, layer, about)
        archive.seek(0)
        click.echo(_give(host, archive, str(parse_reference(name))))


def _give(host: str, archive: IO[bytes], name: str) -> str:
    from swarm.cli.image_build import chunks_of

    with connect(host) as conn:
        answer = conn.control.LoadImage(chunks_of(archive, name), timeout=None)
    digest: str = answer.images[0].digest
    return digest


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    if source == "-" and sys.stdin.isatty():
        raise InvalidArgument("image import reads an archive from standard input; or name a FILE")
    try:
        with click.open_file(source, "rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise InvalidArgument(f"cannot read {source}: {error.strerror}") from None


@contextmanager
def _layer(stream: IO[bytes], source: str) -> Iterator[_Layer]:
    """Yield an archive as a layer; raises InvalidArgument for what is no archive."""
    unpacked, packed = hashlib.sha256(), hashlib.sha256()
    with tempfile.TemporaryFile() as file:
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as squeezed:
            for number, chunk in enumerate(_plain_chunks(stream, source)):
                if number == 0:
                    _check_begin(chunk, source)
                unpacked.update(chunk)
                squeezed.write(chunk)
        size_bytes = file.tell()
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            packed.update(chunk)
        file.seek(0)
        yield _Layer(file, packed.hexdigest(), size_bytes, f"sha256:{unpacked.hexdigest()}")


def _plain_chunks(stream: IO[bytes], source: str) -> Iterator[bytes]:
    """Yield what an archive is without its compression, at least one piece."""
    head = stream.read(max(map(len, _OPENERS)))
    whole = io.BufferedReader(_Joined(head, stream), _CHUNK_BYTES)
    opener = next((found for magic, found in _OPENERS.items() if head.startswith(magic)), None)
    plain = opener(whole, "rb") if opener is not None else whole
    try:
        yield plain.read(_CHUNK_BYTES)
        while chunk := plain.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InvalidArgument(f"cannot read the archive {source}: {error}") from None


class _Joined(io.RawIOBase):
    """What was read of a stream already, and the rest of it."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next piece; 0 at the end."""
        piece = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _check_begin(chunk: bytes, source: str) -> None:
    head = chunk[: tarfile.BLOCKSIZE]
    if head == tarfile.NUL * tarfile.BLOCKSIZE:
        return  # an archive of nothing
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise InvalidArgument(
            f"{source} is no tar archive, nor one compressed with gzip, bzip2 or xz"
        ) from None


def write_image(archive: IO[bytes], layer: _Layer, about: dict[str, Any]) -> None:
    """Write an OCI layout with an image of one layer."""
    from swarm.runtime.images import manifest as oci
    from swarm.runtime.images.digests import digest_of

    def described(media_type: str, content: bytes) -> oci.Descriptor:
        return oci.Descriptor(media_type, digest_of(content), len(content))

    configuration = _json(about | {"rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}})
    packed = oci.Descriptor(f"{oci.OCI_LAYER}+gzip", f"sha256:{layer.digest}", layer.size_bytes)
    manifest = oci.render_manifest(described(oci.OCI_CONFIG, configuration), [packed])
    index = oci.render_index([described(oci.OCI_MANIFEST, manifest)])
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for blob in (configuration, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", io.BytesIO(blob), len(blob))
        _add(tar, f"blobs/sha256/{layer.digest}", layer.file, layer.size_bytes)
        for name, text in (("oci-layout", _json({"imageLayoutVersion": "1.0.0"})), ("index.json", index)):
            _add(tar, name, io.BytesIO(text), len(text))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size_bytes: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size_bytes
    tar.addfile(entry, content)


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
