"""Where are a container's cgroups, what do they count, how are they emptied? Versions 1, 2 and both at once.

Pure path logic over `CgroupLayout`, and small reads and writes of files that block for microseconds.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.base import BlockLimit, Sample, Transferred
from swarm.runtime.oci.block_limits import device_number, weight_on_v2, writes
from swarm.runtime.oci.overlay import unescape
from swarm.runtime.processes import Process
from swarm.runtime.traffic import read_io

# What each disk was asked for, with the cgroups below; without them where the kernel is older.
_BLKIO_FILES = ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")
_V2_CONTROLLERS = ("cpu", "memory", "pids", "io", "cpuset")


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """How this machine mounts its cgroups."""

    version: int  # of the hierarchy that has the controllers
    mounts: Mapping[str, Path] = field(default_factory=dict)  # v1 controller or name=x → mount point
    unified: Path | None = (
        None  # where version 2 is mounted; beside version 1 it has no controllers to speak of
    )

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every hierarchy's mount point, once."""
        unified = (self.unified,) if self.unified else ()
        return tuple(dict.fromkeys((*self.mounts.values(), *unified)))


def parse_layout(mountinfo: str) -> CgroupLayout:
    """Return the layout that a /proc/self/mountinfo describes; raises InvalidArgument without any cgroup
    mount."""
    controllers: dict[str, Path] = {}
    unified: Path | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options, *_) = before.split(" "), (*after.split(" "), "", "", "")
        point = Path(unescape(fields[4]))
        if kind == "cgroup2" and unified is None:
            unified = point
        elif kind == "cgroup":
            for option in options.split(","):
                if option not in {"rw", "ro", "xattr", "clone_children", "noprefix"}:
                    controllers.setdefault(option, point)
    if not controllers and unified is None:
        raise InvalidArgument(
            "no cgroups are mounted here (in a network namespace use nsenter: `ip netns exec` hides them)"
        )
    return CgroupLayout(1 if controllers else 2, controllers, unified)


def read_layout() -> CgroupLayout:
    """Return this machine's layout."""
    return parse_layout(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))


def shim_procs_files(layout: CgroupLayout, own_cgroups: str, shims: str) -> list[Path]:
    """Return the cgroup.procs files that a shim must join so that nothing kills it along with the agent.

    `own_cgroups` is the agent's /proc/self/cgroup. A service manager kills what is in its service's cgroup;
    where the agent is in the root there is no such cgroup, and moving would only cost time.
    """
    files = []
    for line in own_cgroups.splitlines():
        _, names, path = line.split(":", 2)
        root = layout.mounts.get(names.split(",")[0]) if names else layout.unified
        if root is not None and path not in {"/", ""}:
            files.append(root / shims.lstrip("/") / "cgroup.procs")
    return files


def hasten_moves(layout: CgroupLayout, own_cgroups: str = "") -> None:
    """Let the kernel begin now what the next move of a process to a cgroup would wait for; blocks for it.

    Forks do not look out for moves until somebody asked for one; the first waits some 10 ms until all
    processors know, those shortly after it do not. Moving ourselves to where we are changes nothing else.
    `own_cgroups` is our /proc/self/cgroup, which is read if it is not given.
    """
    own_cgroups = own_cgroups or Path("/proc/self/cgroup").read_text(encoding="utf-8")
    for line in own_cgroups.splitlines():
        _, names, path = line.split(":", 2)
        root = layout.mounts.get(names.split(",")[0]) if names else layout.unified
        if root is not None:
            with suppress(OSError):  # then that process waits
                (root / path.lstrip("/") / "cgroup.procs").write_text("0", "ascii")
            return


