"""What a container changed of its image's files, read from the writable layer of its overlay.

Part of the copying process (`copier`). The writable layer says what there is to tell; what a file is now,
its content and owner, is read from the whole: the layer alone may have a part of it only. Descriptors and
names without a slash lead everywhere, never through a link: the container may change what is here meanwhile.
"""

# A container may have changed 100,000 files, and path objects would double the time.
# ruff: noqa: PTH208

import os
import stat
from collections.abc import Iterator, Sequence

from swarm.runtime.changes import Change, ChangeKind
from swarm.runtime.oci.tree_archive import TreeArchive, opened

_OPAQUE, _REDIRECT = "trusted.overlay.opaque", "trusted.overlay.redirect"
_MARK = ".wh."


class NoImage(Exception):
    """What is there cannot be a layer of an image; `str()` says why."""


def changes(upper: int, root: int, lowers: Sequence[str], folder: str = "") -> Iterator[Change]:
    """Yield what is not as in the image, by path; a directory in which anything changed has changed.

    `upper` and `root` are the same directory of the writable layer and of the whole, `lowers` those of the
    image's layers that show through, top layer first.
    """
    for name in sorted(os.listdir(upper)):
        path = f"{folder}/{name}"
        found = _stat(upper, name)
        if found is None:
            continue
        exists, below = _below(lowers, name)
        if _is_whiteout(found):
            if exists:
                yield Change(ChangeKind.DELETED, path)
            continue
        yield Change(ChangeKind.CHANGED if exists else ChangeKind.ADDED, path)
        if stat.S_ISDIR(found.st_mode):
            with opened(name, upper) as inside, opened(name, root) as whole:
                if inside >= 0 and whole >= 0:
                    yield from _in_directory(inside, whole, below, path)


def _in_directory(upper: int, root: int, lowers: Sequence[str], path: str) -> Iterator[Change]:
    if _has(upper, _REDIRECT):  # it was moved here as a whole: all that is in it is new at this place
        yield from _all(root, path)
        return
    if not _is_opaque(upper):
        yield from changes(upper, root, lowers, path)
        return
    there = set(os.listdir(upper))
    for name in sorted({name for one in lowers for name in os.listdir(one)} - there):
        if _below(lowers, name)[0]:
            yield Change(ChangeKind.DELETED, f"{path}/{name}")
    yield from changes(upper, root, lowers, path)


def _all(folder: int, path: str) -> Iterator[Change]:
    for name in sorted(os.listdir(folder)):
        yield Change(ChangeKind.ADDED, f"{path}/{name}")
        with opened(name, folder) as inside:
            if inside >= 0:
                yield from _all(inside, f"{path}/{name}")


def write_layer(upper: int, root: int, archive: TreeArchive, folder: str = "") -> None:
    """Write what a container changed as the layer of an image; raises NoImage.

    `folder` is what the archive calls the directory, with a slash behind it; empty for its top.
    """
    for name in sorted(os.listdir(upper)):
        found = _stat(upper, name)
        if found is None:
            continue
        path = f"{folder}{name}"
        if name.startswith(_MARK):
            raise NoImage(f"the container has a file /{path}: names in images cannot begin so")
        if _is_whiteout(found):
            archive.empty(f"{folder}{_MARK}{name}")
        elif not stat.S_ISDIR(found.st_mode):
            archive.file(root, name, path)
        else:
            with opened(name, upper) as inside, opened(name, root) as whole:
                if inside >= 0 and whole >= 0:
                    _write_directory(inside, whole, archive, path)


def _write_directory(upper: int, root: int, archive: TreeArchive, path: str) -> None:
    archive.directory(root, path)
    moved = _has(upper, _REDIRECT)
    if moved or _is_opaque(upper):
        archive.empty(f"{path}/{_MARK}{_MARK}.opq")
    if moved:
        archive.tree(root, path)
    else:
        write_layer(upper, root, archive, f"{path}/")


def _below(lowers: Sequence[str], name: str) -> tuple[bool, list[str]]:
    """Return whether the image has a name in a directory, and the directories that it stands for there."""
    folders: list[str] = []
    for one in lowers:
        path = f"{one}/{name}"
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if _is_whiteout(found):
            break
        if not stat.S_ISDIR(found.st_mode):
            return True, folders
        folders.append(path)
        if _is_opaque(path):
            break
    return bool(folders), folders


def _stat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:  # it went meanwhile
        return None


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(folder: int | str) -> bool:
    return _attribute(folder, _OPAQUE) == b"y"


def _has(folder: int | str, name: str) -> bool:
    return bool(_attribute(folder, name))


def _attribute(folder: int | str, name: str) -> bytes:
    try:
        return os.getxattr(folder, name)
    except OSError:
        return b""
