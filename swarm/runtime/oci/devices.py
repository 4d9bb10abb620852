"""What do the devices of a container change in its config.json, and what are they on this node?

Asks the node for the numbers of device files; everything else is pure.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from swarm.errors import TaskRejected
from swarm.runtime.base import ContainerConfig, HostDevice
from swarm.runtime.cdi.registry import DEFAULT_DIRECTORIES, read_registry
from swarm.runtime.cdi.spec import DeviceNode, Edits, HostMount

FILES_MAX = 1024  # of one container


@dataclass(frozen=True, slots=True)
class CdiSettings:
    """Where this node's CDI specifications are, and how far they are trusted."""

    directories: tuple[Path, ...] = tuple(map(Path, DEFAULT_DIRECTORIES))
    hooks: bool = False  # whether they may run programs on the node, as root


def edits_for(config: ContainerConfig, settings: CdiSettings) -> Edits:
    """Return everything that the container's devices add to it; blocks while files are looked at.

    Raises TaskRejected for a device that this node does not have or that needs what it refuses.
    """
    edits = Edits()
    if config.cdi_devices:
        edits = read_registry(settings.directories).edits_for(config.cdi_devices)
        _refuse_hooks(edits, settings, config.cdi_devices)
    nodes = [_with_numbers(one) for one in edits.device_nodes]
    if config.security.privileged:
        everything = _host_device(HostDevice("/dev"))
        nodes.extend(one for one in everything if one.path not in _MADE_BY_THE_RUNTIME)
    for device in config.devices:
        nodes.extend(_host_device(device))
    if len(nodes) > FILES_MAX and not config.security.privileged:
        raise TaskRejected(f"{len(nodes)} device files are more than the {FILES_MAX} that a container gets")
    for mount in edits.mounts:
        if mount.host_path.startswith("/") and not Path(mount.host_path).exists():
            raise TaskRejected(f"{mount.host_path}, which a device is to mount, does not exist on this node")
    return Edits(edits.env, tuple(nodes), edits.mounts, edits.hooks, edits.additional_gids)


def apply_edits(spec: dict[str, Any], edits: Edits) -> None:
    """Add edits, whose device files have their numbers, to a config.json."""
    process, linux = spec["process"], spec["linux"]
    process["env"] = _merged(process["env"], edits.env)
    user = process["user"]
    user["additionalGids"] = list(dict.fromkeys((*user["additionalGids"], *edits.additional_gids)))
    files = {one.path: one for one in edits.device_nodes}  # the last one at a path counts
    if files:
        linux["devices"] = [_device(one) for one in files.values()]
        rules = linux["resources"]["devices"]
        if not rules[0]["allow"]:  # a privileged container may have them all anyway
            rules.extend(_rule(one) for one in files.values() if one.kind in _WITH_NUMBERS)
    targets = {mount.container_path.rstrip("/") for mount in edits.mounts}
    spec["mounts"] = [one for one in spec["mounts"] if one["destination"].rstrip("/") not in targets]
    spec["mounts"].extend(_mount(one) for one in _parents_first(edits.mounts))
    for hook in edits.hooks:
        entry: dict[str, Any] = {"path": hook.path}
        if hook.args:
            entry["args"] = list(hook.args)
        if hook.env:
            entry["env"] = list(hook.env)
        if hook.timeout is not None:
            entry["timeout"] = hook.timeout
        spec.setdefault("hooks", {}).setdefault(hook.name, []).append(entry)


_WITH_NUMBERS = frozenset("bcu")
_MADE_BY_THE_RUNTIME = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")
)


def _refuse_hooks(edits: Edits, settings: CdiSettings, names: Sequence[str]) -> None:
    devices = ", ".join(names)
    if edits.unsupported:
        raise TaskRejected(f"{devices}: its CDI specification asks for {edits.unsupported[0]}, unknown here")
    if edits.hooks and not settings.hooks:
        raise TaskRejected(
            f"{devices}: its CDI specification wants to run {edits.hooks[0].path} on this node; "
            "allow it with the setting cdi_hooks = allow"
        )


