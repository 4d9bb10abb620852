"""The process that copies files out of a container and into it. It runs apart so that it can chroot there.

Then neither a symbolic link of the container nor a name in an archive can mean a file of the node, whatever
the container does meanwhile. Nothing may be imported once the root has changed: it would be the container's.
"""

# An archive may have 100,000 entries, and path objects would double the time.
# ruff: noqa: PTH102, PTH112, PTH108, PTH116, PTH115, PTH118, PTH119, PTH120, PTH208, PTH211

import bz2
import ctypes
import gzip
import io
import json
import lzma
import os
import resource
import signal
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from swarm.runtime.images.shown import shown
from swarm.runtime.images.tarheaders import BadArchive
from swarm.runtime.images.tarreader import Readable, TarReader
from swarm.runtime.oci.changes import NoImage, changes, write_layer
from swarm.runtime.oci.tree_archive import TreeArchive

PR_SET_PDEATHSIG = 1
MEMORY_MAX = 1 << 30
CHUNK_BYTES = 1 << 18
NOBODY = 65_534
KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


class Refused(Exception):
    """What is asked cannot be done; the kind is the name of an error of swarm."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def kind_of(path: str) -> str:
    """Return what a path leads to."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return ""
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def copy_from(path: str, *, follow: bool, sink: IO[bytes]) -> None:
    """Write an archive of what is at `path`."""
    # "x/" and "x/." mean the directory that a link x leads to.
    plain = os.path.normpath("/" + path)
    if follow or path.endswith(("/", "/.")):
        plain = os.path.realpath(plain)
    if not os.path.lexists(plain):
        raise Refused("NotFound", f"there is no {path} in the container")
    if stat.S_ISSOCK(os.lstat(plain).st_mode):
        raise Refused("InvalidArgument", f"{path} is a socket: archives have none")
    name = os.path.basename(os.path.normpath("/" + path)) or "root"
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for inside, entry in walk(plain, name):
            add(tar, inside, entry)


def walk(path: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield (path, name in the archive) of a file or a tree; what vanishes meanwhile is left out."""
    yield path, name
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return
        names = sorted(os.listdir(path))
    except OSError:
        return
    for one in names:
        yield from walk(os.path.join(path, one), f"{name}/{one}")


def add(tar: tarfile.TarFile, path: str, name: str) -> None:
    """Add one entry; only regular files are opened, for a pipe or device might never answer."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            entry = plain_entry(name, found)
            if stat.S_ISLNK(found.st_mode):
                entry.linkname = os.readlink(path)
            if entry.type != tarfile.REGTYPE:
                tar.addfile(entry)
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            tar.addfile(plain_entry(name, found), Exactly(file, found.st_size))


# The ids of the node that are 0 and up in a container with users of its own: first and how many.
_users = [0, 2**32]


def container_id_of(number: int) -> int:
    """Return what the container calls a user or group of the node."""
    first, size = _users
    return number - first if first <= number < first + size else NOBODY


def node_id_of(number: int) -> int:
    """Return which user or group of the node one of the container is."""
    first, size = _users
    return first + (number if number < size else 0)


def plain_entry(name: str, found: os.stat_result) -> tarfile.TarInfo:
    """Return an entry by numbers alone: names of users would be looked up in the container."""
    entry = tarfile.TarInfo(name)
    entry.mode = stat.S_IMODE(found.st_mode)
    entry.uid, entry.gid = container_id_of(found.st_uid), container_id_of(found.st_gid)
    entry.mtime = int(found.st_mtime)
    entry.type = KINDS.get(stat.S_IFMT(found.st_mode), tarfile.REGTYPE)
    if stat.S_ISREG(found.st_mode):
        entry.size = found.st_size
    if entry.isdev():
        entry.devmajor, entry.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return entry


class Exactly:
    """A file that has the size it had at first, whoever writes to it or cuts it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, zeros once the file has ended before its time."""
        wanted = self.left if size < 0 else min(size, self.left)
        data = self.file.read(wanted)
        self.left -= wanted
        return data.ljust(wanted, b"\0")


def copy_to(path: str, *, keep_owner: bool, source: IO[bytes]) -> None:
    """Unpack an archive into the directory `path`."""
    if kind_of(path) != "directory":
        raise Refused("NotFound", f"there is no directory {path} in the container")
    os.chdir(path)
    folders: list[tuple[str, tarfile.TarInfo]] = []
    try:
        tar = TarReader(decompressed(source))
        while (entry := tar.next()) is not None:
            name = os.path.normpath("/" + entry.name).lstrip("/") or "."
            unpack(tar, entry, name, keep_owner=keep_owner)
            if entry.isdir():
                folders.append((name, entry))
    except (BadArchive, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise Refused("InvalidArgument", f"this is no tar archive: {error}") from error
    for name, entry in reversed(folders):
        os.utime(name, (entry.mtime, entry.mtime))
    while source.read(CHUNK_BYTES):  # the end of an archive is padded
        pass


def decompressed(source: IO[bytes]) -> Readable:
    """Return what an archive is once it is decompressed: gzip, bzip2, xz or nothing."""
    buffered = io.BufferedReader(cast("io.RawIOBase", source), CHUNK_BYTES)
    start = buffered.peek(6)[:6]
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=buffered)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(buffered)
    return lzma.LZMAFile(buffered) if start == b"\xfd7zXZ\0" else buffered


def unpack(tar: TarReader, entry: tarfile.TarInfo, name: str, *, keep_owner: bool) -> None:
    """Make one entry; a file is made anew and never written through what is there."""
    make_parents(name)
    if entry.isdir():
        make_folder(name)
    elif entry.issym():
        remove_file(name)
        os.symlink(entry.linkname, name)
    elif entry.isreg():
        write_file(tar, entry, name)
    elif entry.islnk():
        source = os.path.normpath("/" + entry.linkname).lstrip("/")
        remove_file(name)
        os.link(source, name, follow_symlinks=False)
        return
    else:
        raise Refused("InvalidArgument", f"{shown(entry.name)} is neither a file, a directory nor a link")
    if keep_owner:
        os.lchown(name, node_id_of(entry.uid), node_id_of(entry.gid))
    elif _users[0]:
        os.lchown(name, *_users[:1] * 2)
    if not entry.issym():
        # Root's own file must not become a set-user-id program because its author's was.
        os.chmod(name, entry.mode & (0o7777 if keep_owner else 0o1777))  # noqa: PTH101
        os.utime(name, (entry.mtime, entry.mtime))


def make_parents(name: str) -> None:
    """Make the directories above a file that are missing, as the container's root would."""
    parent = os.path.dirname(name)
    if parent and not os.path.isdir(parent):
        make_parents(parent)
        os.mkdir(parent, 0o755)
        if _users[0]:
            os.chown(parent, *_users[:1] * 2)


def make_folder(name: str) -> None:
    """Make a directory, or take the one that is there."""
    if os.path.lexists(name) and kind_of(name) != "directory":
        raise Refused("InvalidArgument", f"{shown(name)} is no directory in the container")
    if not os.path.isdir(name):
        os.mkdir(name, 0o755)


def write_file(tar: TarReader, entry: tarfile.TarInfo, name: str) -> None:
    """Write a regular file in place of one that is there."""
    remove_file(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600), "wb") as file:
        for offset, piece in tar.pieces(CHUNK_BYTES):
            file.seek(offset)
            file.write(piece)
        file.truncate(entry.size)