class Cgroup:
    """One cgroup of ours, in every hierarchy that has it."""

    def __init__(self, layout: CgroupLayout, path: str) -> None:
        parts = PurePosixPath(path).parts
        if len(parts) < 3 or parts[0] != "/" or ".." in parts:
            # A cgroup at the top may hold the whole machine; everything in ours may be killed.
            raise InvalidArgument(f"{path} cannot be a container's cgroup")
        self._layout = layout
        self.path = path

    def directories(self) -> list[Path]:
        """Return the cgroup's directory in each hierarchy, existing or not."""
        return [root / self.path.lstrip("/") for root in self._layout.roots]

    def create(self, *, for_processes: bool = False) -> None:
        """Make the cgroup for others below it, with controllers where version 2 wants them handed down.

        `for_processes`: for processes of its own instead. Version 2 lets nothing but cgroups into one that
        hands controllers down.
        """
        for root in self._layout.roots:
            directory = root
            for part in PurePosixPath(self.path).parts[1:]:
                if self._layout.version == 2:
                    _hand_down_controllers(directory)
                directory = directory / part
                with suppress(FileExistsError):
                    directory.mkdir(mode=0o755)
                if root == self._layout.mounts.get("cpuset"):
                    _inherit_cpuset(directory)
            if self._layout.version == 2 and not for_processes:
                _hand_down_controllers(directory)

    def processes(self) -> list[int]:
        """Return the ids of all processes in the cgroup and below it."""
        found: set[int] = set()
        for directory in self.directories():
            for below in _tree(directory):
                with suppress(OSError):
                    found.update(map(int, (below / "cgroup.procs").read_text("ascii").split()))
        return sorted(found)

    def kill(self) -> None:
        """Kill everything in the cgroup and below; does not wait for it to end."""
        unified = self._layout.unified
        if self._layout.version == 2 and unified is not None:
            with suppress(OSError):
                (unified / self.path.lstrip("/") / "cgroup.kill").write_text("1", "ascii")
                return
        for pid in self.processes():
            process = Process.open(pid)
            if process is None:
                continue
            if self._holds(pid):  # asked after the pidfd is open: the id may have changed hands before
                process.send(signal.SIGKILL)
            process.close()

    def _holds(self, pid: int) -> bool:
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return any(f"{line.split(':', 2)[2]}/".startswith(f"{self.path}/") for line in lines)

    def remove(self, timeout_s: float = 5.0) -> bool:
        """Kill what is left and remove the cgroup everywhere; blocks. False when something would not go in
        time."""
        deadline = time.monotonic() + timeout_s
        delay_s = 0.001
        while True:
            left = [directory for directory in self.directories() if not _remove_tree(directory)]
            if not left or time.monotonic() > deadline:
                return not left
            self.kill()
            time.sleep(delay_s)
            delay_s = min(delay_s * 2, 0.1)

    def set_block_weight(self, weight: int) -> None:
        """Write the share of disks, 10 to 1000, into the first file for it that the kernel has, if any.

        `io.weight` of version 2 is for any scheduler and reaches from 1 to 10000; the others are BFQ's.
        """
        for controller, file, value in (
            ("blkio", "blkio.weight", weight),
            ("blkio", "blkio.bfq.weight", weight),
            ("io", "io.bfq.weight", weight),
            ("io", "io.weight", weight_on_v2(weight)),
        ):
            directory = self._directory(controller)
            if directory is not None and (directory / file).exists():
                (directory / file).write_text(str(value), "ascii")
                return

    def set_block_limits(self, limits: Sequence[BlockLimit]) -> None:
        """Write shares and bounds of single disks; raises TaskRejected for a bound that cannot be kept."""
        directory = self._directory("blkio" if self._layout.version == 1 else "io")
        if directory is None:
            return
        for limit in limits:
            for names, text in writes(limit, device_number(limit.device), self._layout.version):
                file = next((directory / name for name in names if (directory / name).exists()), None)
                if file is None:
                    continue  # a share that the kernel does not know: there is a warning
                try:
                    file.write_text(text, "ascii")
                except OSError as error:
                    raise TaskRejected(
                        f"the kernel does not limit {limit.device} ({file.name}: {error.strerror}): "
                        "name the whole disk, not a partition of it"
                    ) from None

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed here for want of memory."""
        file, name = ("memory.events", "oom_kill")
        directory = self._directory("memory")
        if self._layout.version == 1:
            file = "memory.oom_control"
        return _keyed(directory / file, name) if directory else 0

    def sample(self) -> Sample | None:
        """Return the resource use, None when the cgroup is gone."""
        return self._sample_v2() if self._layout.version == 2 else self._sample_v1()

    def _sample_v2(self) -> Sample | None:
        directory = self._directory("")
        if directory is None or not directory.is_dir():
            return None
        cache = _keyed(directory / "memory.stat", "inactive_file")
        return Sample(
            cpu_usage_ns=_keyed(directory / "cpu.stat", "usage_usec") * 1000,
            memory_bytes=max(0, _number(directory / "memory.current") - cache),
            pids=_number(directory / "pids.current"),
            disks=read_io(_text(directory / "io.stat")),
        )

    def _sample_v1(self) -> Sample | None:
        cpu, memory, pids = (self._directory(name) for name in ("cpuacct", "memory", "pids"))
        if not any(directory and directory.is_dir() for directory in (cpu, memory, pids)):
            return None
        # Pages of files that the kernel drops when asked are not what the container needs.
        cache = _keyed(memory / "memory.stat", "total_inactive_file") if memory else 0
        return Sample(
            cpu_usage_ns=_number(cpu / "cpuacct.usage") if cpu else 0,
            memory_bytes=max(0, _number(memory / "memory.usage_in_bytes") - cache) if memory else 0,
            pids=_number(pids / "pids.current") if pids else 0,
            disks=self._disks_v1(),
        )

    def _disks_v1(self) -> Transferred | None:
        directory = self._directory("blkio")
        texts = (_text(directory / file) for file in _BLKIO_FILES) if directory else ()
        return next((found for text in texts if (found := read_io(text)) is not None), None)

    def _directory(self, controller: str) -> Path | None:
        root = self._layout.unified if self._layout.version == 2 else self._layout.mounts.get(controller)
        return root / self.path.lstrip("/") if root else None


def open_to_containers(layout: CgroupLayout, path: str) -> None:
    """Let containers have cgroups below one that somebody else made; raises TaskRejected without it."""
    directories = [root / path.lstrip("/") for root in layout.roots]
    if not any(directory.is_dir() for directory in directories):
        raise TaskRejected(f"no cgroup {path} on this node: whoever limits it has to make it first")
    if layout.version == 2 and layout.unified is not None:
        for part in reversed([PurePosixPath(path), *PurePosixPath(path).parents]):
            _hand_down_controllers(layout.unified / str(part).lstrip("/"))


def _hand_down_controllers(directory: Path) -> None:
    """Let the children of a version 2 cgroup have limits; one by one, for a single absent one would fail
    them all."""
    for controller in _V2_CONTROLLERS:
        with suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(f"+{controller}", "ascii")


def _tree(directory: Path) -> Iterator[Path]:
    yield directory
    for child in _children(directory):
        yield from _tree(child)


def _remove_tree(directory: Path) -> bool:
    """Remove a cgroup directory and those below it; False when one is still in use."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        below = _children(directory)
        # Not `all`: each child that can go should go, also beside one that cannot.
        if not below or not min(_remove_tree(child) for child in below):
            return False
        with suppress(OSError):
            directory.rmdir()
    return not directory.exists()


def _children(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _inherit_cpuset(directory: Path) -> None:
    """Give a version 1 cpuset its parent's processors and memory nodes: born empty, nothing could join
    it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        with suppress(OSError):
            if not (directory / name).read_text("ascii").strip():
                (directory / name).write_text((directory.parent / name).read_text("ascii"), "ascii")


def _number(file: Path) -> int:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _text(file: Path) -> str | None:
    try:
        return file.read_text("ascii")
    except (OSError, ValueError):
        return None


def _keyed(file: Path, key: str) -> int:
    try:
        for line in file.read_text("ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0
