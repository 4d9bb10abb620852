"""The volumes of a node: their folders, who uses them, and what is mounted for them. Blocks.

    NAME/volume.json   how it was made; what has none was never finished
    NAME/_data         what containers see
    NAME/users/ID      a task that has it
    NAME/copy-up       how far it was filled (copy_up.py)

What is on the disk is all there is: whoever was killed in between left something that the next call puts
right, or `keep_only`.
"""

import errno
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from swarm.clock import Clock, SystemClock
from swarm.errors import FailedPrecondition, NameConflict, NotFound, SwarmError, TaskRejected
from swarm.model.volumes import LOCAL, name_problems
from swarm.runtime.oci.overlay import mounts_below
from swarm.runtime.shim_driver import is_container_id
from swarm.runtime.state import remove_tree
from swarm.runtime.volumes.drivers import driver_of
from swarm.runtime.volumes.mounting import unmount_volume
from swarm.runtime.volumes.plugins import Plugins
from swarm.runtime.volumes.record import VolumeRecord, read_volume, write_volume

log = structlog.get_logger(__name__)

RECORD, DATA, USERS, FILLING = "volume.json", "_data", "users", "copy-up"
_GONE = ".gone-"  # on its way out


@dataclass(frozen=True, slots=True)
class Place:
    """Where a volume is that a task has."""

    data: Path
    filling: Path  # how far it was filled


@dataclass(frozen=True, slots=True)
class VolumeState:
    """A volume and who has it."""

    record: VolumeRecord
    data: Path
    users: tuple[str, ...]  # ids of tasks


