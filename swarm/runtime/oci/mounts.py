"""Which file systems does a container see? Pure: the mounts section of its config.json."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, ImageMount, TmpfsMount

SHM_BYTES = 64 * 1024 * 1024
INIT_PATH = "/sbin/docker-init"  # inside, where Docker has it
PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})

# What programs read there to learn how large their machine is may be another's words. All else is the
# kernel's: who put files over it could have the confinement of his container written into them.
_PROC = PurePosixPath("/proc")
_PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in (
        *("cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime", "net/dev"),
        *("sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"),
    )
)

_RESTRICTED = ["nosuid", "noexec", "nodev"]


def mount_entries(
    config: ContainerConfig,
    resolv_conf: Path | None,
    hosts: Path | None,
    hostname: Path | None,
    init: str = "",
) -> list[dict[str, Any]]:
    """Return all mounts, in the order in which the runtime has to make them.

    `init` is the program on the node to be started first, if any. A mount of the task's own replaces one of
    ours at the same target. Raises TaskRejected for a target that makes no sense.
    """
    targets = {_target(mount.target) for mount in config.mounts}
    if len(targets) != len(config.mounts):
        raise TaskRejected("two mounts have the same target")
    for mount in config.mounts:
        _check_proc(mount)
    ours = [
        *_kernel_mounts(config),
        *(
            _bind(str(source), target, ["rbind", "rprivate", "rw"])
            for source, target in (
                (resolv_conf, "/etc/resolv.conf"),
                (hosts, "/etc/hosts"),
                (hostname, "/etc/hostname"),
            )
            if source is not None
        ),
    ]
    # Parents before children; the kernel's own file systems stay in front of anything put into them.
    theirs = sorted(config.mounts, key=lambda mount: len(PurePosixPath(_target(mount.target)).parts))
    return [
        *(entry for entry in ours if entry["destination"] not in targets),
        *(_entry(mount) for mount in theirs),
        *([_bind(init, INIT_PATH, ["bind", "rprivate", "ro"])] if config.init else []),
    ]


def nested_mounts() -> list[dict[str, Any]]:
    """Return the mounts of a container that may use the node's SELinux for labels of its own."""
    return [_bind("/sys/fs/selinux", "/sys/fs/selinux", ["rbind", "rprivate", "rw"])]


def _kernel_mounts(config: ContainerConfig) -> list[dict[str, Any]]:
    access = "rw" if config.security.privileged else "ro"
    return [
        _mount("proc", "/proc", "proc", _RESTRICTED),
        _mount("tmpfs", "/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "devpts",
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        *_ipc_mounts(config),
        _mount("sysfs", "/sys", "sysfs", [*_RESTRICTED, access]),
        _mount("cgroup", "/sys/fs/cgroup", "cgroup", [*_RESTRICTED, "relatime", access]),
    ]


def _ipc_mounts(config: ContainerConfig) -> list[dict[str, Any]]:
    if config.shared.ipc:  # the node's; what its namespace has beside them needs no mount
        return [_bind("/dev/shm", "/dev/shm", ["rbind", "rprivate", "rw"])]  # noqa: S108
    size = config.shm_size_bytes or SHM_BYTES
    return [
        _mount("tmpfs", "/dev/shm", "shm", [*_RESTRICTED, "mode=1777", f"size={size}"]),  # noqa: S108
        _mount("mqueue", "/dev/mqueue", "mqueue", _RESTRICTED),
    ]


def _entry(mount: BindMount | TmpfsMount | ImageMount) -> dict[str, Any]:
    target = _target(mount.target)
    if isinstance(mount, TmpfsMount):
        options = [*_RESTRICTED, f"mode={mount.mode:o}", "ro" if mount.read_only else "rw"]
        if mount.size_bytes:
            options.append(f"size={mount.size_bytes}")
        return _mount("tmpfs", target, "tmpfs", options)
    assert not isinstance(mount, ImageMount), "whoever makes the bundle mounts images"
    if mount.propagation not in PROPAGATIONS:
        raise TaskRejected(f"unknown propagation {mount.propagation!r} of the mount at {target}")
    return _bind(mount.source, target, ["rbind", mount.propagation, "ro" if mount.read_only else "rw"])


def _target(target: str) -> str:
    path = PurePosixPath(re.sub("^//+", "/", target))  # two slashes would be kept
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise TaskRejected(f"mount target {target!r} must be an absolute path below / without ..")
    return str(path)


def _check_proc(mount: BindMount | TmpfsMount | ImageMount) -> None:
    target = PurePosixPath(_target(mount.target))
    if _PROC not in (target, *target.parents) or str(target) in _PROC_FILES:
        return
    if target == _PROC and isinstance(mount, BindMount) and PurePosixPath(mount.source) == _PROC:
        return  # the node's
    raise TaskRejected(f"nothing can be mounted at {target}: what is in /proc comes from the kernel")


def _bind(source: str, target: str, options: list[str]) -> dict[str, Any]:
    return _mount("bind", target, source, options)


def _mount(kind: str, target: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}
