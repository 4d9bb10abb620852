"""Which file systems does a container see? Pure: the mounts section of its config.json."""

from pathlib import Path, PurePosixPath
from typing import Any

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, TmpfsMount

SHM_BYTES = 64 * 1024 * 1024
PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})

_RESTRICTED = ["nosuid", "noexec", "nodev"]


def mount_entries(
    config: ContainerConfig, resolv_conf: Path | None, hosts: Path | None, hostname: Path | None
) -> list[dict[str, Any]]:
    """Return all mounts, in the order in which the runtime has to make them.

    A mount of the task's own replaces one of ours at the same target. Raises TaskRejected for a target that
    makes no sense.
    """
    targets = {_target(mount.target) for mount in config.mounts}
    if len(targets) != len(config.mounts):
        raise TaskRejected("two mounts have the same target")
    ours = [
        *_kernel_mounts(),
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
    ]


def _kernel_mounts() -> list[dict[str, Any]]:
    return [
        _mount("proc", "/proc", "proc", _RESTRICTED),
        _mount("tmpfs", "/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "devpts",
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("tmpfs", "/dev/shm", "shm", [*_RESTRICTED, "mode=1777", f"size={SHM_BYTES}"]),  # noqa: S108
        _mount("mqueue", "/dev/mqueue", "mqueue", _RESTRICTED),
        _mount("sysfs", "/sys", "sysfs", [*_RESTRICTED, "ro"]),
        _mount("cgroup", "/sys/fs/cgroup", "cgroup", [*_RESTRICTED, "relatime", "ro"]),
    ]


def _entry(mount: BindMount | TmpfsMount) -> dict[str, Any]:
    target = _target(mount.target)
    if isinstance(mount, TmpfsMount):
        options = [*_RESTRICTED, f"mode={mount.mode:o}", "ro" if mount.read_only else "rw"]
        if mount.size_bytes:
            options.append(f"size={mount.size_bytes}")
        return _mount("tmpfs", target, "tmpfs", options)
    if mount.propagation not in PROPAGATIONS:
        raise TaskRejected(f"unknown propagation {mount.propagation!r} of the mount at {target}")
    return _bind(mount.source, target, ["rbind", mount.propagation, "ro" if mount.read_only else "rw"])


def _target(target: str) -> str:
    path = PurePosixPath(target)
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise TaskRejected(f"mount target {target!r} must be an absolute path below / without ..")
    return str(path)


def _bind(source: str, target: str, options: list[str]) -> dict[str, Any]:
    return _mount("bind", target, source, options)


def _mount(kind: str, target: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}
