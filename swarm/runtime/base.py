"""The contract of a runtime driver: what the agent asks of whatever runs containers on this node.

Rules for every driver:
- keyed by our task id; every call may be repeated and then changes nothing more;
- a container outlives the agent: `adopt` finds it again, with its exit code if it ended meanwhile;
- no driver knows about networks, secrets or managers. It joins the network namespace it is given.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from swarm.runtime.abilities import Ability
from swarm.runtime.changes import Change
from swarm.runtime.places import Places


class ContainerState(Enum):
    """Where a container stands."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class BindMount:
    """A path of the node inside the container."""

    source: str
    target: str
    read_only: bool = False
    propagation: str = "rprivate"
    create_source: bool = False
    # A file that says how far an empty source was filled with what the image has there; empty: it is not.
    copy_up: str = ""
    subpath: str = ""  # what of the source is mounted; no link in it leads out of the source
    relabel: str = ""  # where the node has SELinux: z, all containers may use it; Z, only this one


@dataclass(frozen=True, slots=True)
class ImageMount:
    """The files of another image, read-only inside the container; the image stays while that does."""

    image_digest: str  # of the manifest in this node's image store, from `ImageStore.ensure`
    target: str
    subpath: str = ""


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """Memory as a file system inside the container."""

    target: str
    size_bytes: int = 0  # 0: half of the memory, the kernel's default
    mode: int = 0o1777
    read_only: bool = False


def is_partial(mount: BindMount | TmpfsMount | ImageMount) -> bool:
    """Whether a mount is an image, or a part of what it names."""
    return isinstance(mount, ImageMount) or (isinstance(mount, BindMount) and bool(mount.subpath))


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A device file of the node, or a directory of them, inside the container."""

    host_path: str
    container_path: str = ""  # empty: as on the host
    permissions: str = ""  # of r, w and m; empty: rwm


@dataclass(frozen=True, slots=True)
class BlockLimit:
    """How much of one disk may be used; 0: no limit."""

    device: str  # its path on the node
    weight: int = 0  # its share beside others: 10 to 1000
    read_bps: int = 0  # bytes of a second
    write_bps: int = 0
    read_iops: int = 0  # operations of a second
    write_iops: int = 0

    @property
    def is_bound(self) -> bool:
        """Whether more than a share is asked for."""
        return bool(self.read_bps or self.write_bps or self.read_iops or self.write_iops)


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds, 0 or nothing meaning none, and shares and reservations as hints for the kernel."""

    nano_cpus: int = 0
    memory_bytes: int = 0
    pids: int = 0
    memory_reservation_bytes: int = 0
    cpu_shares: int = 0  # relative to others, who have 1024
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpuset_cpus: str = ""  # e.g. 0-3,6
    cpuset_mems: str = ""
    memory_swap_bytes: int = 0  # memory and swap together; -1: any amount of swap
    memory_swappiness: int | None = None
    blkio_weight: int = 0  # 10 to 1000
    block: Sequence[BlockLimit] = ()


