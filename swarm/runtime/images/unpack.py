"""The unpacking process: a layer on standard input becomes a folder, one line of JSON the result.

It runs apart so that it can chroot into the folder: then `..`, absolute names, symbolic and hard links of
a hostile layer can reach nothing but the layer. Without root no chroot is possible; then every name that
would pass through a symbolic link is refused instead, and owners, devices and attributes are left out.

Whiteouts of the image format become those of overlayfs (`overlay`), or stay as they are.
"""

# A layer may have 100,000 entries, and path objects would double the time.
# ruff: noqa: PTH101, PTH102, PTH108, PTH112, PTH114, PTH118, PTH119, PTH120, PTH211

import contextlib
import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import stat
import sys
import tarfile
from dataclasses import asdict, dataclass
from typing import IO

from swarm.runtime.images.limits import GIB
from swarm.runtime.images.shown import shown
from swarm.runtime.images.tarheaders import XATTR, BadArchive
from swarm.runtime.images.tarreader import TarReader
from swarm.runtime.images.tarstream import InflatedReader

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_PR_SET_PDEATHSIG = 1
# Far above what any sane layer needs; tar headers are the only thing that can grow.
_MEMORY_MAX = 2 * GIB
_OVERLAY_OPAQUE = "trusted.overlay.opaque"


@dataclass(frozen=True, slots=True)
class Order:
    """What the parent asks for."""

    target: str
    parent: int  # process id: without it nobody wants the layer
    confine: bool  # chroot; needs root
    overlay: bool  # whiteouts in the form of overlayfs; needs root
    entries_max: int
    inflated_bytes_max: int
    name_bytes_max: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the parent gets: `error` is empty when the layer is whole."""

    diff_id: str = ""
    entries: int = 0
    size_bytes: int = 0
    error: str = ""


class Unpacker:
    """Writes the entries of one layer below `root`."""

    def __init__(self, root: str, order: Order) -> None:
        self._root = root
        self._order = order
        self._folders: list[tuple[str, float]] = []
        self.entries = 0
        self.size_bytes = 0

    def add(self, tar: TarReader, entry: tarfile.TarInfo) -> None:
        """Write one entry; raises BadArchive or OSError."""
        self._count(1)
        path = self._path(entry.name)
        base = os.path.basename(path)
        self._make_parents(path)
        if base.startswith(_WHITEOUT) and self._order.overlay:
            self._white_out(os.path.dirname(path), base)
            return
        replaced_whiteout = self._clear(path, entry)
        if entry.islnk():
            source = self._path(entry.linkname)
            self._refuse_detours(source)
            os.link(source, path, follow_symlinks=False)
            return
        if self._create(tar, entry, path):
            self._set_attributes(entry, path)
        if replaced_whiteout and entry.isdir():
            # The layer removed the folder below and made a new one: nothing below may show through.
            os.setxattr(path, _OVERLAY_OPAQUE, b"y")

    def _count(self, entries: int) -> None:
        self.entries += entries
        if self.entries > self._order.entries_max:
            raise BadArchive(f"more than {self._order.entries_max} entries")

    def finish(self) -> None:
        """Set the times of folders, which every file made in them has changed."""
        for path, modified in reversed(self._folders):
            # A later entry may have replaced the folder.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.utime(path, (modified, modified), follow_symlinks=False)

    def _path(self, name: str) -> str:
        encoded = os.fsencode(name)
        if len(encoded) > self._order.name_bytes_max:
            raise BadArchive(f"a name of {len(encoded)} bytes")
        # normpath of an absolute path cannot climb above it.
        inside = os.path.normpath("/" + name).lstrip("/")
        return os.path.join(self._root, inside) if inside else self._root

    def _make_parents(self, path: str) -> None:
        self._refuse_detours(path)
        if path == self._root:
            return
        missing = []
        while not os.path.lexists(path := os.path.dirname(path)):
            missing.append(path)
        self._count(len(missing))  # one name can ask for thousands
        for folder in reversed(missing):
            os.mkdir(folder, 0o755)

    def _refuse_detours(self, path: str) -> None:
        """Without chroot no part of the way may be a symbolic link."""
        if self._order.confine:
            return
        parent = os.path.dirname(path)
        while len(parent) > len(self._root):
            if os.path.islink(parent):
                raise BadArchive(f"{shown(path[len(self._root) :])} leads through a symbolic link")
            parent = os.path.dirname(parent)

    def _white_out(self, folder: str, base: str) -> None:
        if base == _OPAQUE:
            os.setxattr(folder, _OVERLAY_OPAQUE, b"y")
            return
        if base.startswith(_WHITEOUT + _WHITEOUT):
            return  # bookkeeping of other storage drivers
        name = base.removeprefix(_WHITEOUT)
        if name in ("", ".", ".."):
            raise BadArchive(f"{shown(base)} removes nothing that can be named")
        path = os.path.join(folder, name)
        try:
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        except FileExistsError:
            # The same layer made it anew: a whiteout hides only what lies below.
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.setxattr(path, _OVERLAY_OPAQUE, b"y")

    def _clear(self, path: str, entry: tarfile.TarInfo) -> bool:
        """Make room for an entry; tell whether a whiteout stood there."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return False
        if path == self._root or (stat.S_ISDIR(found.st_mode) and entry.isdir()):
            return False
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        return self._order.overlay and stat.S_ISCHR(found.st_mode) and found.st_rdev == 0

    def _create(self, tar: TarReader, entry: tarfile.TarInfo, path: str) -> bool:
        """Make the file itself; tell whether there is one now."""
        if entry.isdir():
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
            self._folders.append((path, entry.mtime))
        elif entry.isreg():
            self._write(tar, entry, path)
        elif entry.issym():
            os.symlink(entry.linkname, path)
        elif entry.isfifo():
            os.mkfifo(path)
        elif (entry.ischr() or entry.isblk()) and self._order.overlay:
            # Kept because images for chroots have them. Inert where they lie: nobody but root can
            # enter the store, and a container reaches only the devices its cgroup allows.
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            os.mknod(path, kind, os.makedev(entry.devmajor, entry.devminor))
        elif entry.ischr() or entry.isblk():
            return False
        else:
            raise BadArchive(
                f"{shown(entry.name)} is of the unknown kind {shown(entry.type.decode('latin-1'))}"
            )
        return True

    def _write(self, tar: TarReader, entry: tarfile.TarInfo, path: str) -> None:
        # A sparse file takes next to nothing in the archive, and as much as it likes once it is here.
        self.size_bytes += entry.size
        if self.size_bytes > self._order.inflated_bytes_max:
            raise BadArchive(f"more than {self._order.inflated_bytes_max} bytes when unpacked")
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            for offset, piece in tar.pieces():
                if file.tell() != offset:
                    file.seek(offset)
                file.write(piece)
            file.truncate(entry.size)

    def _set_attributes(self, entry: tarfile.TarInfo, path: str) -> None:
        if not self._order.overlay:
            self._set_plain_attributes(entry, path)
            return
        os.lchown(path, entry.uid, entry.gid)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            _set_xattr(path, key.removeprefix(XATTR), value)
        if not entry.isdir():
            os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)

    def _set_plain_attributes(self, entry: tarfile.TarInfo, path: str) -> None:
        """Keep the file ours and harmless: no set-user-id, and we can always remove it."""
        if not entry.issym():
            os.chmod(path, (entry.mode & 0o755) | (0o700 if entry.isdir() else 0o600))
        if not entry.isdir():
            os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)


