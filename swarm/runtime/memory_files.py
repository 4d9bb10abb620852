"""Files of tasks that must never be on a disk: in a file system in memory, one for each task. Blocks.

As root that is a tmpfs of the task's own, kept from the swap space where the kernel can do that. Without the
right to mount, it is a directory where a tmpfs is mounted anyway. Whatever goes is overwritten first.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import RLock

from swarm.errors import TaskRejected
from swarm.runtime.oci.overlay import mount, mounts_below, unescape, unmount
from swarm.runtime.state import remove_tree

FOLDER = "files"  # in the node's run directory
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of our own in it

_MS_NOSUID, _MS_NODEV = 2, 4
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_PAGE_BYTES = 4096
_COMPLETE = "complete"
_ROOT = "root"


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file as a container is to see it."""

    target: str  # absolute path
    data: bytes
    uid: int
    gid: int
    mode: int

    def __repr__(self) -> str:
        """Return it without the data, so that no traceback can show it."""
        return f"MemoryFile({self.target!r}, {len(self.data)} bytes)"


class MemoryFiles:
    """The files in memory of all tasks of a node."""

    def __init__(self, run_dir: Path, shared_memory: Path = SHARED_MEMORY) -> None:
        """Keep them in the node's `run_dir`; below `shared_memory` where that is on a disk."""
        self._directory = run_dir.absolute() / FOLDER
        name = sha256(os.fsencode(self._directory)).hexdigest()[:16]
        self._lock = RLock()  # a caller that gave up waiting may call again while its thread goes on
        self._fallback = shared_memory / f"swarm-{os.geteuid()}-{name}"

    def find(self, task_id: str) -> Path | None:
        """Return the directory that stands for `/` with the files of a task; None: not (all) made."""
        for place in self._places(task_id):
            if (place / _COMPLETE).exists():
                return place / _ROOT
        return None

    def make(self, task_id: str, files: Sequence[MemoryFile]) -> Path:
        """Make the files of a task and return where; raises TaskRejected where there is no memory for them.

        An attempt that a crash cut off is begun anew.
        """
        with self._lock:
            return self.find(task_id) or self._make(task_id, files)

    def _make(self, task_id: str, files: Sequence[MemoryFile]) -> Path:
        self.wipe(task_id)
        place = self._open_place(task_id, files)
        try:
            for file in files:
                _write(place / _ROOT, file)
            (place / _COMPLETE).touch()
        except TaskRejected:
            self.wipe(task_id)
            raise
        except OSError as error:
            self.wipe(task_id)
            raise TaskRejected(
                f"this node cannot keep the secrets and configs of the task in memory: {error.strerror}"
            ) from None
        return place / _ROOT

    def wipe(self, task_id: str) -> None:
        """Overwrite and remove the files of a task, if it has any; raises OSError when they would stay."""
        with self._lock:
            for place in self._places(task_id):
                _wipe(place)

    def task_ids(self) -> list[str]:
        """Return the tasks that have files here, also of an agent that was killed."""
        places = (*_entries(self._directory), *_entries(self._fallback))
        return sorted({place.name for place in places})

    def clear(self) -> None:
        """Wipe the files of all tasks, for a node whose daemon does not run."""
        with self._lock:
            for directory in (self._directory, self._fallback):
                for place in _entries(directory):
                    _wipe(place)
                if directory.is_dir():
                    directory.rmdir()

    def _places(self, task_id: str) -> tuple[Path, ...]:
        if not task_id or Path(task_id).name != task_id or task_id.startswith("."):
            raise TaskRejected(f"{task_id!r} cannot be the id of a task")
        return self._directory / task_id, self._fallback / task_id

    def _open_place(self, task_id: str, files: Sequence[MemoryFile]) -> Path:
        place, fallback = self._places(task_id)
        if os.geteuid() == 0:
            _make_folder(place)
            if _mount_memory(place, files):
                return place
            place.rmdir()
        for wanted in (place, fallback):
            if _file_system(wanted.parent.parent) in _IN_MEMORY:
                _make_folder(wanted)
                return wanted
        raise TaskRejected(
            "secrets and configs need a file system in memory: this node may not mount one, and neither "
            f"{place.parent.parent} nor {fallback.parent.parent} is one"
        )


def _make_folder(place: Path) -> None:
    """Make a folder for a task in one that is ours alone: others can write to /dev/shm as well."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = place.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise TaskRejected(f"{place.parent} on this node is not a folder of swarmd's own: remove it")
    place.mkdir(mode=0o700)


def _mount_memory(place: Path, files: Sequence[MemoryFile]) -> bool:
    """Mount a tmpfs that the files just fit into; False when this node may not."""
    pages = sum(len(file.data) // _PAGE_BYTES + 8 for file in files) + 16
    options = f"mode=0700,size={pages * _PAGE_BYTES},nr_inodes={pages + 64 * len(files)}"
    for more in (",noswap", ""):  # the kernel knows noswap from 6.4 on
        try:
            mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV, options + more)
        except OSError:
            continue
        return True
    return False


def _write(root: Path, file: MemoryFile) -> None:
    path = root / file.target.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as opened:
        opened.write(file.data)
        opened.flush()
        _own(fd, file)
        os.fchmod(fd, file.mode)


def _own(fd: int, file: MemoryFile) -> None:
    """Give a file its owner; a node that is not root's has only its own, which stands for 0 as well."""
    if os.geteuid() == 0:
        os.fchown(fd, file.uid, file.gid)
        return
    if file.uid not in (0, os.geteuid()) or file.gid not in (0, os.getegid()):
        raise TaskRejected(
            f"{file.target} cannot belong to {file.uid}:{file.gid}: swarmd does not run as root on this node"
        )


def _wipe(place: Path) -> None:
    for path in _files(place / _ROOT):
        _overwrite(path)
        path.unlink(missing_ok=True)
    (place / _COMPLETE).unlink(missing_ok=True)
    for point in mounts_below(place):  # not without a look: who may not mount may not even try to unmount
        unmount(point)
    if mounts_below(place):  # never remove through a mount that stayed
        raise OSError(errno.EBUSY, "still mounted", str(place))
    if place.is_dir():
        remove_tree(place)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def _overwrite(path: Path) -> None:
    """Write zeros where the data was. A link that a process put there is not followed."""
    try:
        if os.geteuid() != 0 and not path.is_symlink():
            path.chmod(0o600)
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone, a link, or no file
        return
    with os.fdopen(fd, "wb") as opened:
        opened.write(bytes(os.fstat(fd).st_size))


def _entries(directory: Path) -> Iterable[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return ()


def _file_system(path: Path) -> str:
    """Return the type of the file system that a path is, or would be, on."""
    resolved = os.path.realpath(path)
    best, kind = "", ""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    for line in mounts.splitlines():
        point = unescape(line.split(" ")[4])
        if (resolved + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, line.partition(" - ")[2].split(" ")[0]
    return kind
