"""mount(2) and umount2(2), and an overlay of an image's layers. Everything here blocks for less than a
millisecond."""

import ctypes
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

_MNT_DETACH = 2
_MS_RDONLY = 1
_MS_BIND = 4096
_MAX_OPTIONS = 4000  # the kernel takes one page of options; leave room for its own ends
_UNSAFE = frozenset(",:\\")

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, file_system: str, flags: int = 0, options: str = "") -> None:
    """Mount; raises OSError."""
    result = _libc.mount(
        source.encode(), bytes(target), file_system.encode(), ctypes.c_ulong(flags), options.encode()
    )
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot mount {file_system}: {os.strerror(error)}", str(target))


def unmount(target: Path) -> bool:
    """Detach what is mounted at a directory; returns False when nothing is; raises OSError for other
    reasons.

    It disappears at once; the kernel frees it when the last process in it has ended.
    """
    if _libc.umount2(bytes(target), _MNT_DETACH) == 0:
        return True
    error = ctypes.get_errno()
    missing = {2, 22}  # ENOENT: no directory, EINVAL: not a mount point
    if error in missing:
        return False
    raise OSError(error, f"cannot unmount: {os.strerror(error)}", str(target))


def mount_overlay(layers: Sequence[Path], upper: Path, work: Path, target: Path, label: str = "") -> None:
    """Mount an overlay of read-only `layers` (top layer first) and a writable `upper`; raises OSError.

    `label` is the SELinux label of all files in it, where the node has SELinux.
    """
    with ExitStack() as stack:
        options = overlay_options(list(map(str, layers)), str(upper), str(work))
        if options is None:
            # Too many layers, or names that overlayfs would split: descriptors are short and have neither
            # comma nor colon. (The usual way, relative names, would move the whole process to another
            # directory.)
            names = [_descriptor(stack, path) for path in (*layers, upper, work)]
            options = overlay_options(names[:-2], names[-2], names[-1])
        if options is None:
            raise OSError(
                7, f"an image of {len(layers)} layers is more than the kernel can mount", str(target)
            )
        mount("overlay", target, "overlay", options=labelled(options, label))


def mount_layers(layers: Sequence[Path], target: Path, label: str = "") -> None:
    """Mount two or more `layers` (top layer first) read-only, one over the other; raises OSError.

    `label` is the SELinux label of all files in it.
    """
    with ExitStack() as stack:
        names = [str(path) for path in layers]
        if any(_UNSAFE & set(name) for name in names) or len(":".join(names)) > _MAX_OPTIONS:
            names = [_descriptor(stack, path) for path in layers]
        options = labelled(f"lowerdir={':'.join(names)}", label)
        mount("overlay", target, "overlay", _MS_RDONLY, options)


def labelled(options: str, label: str) -> str:
    """Return mount options with the SELinux label that all files of the mount have; empty: their own."""
    if not label:
        return options
    return ",".join(filter(None, (options, f'context="{label}"')))  # in quotes: levels have commas


def bind(source: str, target: Path) -> None:
    """Show a directory or file at another place too; raises OSError."""
    mount(source, target, "", _MS_BIND)


def overlay_options(layers: Sequence[str], upper: str, work: str) -> str | None:
    """Return the mount options of an overlay, None when they cannot be written down with these names."""
    if any(_UNSAFE & set(name) for name in (*layers, upper, work)):
        return None
    options = f"lowerdir={':'.join(layers)},upperdir={upper},workdir={work}"
    return options if len(options.encode()) <= _MAX_OPTIONS else None


def _descriptor(stack: ExitStack, path: Path) -> str:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return f"/proc/self/fd/{fd}"


def mounts_below(directory: Path) -> list[Path]:
    """Return what is mounted at or below a directory, deepest first."""
    prefix = os.path.realpath(directory)
    found = []
    for line in (
        Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    ):
        point = unescape(line.split(" ")[4])
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def unescape(name: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        name = name.replace(code, character)
    return name
