"""Gives files of the node the SELinux label of a container, or of all containers. Blocks: one call of the
kernel for each file."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig
from swarm.runtime.oci.selinux import Labels

ATTRIBUTE = "security.selinux"
# The node itself, which would not start again with the labels of a container.
KEPT = frozenset(
    f"/{name}"
    for name in (
        *("", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "proc", "root", "run", "sbin"),
        *("srv", "sys", "tmp", "usr", "var"),
    )
)
# There the labels are those of the whole mount, or nobody's to change: the policy decides on what they are.
_NOT_TO_BE_CHANGED = frozenset({errno.ENOTSUP, errno.EROFS})

Read = Callable[[str], str]
Write = Callable[[str, str], None]


def relabel_mounts(config: ContainerConfig, labels: Labels) -> None:
    """Relabel what a container asks for; raises TaskRejected."""
    for one in config.mounts:
        if isinstance(one, BindMount) and one.relabel:
            relabel(Path(one.source), labels.mount if one.relabel == "Z" else labels.shared)


def relabel(root: Path, label: str) -> None:
    """Give a directory or file a label, with all that is in it; raises TaskRejected.

    The root is last: once it has the label, all has. Who has been cut off begins again.
    """
    real = os.path.realpath(root)
    if real in KEPT:
        raise TaskRejected(f"{root} is not relabelled for SELinux: it is the node's; mount a part of it")
    try:
        if read_label(real) != label:
            for path in _all(real):
                write_label(path, label)
    except OSError as error:
        if error.errno not in _NOT_TO_BE_CHANGED:
            raise TaskRejected(f"cannot relabel {root} for SELinux: {error.strerror}") from error


def _all(root: str) -> Iterator[str]:
    """Yield all paths below a root, deepest first, and then itself; no link is followed."""
    for folder, folders, files in os.walk(root, topdown=False):  # nothing, if it is a file
        yield from (f"{folder}/{name}" for name in (*files, *folders))
    yield root


def read_label(path: str) -> str:
    """Return the label of a file, not of what it links to; empty when it has none. Raises OSError."""
    try:
        return os.getxattr(path, ATTRIBUTE, follow_symlinks=False).rstrip(b"\0").decode("utf-8", "replace")
    except OSError as error:
        if error.errno == errno.ENODATA:
            return ""
        raise


def write_label(path: str, label: str) -> None:
    """Give a file a label; one that is gone by now needs none. Raises OSError."""
    try:
        os.setxattr(path, ATTRIBUTE, label.encode() + b"\0", follow_symlinks=False)
    except FileNotFoundError:
        return