@dataclass(frozen=True, slots=True)
class SELinuxLabel:
    """What a container's label is to be, where the node has SELinux; what is empty is as for all."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""  # empty: categories of its own
    disabled: bool = False
    nested: bool = False  # it sees SELinux, and may change labels of its own


@dataclass(frozen=True, slots=True)
class Security:
    """What the processes may do beside, or instead of, what is usual."""

    privileged: bool = False
    no_new_privileges: bool | None = None  # None: yes, unless privileged
    capability_add: Sequence[str] = ()  # CAP_…, or ALL
    capability_drop: Sequence[str] = ()
    seccomp: str | None = None  # JSON as Docker has it; empty: none; None: our own, unless privileged
    apparmor: str = ""  # a loaded profile, or unconfined
    unmasked_paths: bool = False
    selinux: SELinuxLabel = SELinuxLabel()


@dataclass(frozen=True, slots=True)
class Shared:
    """Which namespaces of the node a container is in, instead of having its own."""

    ipc: bool = False
    pid: bool = False
    uts: bool = False
    cgroup: bool = False


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A limit of each process, by its name in Docker; -1: none."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Dns:
    """What /etc/resolv.conf says instead of what it would say; each part that is empty stays."""

    nameservers: Sequence[str] = ()
    search: Sequence[str] = ()  # a single dot: no domain
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """Everything a driver needs to create the container of one task."""

    id: str  # task id
    image: str  # reference as the user wrote it
    image_digest: str  # of the manifest in this node's image store, from `ImageStore.ensure`
    command: Sequence[str] = ()  # replaces the image's entrypoint
    args: Sequence[str] = ()  # replaces the image's command
    env: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    working_dir: str = ""
    user: str = ""
    groups: Sequence[str] = ()  # more of the process, by name or number
    mounts: Sequence[BindMount | TmpfsMount | ImageMount] = ()
    devices: Sequence[HostDevice] = ()
    cdi_devices: Sequence[str] = ()  # their full names, VENDOR/CLASS=NAME
    limits: Limits = Limits()
    security: Security = Security()
    shared: Shared = Shared()
    users: int = 0  # how many user and group ids of its own it has; 0: they are those of the node
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ulimits: Sequence[Ulimit] = ()
    hosts: Sequence[tuple[str, str]] = ()  # (name, address)
    dns: Dns = Dns()
    shm_size_bytes: int = 0  # 0: 64 MiB
    oom_score_adj: int | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)  # told to whatever runs it
    cgroup_parent: str = ""  # a cgroup that the node has; empty: the driver's own
    read_only: bool = False
    init: bool = False
    tty: bool = False
    stdin: bool = False  # its standard input can be written to (`attach`); else it reads nothing
    stdin_once: bool = False  # and ends with the first who wrote to it
    log_max_bytes: int = 0  # of one log file; 0: the node's default
    log_files: int = 0  # with the newest; 0: the node's default
    stop_signal: str = ""  # empty: the image's, else SIGTERM
    netns_path: str = ""  # empty: the host's network
    resolv_conf: str = ""  # path on the node, mounted at /etc/resolv.conf; empty: the node's own
    address: str = ""  # the task's address, for /etc/hosts and for drivers without namespaces


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """What is known of a container."""

    id: str
    state: ContainerState
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""  # e.g. "shim lost"
    started_at_ns: int = 0
    finished_at_ns: int = 0
    paused: bool = False  # it runs, and gets no time
    warnings: Sequence[str] = ()  # what was asked for and is less here, e.g. a limit that was clamped


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's output, without its end; `partial` when the line goes on."""

    timestamp_ns: int
    stream: str  # stdout or stderr
    data: bytes
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines to read."""

    follow: bool = False
    tail: int | None = None  # None: all
    since_ns: int = 0
    until_ns: int = 0  # 0: no end
    stdout: bool = True
    stderr: bool = True


@dataclass(frozen=True, slots=True)
class Transferred:
    """Bytes since a container started: received and sent, or read and written."""

    in_bytes: int
    out_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Resource use of one container at one moment."""

    cpu_usage_ns: int
    memory_bytes: int
    pids: int
    network: Transferred | None = None  # None: not known, or the node's own
    disks: Transferred | None = None  # None: not known


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """A command to run in a container beside its own; what is empty is as for the container's own."""

    command: Sequence[str]
    env: Sequence[str] = ()  # over the container's own
    working_dir: str = ""
    user: str = ""
    tty: bool = False
    stdin: bool = False
    privileged: bool = False
    rows: int = 0  # of the terminal at first; 0: the kernel's default
    columns: int = 0


class ExecProcess(Protocol):
    """A command that was started in a container. Whoever started it reads its output, and ends it.

    It ends with its container, and with this agent: the next one kills what its predecessor left behind.
    """

    def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield ("stdout" or "stderr", chunk) until both are closed; a terminal has only stdout.

        What keeps the command from starting is said on stderr. To be read by one reader, once.
        """

    async def refusal(self) -> str:
        """Return why the command did not start, empty once it did; while somebody reads its output."""

    async def write(self, data: bytes) -> None:
        """Write to its standard input; returns when there is room for more. Ignored once it has ended."""

    async def close_stdin(self) -> None:
        """Let it read the end of its input."""

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal; ignored without one."""

    async def signal(self, name: str) -> None:
        """Send a signal (`SIGINT`, `INT`, `2`) to the command; raises InvalidArgument for an unknown one."""

    async def wait(self) -> int:
        """Return its exit code once it has ended; 128 + number of the signal that killed it.

        127: there is no such program; 126: it cannot be run. Does not wait for who still holds its output.
        """

    async def kill(self) -> None:
        """Kill it and all that it started, also what outlived it; returns when nothing is left."""