def _set_xattr(path: str, name: str, value: str) -> None:
    # trusted.* would let an image write overlayfs's own marks.
    if name != "security.capability" and not name.startswith("user."):
        return
    try:
        os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError as error:
        # The file system or this kind of file has no such attributes.
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
            raise


def unpack(order: Order, source: IO[bytes]) -> Outcome:
    """Write the layer read from `source` to the target; never raises for what the layer contains."""
    unpacker = Unpacker("/" if order.confine else order.target, order)
    if order.confine:
        os.chroot(order.target)
        os.chdir("/")
    try:
        # A BufferedReader of its own, whatever the caller opened.
        reader = InflatedReader(open(source.fileno(), "rb", closefd=False), lambda: order.inflated_bytes_max)  # noqa: SIM115
        tar = TarReader(reader)
        while (entry := tar.next()) is not None:
            unpacker.add(tar, entry)
        reader.drain()
        unpacker.finish()
    except BadArchive as error:
        return Outcome(error=str(error))
    except (OSError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        return Outcome(error=_sentence(error))
    return Outcome(diff_id=reader.digest, entries=unpacker.entries, size_bytes=unpacker.size_bytes)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {shown(error.filename)}" if error.filename else error.strerror
    if isinstance(error, RecursionError):
        return "directories nested too deeply"
    if isinstance(error, MemoryError):
        return "it takes too much memory to unpack"
    return f"{type(error).__name__}: {error}"


def _restrict_process(parent: int) -> None:
    """Die with the parent, and hold no more memory than a sane layer needs."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the node has ended")  # before it could take us along
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY_MAX if hard == resource.RLIM_INFINITY else min(hard, _MEMORY_MAX)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    os.umask(0)


def main() -> None:
    """Carry out the order in the last argument."""
    order = Order(**json.loads(sys.argv[-1]))
    _restrict_process(order.parent)
    # Everything that may be imported late must be here before the root changes.
    import encodings.idna  # noqa: F401
    import traceback  # noqa: F401

    outcome = unpack(order, sys.stdin.buffer)
    sys.stdout.write(json.dumps(asdict(outcome)))
