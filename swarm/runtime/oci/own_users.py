"""Gives a container users of its own: its file system as they see it, and its config.json."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from swarm.errors import TaskRejected
from swarm.model.sysctls import NET_PREFIX
from swarm.runtime.base import BindMount, ContainerConfig
from swarm.runtime.oci.overlay import mount_overlay, unmount
from swarm.runtime.oci.user_namespaces import IdRange, mapped_users, set_network_sysctls, show, stage_of

USERS_FILE = "users"  # FIRST:SIZE, in the directory of the container


def mount_root(layers: Sequence[Path], directory: Path, users: IdRange, label: str = "") -> None:
    """Mount the container's root at `rootfs` in its directory, with the layers' files owned by its users.

    `label` is the SELinux label of all of them, where the node has SELinux. Raises TaskRejected, OSError.
    """
    stage = stage_of(directory.name)
    upper, work, rootfs = (directory / name for name in ("upper", "work", "rootfs"))
    shown = [stage / "layers" / str(at) for at in range(len(layers))]
    for path in (upper, rootfs):
        path.chmod(0o755)
    os.chown(upper, users.first, users.first)  # the owner of the root is the container's
    with mapped_users(users) as fd:
        for layer, place in zip(layers, shown, strict=True):
            show(layer, place, fd)
    mount_overlay(shown, upper, work, rootfs, label)
    for place in shown:
        unmount(place)  # the overlay has its own hold on them


def move_in(spec: dict[str, Any], config: ContainerConfig, directory: Path, users: IdRange) -> None:
    """Change a config.json so that the container has these users; mount what it names where they see it.

    Raises TaskRejected, OSError.
    """
    _check_user(spec["process"]["user"], users)
    linux = spec["linux"]
    linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": users.first, "size": users.size}]
    linux["uidMappings"] = linux["gidMappings"] = mapping
    _move_sysctls(linux, config)
    stage = stage_of(directory.name)
    show(Path(spec["root"]["path"]), stage / "rootfs", None)
    spec["root"]["path"] = str(stage / "rootfs")
    theirs = {str(PurePosixPath(one.target)) for one in config.mounts if isinstance(one, BindMount)}
    with mapped_users(users) as fd:
        for at, entry in enumerate(spec["mounts"]):
            if entry["type"] == "bind":
                place = stage / "mounts" / str(at)
                show(Path(entry["source"]), place, fd if entry["destination"] in theirs else None)
                entry["source"] = str(place)
    for entry in spec["mounts"]:
        if entry["type"] == "sysfs":
            # Who is not root over the network namespace, which is the node's, gets no /sys of its own.
            entry |= {"type": "bind", "source": "/sys", "options": ["rbind", "rprivate", *entry["options"]]}


def _check_user(user: dict[str, Any], users: IdRange) -> None:
    for number in (user["uid"], user["gid"], *user["additionalGids"]):
        if number >= users.size:
            raise TaskRejected(
                f"user or group {number} is not one of the {users.size} of the container's user namespace: "
                "give it more with --userns private:SIZE"
            )


def _move_sysctls(linux: dict[str, Any], config: ContainerConfig) -> None:
    sysctls: dict[str, str] = linux.get("sysctl", {})
    network = {key: value for key, value in sysctls.items() if key.startswith(NET_PREFIX)}
    if network:
        set_network_sysctls(config.netns_path, network)
        linux["sysctl"] = {key: value for key, value in sysctls.items() if key not in network}