def _with_numbers(node: DeviceNode) -> DeviceNode:
    """Fill in what the specification leaves to the host."""
    if node.kind == "p" or (node.kind and node.major is not None and node.minor is not None):
        return node
    status = _status(node.source)
    kind = _kind(status)
    if kind is None or (node.kind and node.kind.replace("u", "c") != kind):
        raise TaskRejected(f"{node.source} on this node is not the device that its CDI specification says")
    return DeviceNode(
        path=node.path,
        host_path=node.host_path,
        kind=node.kind or kind,
        major=os.major(status.st_rdev) if node.major is None else node.major,
        minor=os.minor(status.st_rdev) if node.minor is None else node.minor,
        file_mode=stat.S_IMODE(status.st_mode) if node.file_mode is None else node.file_mode,
        permissions=node.permissions,
        uid=status.st_uid if node.uid is None else node.uid,
        gid=status.st_gid if node.gid is None else node.gid,
    )


def _host_device(device: HostDevice) -> Iterator[DeviceNode]:
    """Yield the device files at a path of the node: itself, or all of a directory."""
    if Path(device.host_path).is_dir():
        found = list(_below(Path(device.host_path)))
        if not found:
            raise TaskRejected(f"no device in the directory {device.host_path} on this node")
    else:
        found = [Path(device.host_path)]
    target = PurePosixPath(device.container_path or device.host_path)
    for path in found:
        status = _status(str(path))
        kind = _kind(status)
        if kind is None:
            raise TaskRejected(f"{path} on this node is not a device")
        yield DeviceNode(
            path=str(target / path.relative_to(device.host_path)),
            host_path=str(path),
            kind=kind,
            major=os.major(status.st_rdev),
            minor=os.minor(status.st_rdev),
            file_mode=stat.S_IMODE(status.st_mode),
            permissions=device.permissions or "rwm",
            uid=status.st_uid,
            gid=status.st_gid,
        )


def _below(directory: Path) -> Iterator[Path]:
    """Yield the device files below a directory, without those that are another container's business."""
    for path in sorted(directory.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            if path.name not in {"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"}:
                yield from _below(path)
        elif path.name != "console" and _kind(path.lstat()) is not None:
            yield path


def _status(path: str) -> os.stat_result:
    try:
        return Path(path).stat()
    except OSError as error:
        raise TaskRejected(f"no device {path} on this node: {error.strerror}") from error


def _kind(status: os.stat_result) -> str | None:
    if stat.S_ISCHR(status.st_mode):
        return "c"
    return "b" if stat.S_ISBLK(status.st_mode) else None


def _device(node: DeviceNode) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": node.path, "type": node.kind, "major": node.major, "minor": node.minor}
    entry |= {"fileMode": node.file_mode, "uid": node.uid, "gid": node.gid}
    return {key: value for key, value in entry.items() if value is not None}


def _rule(node: DeviceNode) -> dict[str, Any]:
    kind = "c" if node.kind == "u" else node.kind
    numbers = {"major": node.major, "minor": node.minor}
    return {"allow": True, "type": kind, **numbers, "access": node.permissions}


def _mount(mount: HostMount) -> dict[str, Any]:
    kind = mount.kind or "bind"
    options = list(mount.options) or ["ro", "nosuid", "nodev"]
    if kind == "bind" and not {"bind", "rbind"} & set(options):
        options.append("bind")
    return {"destination": mount.container_path, "type": kind, "source": mount.host_path, "options": options}


def _parents_first(mounts: Iterable[HostMount]) -> list[HostMount]:
    once = {mount.container_path: mount for mount in mounts}
    return sorted(once.values(), key=lambda mount: len(PurePosixPath(mount.container_path).parts))


def _merged(env: list[str], more: Iterable[str]) -> list[str]:
    variables = dict(one.partition("=")[::2] for one in env)
    variables.update(one.partition("=")[::2] for one in more)
    return [f"{key}={value}" for key, value in variables.items()]
