"""What a container is, in the words of Docker's API. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from swarm.runtime.base import BindMount, BlockLimit, ContainerConfig, Limits, SELinuxLabel, TmpfsMount
from swarm.runtime.cdi.spec import Edits
from swarm.runtime.command import DEFAULT_PATH, command_line, environment, stop_signal
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.logs import KEPT_FILES, MAX_FILE_BYTES
from swarm.runtime.oci.privileges import no_new_privileges
from swarm.runtime.ulimits import clamped

TASK_LABEL = "swarm.runtime.task"
INSTANCE_LABEL = "swarm.runtime.instance"
DOOR_LABEL = "swarm.runtime.door"
NETNS_LABEL = "swarm.runtime.network"
HOSTNAME_LABEL = "swarm.runtime.hostname"
HOST = "host"
_OF_THE_NODE = ("/etc/", "/run/systemd/")  # such a resolv.conf has the label that the node needs
LOG_DRIVER = "local"  # json-file replaces bytes that are not UTF-8


@dataclass(frozen=True, slots=True)
class Around:
    """What the node adds to a container."""

    instance: str  # of the driver
    image: str  # as the engine knows it
    network: str  # the mode, in the engine's words
    hostname: str
    hostname_is_given: bool  # by the network that the container joins
    files: Mapping[str, str]  # of the node, by path in the container
    hard_limits: Mapping[str, int]
    edits: Edits
    selinux: bool = False  # the engine labels containers


def create_request(config: ContainerConfig, image: ImageConfig, around: Around) -> dict[str, Any]:
    """Return the body of `containers/create`; raises TaskRejected for what makes no sense."""
    return {
        "Image": around.image,
        "Entrypoint": command_line(config, image),
        "Cmd": [],
        "Env": _environment(config, image, around),
        "User": config.user,
        "WorkingDir": config.working_dir,
        "Labels": {
            **config.labels,
            TASK_LABEL: config.id,
            INSTANCE_LABEL: around.instance,
            NETNS_LABEL: config.netns_path,
            HOSTNAME_LABEL: around.hostname,
        },
        "Tty": config.tty,
        # With a terminal always: else a shell that nobody has attached to would end at once.
        "OpenStdin": config.tty or config.stdin,
        "StdinOnce": config.stdin and config.stdin_once,
        "StopSignal": str(stop_signal(config, image)),
        "Healthcheck": {"Test": ["NONE"]},  # the agent asks for itself
        **({} if around.hostname_is_given or config.shared.uts else {"Hostname": around.hostname}),
        "HostConfig": _host_config(config, around),
    }


def _environment(config: ContainerConfig, image: ImageConfig, around: Around) -> list[str]:
    defaults = {"PATH": DEFAULT_PATH, "HOSTNAME": around.hostname} | (
        {"TERM": "xterm"} if config.tty else {}
    )
    variables = environment(defaults, image.env, config.env, around.edits.env)
    names = [entry.partition("=")[0] for entry in (*image.env, *defaults)]
    gone = [name for name in dict.fromkeys(names) if name not in variables]
    return [*(f"{key}={value}" for key, value in variables.items()), *gone]


def _host_config(config: ContainerConfig, around: Around) -> dict[str, Any]:
    shared = config.shared
    binds = _binds(config, around)
    relabelled = [one for one in binds if around.selinux and _can_relabel(one)]
    host: dict[str, Any] = {
        "NetworkMode": around.network,
        "IpcMode": HOST if shared.ipc else "private",
        "PidMode": HOST if shared.pid else "",
        "UTSMode": HOST if shared.uts else "",
        "CgroupnsMode": HOST if shared.cgroup else "private",
        "Mounts": [_mount(one) for one in binds if one not in relabelled],
        "Binds": [_relabelling(one) for one in relabelled],
        "Tmpfs": {one.target: _tmpfs(one) for one in config.mounts if isinstance(one, TmpfsMount)},
        "Devices": list(_devices(config, around.edits)),
        "GroupAdd": [*config.groups, *map(str, around.edits.additional_gids)],
        "ReadonlyRootfs": config.read_only,
        "Ulimits": [
            {"Name": one.name, "Soft": one.soft, "Hard": one.hard}
            for one in (clamped(limit, around.hard_limits) for limit in config.ulimits)
        ],
        "Sysctls": _sysctls(config),
        "LogConfig": _logs(config),
        "OomScoreAdj": config.oom_score_adj or 0,
        **_limits(config.limits),
        **_security(config),
    }
    host |= {"Init": True} if config.init else {}
    host |= {"Annotations": dict(config.annotations)} if config.annotations else {}
    host |= {"ShmSize": config.shm_size_bytes} if config.shm_size_bytes else {}
    return host | ({"CgroupParent": config.cgroup_parent} if config.cgroup_parent else {})


def _binds(config: ContainerConfig, around: Around) -> list[BindMount]:
    binds = [one for one in config.mounts if isinstance(one, BindMount)]
    targets = {str(PurePosixPath(one.target)) for one in config.mounts}
    for target, source in around.files.items():
        if target not in targets:
            kept = source.startswith(_OF_THE_NODE)
            binds.append(BindMount(source, target, relabel="" if kept else "z"))
    for mount in around.edits.mounts:
        read_only = not mount.options or "ro" in mount.options
        binds.append(BindMount(mount.host_path, mount.container_path, read_only))
    return binds


def _mount(one: BindMount) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": one.source,
        "Target": one.target,
        "ReadOnly": one.read_only,
        "BindOptions": {"Propagation": one.propagation},
    }


def _can_relabel(one: BindMount) -> bool:
    """Tell whether a bind can be said in the older form, the only one that relabels."""
    return bool(one.relabel) and ":" not in one.source + one.target


def _relabelling(one: BindMount) -> str:
    access = "ro" if one.read_only else "rw"
    return f"{one.source}:{one.target}:{access},{one.propagation},{one.relabel}"


def _tmpfs(mount: TmpfsMount) -> str:
    size = [f"size={mount.size_bytes}"] if mount.size_bytes else []
    mode = f"mode={mount.mode:o}"
    return ",".join(["ro" if mount.read_only else "rw", "nosuid", "nodev", "exec", mode, *size])


def _devices(config: ContainerConfig, edits: Edits) -> Iterator[dict[str, str]]:
    found = [(one.host_path, one.container_path, one.permissions) for one in config.devices]
    found += [(one.source, one.path, one.permissions) for one in edits.device_nodes]
    for on_host, inside, permissions in found:
        yield {
            "PathOnHost": on_host,
            "PathInContainer": inside or on_host,
            "CgroupPermissions": permissions or "rwm",
        }


def _sysctls(config: ContainerConfig) -> dict[str, str]:
    if not config.netns_path:
        return dict(config.sysctls)
    # As with our own driver: everybody inside may use low ports and ping.
    mine = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    return mine | dict(config.sysctls)


def _logs(config: ContainerConfig) -> dict[str, Any]:
    options = {
        "max-size": str(config.log_max_bytes or MAX_FILE_BYTES),
        "max-file": str(config.log_files or KEPT_FILES),
        "compress": "false",  # it refuses to with a single file
    }
    return {"Type": LOG_DRIVER, "Config": options}


def changed(limits: Limits, before: Limits) -> dict[str, int | str]:
    """Return the body of an update: what is not limited any more is said to be so."""
    unlimited: dict[str, int] = {"MemorySwap": -1, "PidsLimit": -1, "NanoCpus": 0, "CpuQuota": -1}
    left = {key: unlimited[key] for key in unlimited.keys() & _limits(before).keys()}
    return {**left, **_limits(limits)}


def _block(limits: Sequence[BlockLimit]) -> dict[str, Any]:
    """Return the shares and bounds of single disks, each kind a list."""
    listed = {
        kind: [{"Path": one.device, what: getattr(one, field)} for one in limits if getattr(one, field)]
        for kind, what, field in (
            ("BlkioWeightDevice", "Weight", "weight"),
            ("BlkioDeviceReadBps", "Rate", "read_bps"),
            ("BlkioDeviceWriteBps", "Rate", "write_bps"),
            ("BlkioDeviceReadIOps", "Rate", "read_iops"),
            ("BlkioDeviceWriteIOps", "Rate", "write_iops"),
        )
    }
    return {kind: devices for kind, devices in listed.items() if devices}


def _limits(limits: Limits) -> dict[str, Any]:
    wanted: dict[str, int | str] = {
        "NanoCpus": limits.nano_cpus,
        "Memory": limits.memory_bytes,
        "MemoryReservation": limits.memory_reservation_bytes,
        "MemorySwap": limits.memory_swap_bytes,
        "PidsLimit": limits.pids,
        "CpuShares": limits.cpu_shares,
        "CpuQuota": limits.cpu_quota_us,
        "CpuPeriod": limits.cpu_period_us,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "BlkioWeight": limits.blkio_weight,
    }
    given = {key: value for key, value in wanted.items() if value}
    return (
        given
        | _block(limits.block)
        | ({} if limits.memory_swappiness is None else {"MemorySwappiness": limits.memory_swappiness})
    )


def _security(config: ContainerConfig) -> dict[str, Any]:
    security = config.security
    options = ["no-new-privileges"] if no_new_privileges(security) else []
    if security.seccomp is not None:
        options.append(f"seccomp={security.seccomp or 'unconfined'}")
    if security.apparmor:
        options.append(f"apparmor={security.apparmor}")
    options += [f"label={one}" for one in _label(security.selinux)]
    section: dict[str, Any] = {
        "Privileged": security.privileged,
        "CapAdd": list(security.capability_add),
        "CapDrop": list(security.capability_drop),
        "SecurityOpt": options,
    }
    return section | ({"MaskedPaths": [], "ReadonlyPaths": []} if security.unmasked_paths else {})


def _label(wanted: SELinuxLabel) -> Iterator[str]:
    if wanted.disabled:
        yield "disable"
    for part in ("user", "role", "type", "level"):
        if word := getattr(wanted, part):
            yield f"{part}:{word}"


def label_warnings(wanted: SELinuxLabel, *, selinux: bool) -> Iterator[str]:
    """Yield a sentence for what is asked of SELinux and an engine does not do."""
    if wanted.nested:
        yield "without nested SELinux labels, which the engine does not have"
    if list(_label(replace(wanted, disabled=False))) and not selinux:
        yield "without the SELinux label that was asked for: the engine does not label containers"


def limits_given(about: Mapping[str, Any]) -> Limits:
    """Return those limits that a container has and could lose, by the engine's `inspect`."""
    host = about["HostConfig"]

    def given(name: str) -> int:
        return max(0, int(host.get(name) or 0))

    return Limits(
        nano_cpus=given("NanoCpus"),
        pids=given("PidsLimit"),
        cpu_quota_us=given("CpuQuota"),
        memory_swap_bytes=given("MemorySwap"),
    )


def warnings_of(answer: Mapping[str, Any] | None) -> Sequence[str]:
    """Return what an engine says it leaves out, from its answer to `create`."""
    return tuple(map(str, (answer or {}).get("Warnings") or ()))