class Attachment(Protocol):
    """Standard input and output of a container's own command, for one of those who look on."""

    def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield ("stdout" or "stderr", chunk) from now on until the container has ended; one reader."""

    async def write(self, data: bytes) -> None:
        """Write to its standard input; ignored where that is not open, or the container has ended."""

    async def close_stdin(self) -> None:
        """Let it read the end of its input, if it was made for one writer."""

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal; ignored without one."""

    async def close(self) -> None:
        """Look on no more; the container goes on."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this driver can do on this node, for `node inspect`."""

    driver: str  # oci, docker, process, fake
    isolated: bool  # real containers with namespaces of their own
    info: Mapping[str, str] = field(default_factory=dict)  # binary, version, cgroup version, why chosen
    abilities: frozenset[Ability] = frozenset(Ability)
    # What is taken and has no effect, because the program is the same without it. All else is refused.
    ignored: frozenset[Ability] = frozenset()

    @property
    def refused(self) -> frozenset[Ability]:
        """What `create`, or the call itself, refuses with the reason."""
        return frozenset(Ability) - self.abilities - self.ignored


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process of a container, as the node sees it."""

    pid: int
    parent_pid: int
    user: int
    cpu_ns: int
    started_at_ns: int
    memory_bytes: int
    command: str


class RuntimeDriver(Protocol):
    """Runs containers. Raises TaskRejected from `create` and TaskFailed from `start`."""

    async def probe(self) -> Capabilities:
        """Try the driver for real (a self-test container) and say what it can do."""

    async def adopt(self) -> Sequence[ContainerInfo]:
        """Find the containers of an earlier life of this agent; call once, before anything else."""

    async def foresee(self, config: ContainerConfig) -> Sequence[str]:
        """Return the warnings that a container would have, as far as they are known before it is made."""

    async def create(self, config: ContainerConfig) -> None:
        """Prepare file system, limits and process, without running the user's command."""

    async def start(self, container_id: str) -> ContainerInfo:
        """Run the user's command; returns once the process exists."""

    async def renew(self, config: ContainerConfig) -> None:
        """Make a container that has ended ready to start again; its files and its output stay.

        Raises NotFound, FailedPrecondition while it runs, TaskRejected; after that it is as it was: ended.
        """

    async def attach(self, container_id: str) -> Attachment:
        """Look on at a container that is created or runs; raises NotFound, FailedPrecondition."""

    async def wait(self, container_id: str) -> ContainerInfo:
        """Return when the container has ended."""

    async def stop(self, container_id: str, grace_s: float, signal_name: str = "") -> None:
        """Send the stop signal (or another, else InvalidArgument), kill after `grace_s`; return then."""

    async def kill(self, container_id: str, signal_name: str) -> None:
        """Send a signal to the container's first process."""

    async def remove(self, container_id: str) -> None:
        """Kill what still runs and leave nothing behind: process, mount, cgroup, file."""

    async def inspect(self, container_id: str) -> ContainerInfo | None:
        """Return what is known of a container, None when there is no such container."""

    async def places(self, container_id: str) -> Places:
        """Return where this node has what belongs to a container, as far as it is known now."""

    def logs(self, container_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """Yield the container's output, oldest line first."""

    async def exec(self, container_id: str, config: ExecConfig) -> ExecProcess:
        """Start a command in a running container; raises NotFound, FailedPrecondition, CannotRun."""

    async def sample(self, container_id: str) -> Sample | None:
        """Return the container's resource use, None when it does not run."""

    async def disk_bytes(self, container_id: str, *, output: bool = True) -> int:
        """Return what a container takes on the disk beside its image: what it wrote, and its `output`."""

    async def update(self, container_id: str, limits: Limits, before: Limits) -> None:
        """Give a running container other bounds and shares than `before`, at once.

        Raises FailedPrecondition when it does not run, TaskRejected for what cannot be: it is as it was.
        """

    async def pause(self, container_id: str) -> None:
        """Give a running container no more time; raises FailedPrecondition where that is impossible."""

    async def unpause(self, container_id: str) -> None:
        """Let a paused container go on."""

    async def processes(self, container_id: str) -> Sequence[ProcessInfo]:
        """Return what runs in a container; raises FailedPrecondition when it does not run."""

    async def path_kind(self, container_id: str, path: str) -> str:
        """Return what `path` inside a container leads to: `directory`, `file`, `other`, empty for nothing.

        Raises FailedPrecondition where containers have no files of their own, as `copy_from` and `copy_to`.
        """

    def copy_from(self, container_id: str, path: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield a tar archive of what is at `path`; no symbolic link leads out of the container.

        `follow`: if `path` itself is a link, of what it leads to. Raises NotFound.
        """

    async def copy_to(
        self, container_id: str, path: str, archive: AsyncIterator[bytes], *, keep_owner: bool = False
    ) -> None:
        """Unpack a tar archive into the directory `path`; nothing outside of the container is touched.

        Raises NotFound without that directory, InvalidArgument for what is no archive.
        """

    def changes(self, container_id: str) -> AsyncIterator[Change]:
        """Yield the paths that are not as in the image; raises FailedPrecondition as `path_kind`."""

    def export(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield a tar archive of all files, without what is mounted among them; raises so, too."""

    def layer(self, container_id: str) -> AsyncIterator[bytes]:
        """Yield what it changed as a layer of an image, uncompressed; raises so, too."""

    async def close(self) -> None:
        """Let go of the containers without touching them."""
