"""What does the OCI runtime have to do for a container? Builds its config.json. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.errors import TaskRejected
from swarm.model.sysctls import NET_PREFIX
from swarm.model.validate_options import ORDERS
from swarm.runtime.base import ContainerConfig
from swarm.runtime.command import DEFAULT_PATH, command_line, environment
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.abilities import INIT_HINT, Abilities
from swarm.runtime.oci.mounts import INIT_PATH, mount_entries, nested_mounts
from swarm.runtime.oci.privileges import capabilities, linux_security, missing_capabilities, process_security
from swarm.runtime.oci.resources import cgroup_resources, oom_score_adj, resource_warnings, rlimits
from swarm.runtime.oci.seccomp import default_filter, without_rules
from swarm.runtime.oci.selinux import Labels, label_warnings
from swarm.runtime.oci.users import User


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the node contributes to a container's specification."""

    rootfs: Path
    cgroup_path: str
    user: User
    resolv_conf: Path | None = None
    hosts: Path | None = None
    hostname: Path | None = None
    node: Abilities = field(default_factory=Abilities)
    labels: Labels | None = None  # of SELinux
    takes_filters: bool = False  # the runtime needs no list of system calls beside the program made of it


def build_spec(config: ContainerConfig, image: ImageConfig, around: Surroundings) -> dict[str, Any]:
    """Return the config.json of a container.

    Raises TaskRejected when the config makes no sense, or asks for what this node cannot do.
    """
    init = _init(config, around.node)
    linux = _linux(config, around)
    compiled = _compiled_filter(config, around, linux)
    if compiled and around.takes_filters:
        linux["seccomp"] = without_rules(linux["seccomp"])
    spec = {
        "ociVersion": "1.0.2",
        "process": _process(config, image, around, init),
        "root": {"path": str(around.rootfs), "readonly": config.read_only},
        "mounts": [
            *mount_entries(config, around.resolv_conf, around.hosts, around.hostname, *init[:1]),
            *(nested_mounts() if around.labels and around.labels.nested else []),
        ],
        "annotations": {**_annotations({**config.labels, **config.annotations}), **compiled},
        "linux": linux,
    }
    if not config.shared.uts:
        spec["hostname"] = hostname(config, around.node)
    return spec


def spec_warnings(config: ContainerConfig, node: Abilities) -> tuple[str, ...]:
    """Return a sentence for everything that was asked for and is less, or left out, on this node."""
    return (
        *resource_warnings(config, node),
        *missing_capabilities(config.security, node),
        *label_warnings(config, node.selinux),
    )


def hostname(config: ContainerConfig, node: Abilities) -> str:
    """Return the name that the container gives itself."""
    return node.node_name if config.shared.uts else config.hostname or config.id[:12]


def _init(config: ContainerConfig, node: Abilities) -> tuple[str, ...]:
    if not config.init:
        return ()
    if not node.init:
        raise TaskRejected(
            f"an init process was asked for, and this node has none: install one with {INIT_HINT}"
        )
    return node.init


def _annotations(labels: Mapping[str, str]) -> dict[str, str]:
    """Return them without those that would be orders to crun: programs to run, another filter."""
    return {key: value for key, value in labels.items() if not key.startswith(ORDERS)}


def _compiled_filter(
    config: ContainerConfig, around: Surroundings, linux: Mapping[str, Any]
) -> dict[str, str]:
    """Return the annotation with the default list as a program; a list of the user's is the runtime's."""
    if config.security.seccomp is not None or "seccomp" not in linux:
        return {}
    return default_filter(capabilities(config.security, around.node))


def _process(
    config: ContainerConfig, image: ImageConfig, around: Surroundings, init: tuple[str, ...]
) -> dict[str, Any]:
    user, node = around.user, around.node
    defaults = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname(config, node), "HOME": user.home}
    if config.tty:
        defaults["TERM"] = "xterm"
    variables = environment(defaults, image.env, config.env)
    line = command_line(config, image)
    return {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional_gids)},
        "args": [INIT_PATH, *init[1:], "--", *line] if init else line,
        "env": [f"{key}={value}" for key, value in variables.items()],
        "cwd": config.working_dir or image.working_dir or "/",
        **process_security(config, node),
        **({"selinuxLabel": around.labels.process} if around.labels else {}),
        "oomScoreAdj": oom_score_adj(config.oom_score_adj, node),
        "rlimits": rlimits(config.ulimits, node),
    }


def _linux(config: ContainerConfig, around: Surroundings) -> dict[str, Any]:
    section = {
        "namespaces": _namespaces(config),
        "cgroupsPath": around.cgroup_path,
        "resources": cgroup_resources(config, around.node),
        "rootfsPropagation": "private",
        **linux_security(config, around.node),
        # Who makes labels of its own needs mounts on which files can have them.
        **({"mountLabel": around.labels.mount} if around.labels and not around.labels.nested else {}),
    }
    sysctls = _sysctls(config)
    return section | ({"sysctl": dict(sysctls)} if sysctls else {})


def _sysctls(config: ContainerConfig) -> Mapping[str, str]:
    if config.netns_path:
        # The namespace is the container's own. With no_new_privs a program cannot gain the capability for
        # low ports or for ping from its file, so everybody inside may use them.
        return {
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 2147483647",
        } | dict(config.sysctls)
    for key in config.sysctls:
        if key.startswith(NET_PREFIX):
            raise TaskRejected(f"the sysctl {key} would change the node, whose network the container uses")
    return config.sysctls


def _namespaces(config: ContainerConfig) -> list[dict[str, str]]:
    shared = config.shared
    own = {"pid": not shared.pid, "ipc": not shared.ipc, "uts": not shared.uts, "mount": True}
    namespaces = [{"type": kind} for kind, is_own in (own | {"cgroup": not shared.cgroup}).items() if is_own]
    if config.netns_path:
        namespaces.append({"type": "network", "path": config.netns_path})
    return namespaces