def remove_file(name: str) -> None:
    """Make room for a file; a directory is not removed for it."""
    try:
        os.unlink(name)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise Refused("InvalidArgument", f"{shown(name)} is a directory in the container") from None


def confine(root_fd: int) -> None:
    """See only the container from here on."""
    tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]  # its accounts are not ours
    import encodings.idna
    import encodings.iso8859_1  # noqa: F401

    sys.path.clear()
    sys.meta_path.clear()
    os.fchdir(root_fd)
    os.chroot(".")
    os.chdir("/")
    os.close(root_fd)


def restrict() -> None:
    """Die with the parent, and hold little memory: headers are the only thing that can grow."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two for each directory on the way down
    os.umask(0o022)


def carry_out(order: dict[str, Any]) -> None:
    """Do what is ordered."""
    _users[:] = order.get("users") or _users
    if order["verb"] in AS_IT_LIES:
        tell_changes(order)
    elif order["verb"] == "export":
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        archive = TreeArchive(sys.stdout.buffer, plain_entry)
        archive.tree(root, "")
        archive.close()
    elif order["verb"] == "kind":
        sys.stdout.buffer.write(kind_of("/" + order["path"]).encode())
    elif order["verb"] == "from":
        copy_from(order["path"], follow=order["follow"], sink=sys.stdout.buffer)
    else:
        copy_to("/" + order["path"].lstrip("/"), keep_owner=order["keep_owner"], source=sys.stdin.buffer)
    sys.stdout.buffer.flush()


# Orders about the layers of a container, which are not in it.
AS_IT_LIES = frozenset({"changes", "layer"})


def tell_changes(order: dict[str, Any]) -> None:
    """Write what the container changed: a line of JSON for each path, or the layer of an image."""
    if order["verb"] == "changes":
        for one in changes(order["upper_fd"], order["root_fd"], order["lowers"]):
            sys.stdout.buffer.write(json.dumps([one.kind.value, one.path]).encode() + b"\n")
        return
    archive = TreeArchive(sys.stdout.buffer, plain_entry)
    write_layer(order["upper_fd"], order["root_fd"], archive)
    archive.close()


def main() -> None:
    """Carry out the order in the last argument; the error, if any, is one line of JSON on stderr."""
    restrict()
    order = json.loads(sys.argv[-1])
    try:
        if order["verb"] not in AS_IT_LIES:
            confine(order["root_fd"])
        carry_out(order)
    except Refused as error:
        kind, reason = error.kind, str(error)
    except NoImage as error:
        kind, reason = "FailedPrecondition", str(error)
    except OSError as error:
        name = f": {shown(error.filename)}" if error.filename else ""
        kind, reason = "FailedPrecondition", f"{error.strerror or error}{name}"
    except RecursionError:
        kind, reason = "InvalidArgument", "directories nested too deeply"
    except (MemoryError, ValueError) as error:
        kind, reason = "InvalidArgument", f"it cannot be copied: {str(error) or 'it takes too much memory'}"
    else:
        return
    sys.stderr.write(json.dumps({"kind": kind, "reason": reason}))
    sys.stderr.flush()
    os._exit(1)