class VolumeStore:
    """All volumes of a node. Calls may come from several threads."""

    def __init__(self, directory: Path, clock: Clock | None = None, plugins: Plugins | None = None) -> None:
        """Keep them in `directory`; `plugins` are the usual ones of a node unless said."""
        self._plugins = plugins or Plugins()
        self._directory = directory.absolute()
        self._clock = clock or SystemClock()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def create(self, wanted: VolumeRecord) -> VolumeState:
        """Make a volume, unless there is one like it; raises NameConflict for one that is different."""
        with self._turn(wanted.name):
            self._ensure(wanted)
            return self._state(wanted.name)

    def acquire(self, wanted: VolumeRecord, task_id: str) -> Place:
        """Give a task a volume, made and mounted where it has to be; may be repeated.

        Raises TaskRejected when it cannot be mounted, or is there and was made in another way.
        """
        if not is_container_id(task_id):
            raise TaskRejected(f"{task_id!r} cannot be the id of a task")
        with self._turn(wanted.name):
            folder = self._directory / wanted.name
            user = folder / USERS / task_id
            try:
                begun = user.exists()
                self._make_folders(folder)
                user.touch()  # before a plugin is asked: who is released meanwhile waits for the answer
                try:
                    record = self._ensure(wanted)
                except BaseException:
                    if not begun:
                        user.unlink()
                    raise
                driver = driver_of(record, self._plugins)
                if record.driver == LOCAL or not (known := user.read_text("utf-8")):
                    if begun:  # an agent was killed over it: nobody knows what came of it
                        driver.unmount(record, task_id)
                    known = str(driver.mount(record, folder / DATA, task_id))
                    user.write_text(known, "utf-8")  # a plugin counts: it is asked once, and told once
            except (NameConflict, OSError) as error:
                raise TaskRejected(f"cannot use the volume {wanted.name}: {error}") from error
            return Place(Path(known), folder / FILLING)

    def release(self, task_id: str) -> None:
        """Take from a task its volumes; what nobody has any more is unmounted. May be repeated."""
        for name in self._names():
            user = self._directory / name / USERS / task_id
            if user.exists():
                with self._turn(name):
                    record = read_volume(self._directory / name / RECORD)
                    if record is not None:  # also where it was asked, and nobody noted the answer
                        driver_of(record, self._plugins).unmount(record, task_id)
                    user.unlink(missing_ok=True)
                    self._tidy(name)

    def users(self) -> frozenset[str]:
        """Return the ids of all tasks that have volumes, also of an agent that was killed."""
        return frozenset(task for name in self._names() for task in self._users(name))

    def tidy(self) -> None:
        """Unmount and remove what nobody has: of an agent that was killed."""
        for path in self._directory.glob(f"{_GONE}*"):
            remove_tree(path)
        for name in self._names():
            with self._turn(name):
                self._tidy(name)

    def all(self) -> list[VolumeState]:
        """Return all volumes, by name."""
        states = []
        for name in self._names():
            try:
                states.append(self._state(name))
            except NotFound:
                continue  # it went meanwhile
        return states

    def get(self, name: str) -> VolumeState:
        """Return a volume; raises NotFound."""
        return self._state(name)

    def remove(self, name: str) -> None:
        """Remove a volume with its data; raises NotFound, FailedPrecondition while it is used.

        Also OSError, and what its driver raises.
        """
        with self._turn(name):
            state = self._state(name)
            if state.users:
                raise FailedPrecondition(f"volume {name} is in use by {_tasks(state.users)}")
            self._remove(name)

    def unmount_all(self) -> None:
        """Unmount everything, for a node whose daemon does not run."""
        unmount_volume(self._directory)

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._directory.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        for problem in name_problems(name):
            raise NotFound(problem)
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            yield

    def _users(self, name: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(path.name for path in (self._directory / name / USERS).iterdir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def _state(self, name: str) -> VolumeState:
        folder = self._directory / name
        record = None if any(name_problems(name)) else read_volume(folder / RECORD)
        if record is None:
            raise NotFound(f"there is no volume {name}")
        return VolumeState(record, folder / DATA, self._users(name))

    def _make_folders(self, folder: Path) -> None:
        for path in (self._directory, folder, folder / USERS):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _ensure(self, wanted: VolumeRecord) -> VolumeRecord:
        folder = self._directory / wanted.name
        found = read_volume(folder / RECORD)
        if found is not None:
            _check_same(found, wanted)
            return found
        self._make_folders(folder)
        data = folder / DATA
        data.mkdir(exist_ok=True)
        data.chmod(0o755)  # whatever our umask is: users of containers have to get in
        record = VolumeRecord(
            wanted.name,
            wanted.driver or LOCAL,
            dict(wanted.options),
            dict(wanted.labels),
            self._clock.now_ns(),
            wanted.anonymous,
        )
        driver_of(record, self._plugins).create(record)
        write_volume(folder / RECORD, record)  # last: without it there is no volume
        log.info("volumes.created", volume=wanted.name)
        return record

    def _tidy(self, name: str) -> None:
        """Put a volume right that nobody has any more."""
        folder = self._directory / name
        if self._users(name):
            return
        record = read_volume(folder / RECORD)
        if record is None or record.anonymous:  # half made, or its task is gone
            try:
                self._remove(name)
            except (SwarmError, OSError) as error:  # the next start tries again
                log.warning("volumes.not_removed", volume=name, reason=str(error))
        else:
            driver_of(record, self._plugins).rest(record, folder / DATA)

    def _remove(self, name: str) -> None:
        """Remove a folder, first under its name: half a volume must never be taken for a new one."""
        folder, gone = self._directory / name, self._directory / f"{_GONE}{name}"
        record = read_volume(folder / RECORD)
        if record is not None:
            driver_of(record, self._plugins).remove(record)
        unmount_volume(folder)
        if mounts_below(folder):  # never remove through a mount that stayed
            raise OSError(errno.EBUSY, "still mounted", str(folder))
        remove_tree(gone)
        folder.rename(gone)
        remove_tree(gone)
        log.info("volumes.removed", volume=name)


def _check_same(found: VolumeRecord, wanted: VolumeRecord) -> None:
    """Refuse to take one volume for another; who asks for nothing special takes what is there."""
    if wanted.driver and wanted.driver != found.driver:
        raise NameConflict(f"there is a volume {found.name} of the driver {found.driver}")
    if wanted.options and dict(wanted.options) != dict(found.options):
        raise NameConflict(
            f"there is a volume {found.name} that was made with other options"
            f" ({_options(found.options)}); remove it, or choose another name"
        )


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(options.items())) or "none"


def _tasks(ids: Collection[str]) -> str:
    shown = sorted(ids)[:3]
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"{'task' if len(ids) == 1 else 'tasks'} {', '.join(shown)}{more}"
