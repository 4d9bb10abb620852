"""Makes what an OCI runtime needs to create a container: its file system, its small files, its config.json.

Everything here blocks for a few milliseconds. Whoever is killed in between leaves a half-made container.
"""

import json
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.devices import CdiSettings, apply_edits, edits_for
from swarm.runtime.oci.etc_files import hosts_file, only_local_servers
from swarm.runtime.oci.overlay import mount_overlay
from swarm.runtime.oci.rootfs import read_text_inside
from swarm.runtime.oci.seccomp import default_profile
from swarm.runtime.oci.spec import HARD_OPEN_FILES, Surroundings, build_spec, hostname
from swarm.runtime.oci.users import resolve_user
from swarm.runtime.state import write_atomically

_RESOLV_CONF = Path("/etc/resolv.conf")
_RESOLV_CONF_BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class BundlePlace:
    """Where a container is put."""

    directory: Path  # its file system and what survives a reboot
    bundle: Path  # config.json
    cgroup_path: str
    limits_swap: bool
    cdi: CdiSettings


def make_bundle(
    config: ContainerConfig, image: ImageConfig, layers: Sequence[Path], place: BundlePlace
) -> None:
    """Make the directories, the overlay and config.json; raises TaskRejected, OSError."""
    _check_sources(config)
    edits = edits_for(config, place.cdi)
    place.directory.mkdir(parents=True, mode=0o700)  # first: all else is found by it
    place.bundle.mkdir(parents=True, mode=0o700)
    rootfs, upper, work, nothing = (
        place.directory / name for name in ("rootfs", "upper", "work", "nothing")
    )
    for path in (rootfs, upper, work):
        path.mkdir()
        path.chmod(0o755)  # the top of the container's file system, whatever our umask is
    if not layers:  # an image from scratch; overlayfs wants at least one
        nothing.mkdir()
    mount_overlay(layers or [nothing], upper, work, rootfs)
    spec = build_spec(config, image, _surroundings(config, image, place, rootfs))
    apply_edits(spec, edits)
    write_atomically(place.bundle / "config.json", json.dumps(spec).encode())


def _surroundings(
    config: ContainerConfig, image: ImageConfig, place: BundlePlace, rootfs: Path
) -> Surroundings:
    hosts, name, resolv_conf = (place.directory / file for file in ("hosts", "hostname", "resolv.conf"))
    _write_public(hosts, hosts_file(hostname(config), config.address))
    _write_public(name, f"{hostname(config)}\n")
    if config.resolv_conf:
        resolv_conf = Path(config.resolv_conf)
    else:
        _write_public(resolv_conf, _nodes_resolv_conf(own_network=bool(config.netns_path)))
    user = resolve_user(
        config.user or image.user,
        read_text_inside(rootfs, "/etc/passwd"),
        read_text_inside(rootfs, "/etc/group"),
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Surroundings(
        rootfs=rootfs,
        cgroup_path=place.cgroup_path,
        user=user,
        resolv_conf=resolv_conf,
        hosts=hosts,
        hostname=name,
        limits_swap=place.limits_swap,
        open_files_limit=HARD_OPEN_FILES if hard == resource.RLIM_INFINITY else hard,
        oom_score_adj=int(Path("/proc/self/oom_score_adj").read_text("ascii")),
        seccomp=default_profile(),
    )


def _check_sources(config: ContainerConfig) -> None:
    """Refuse what is not there with a sentence that names it: a runtime's own would not."""
    for mount in config.mounts:
        if not isinstance(mount, BindMount):
            continue
        source = Path(mount.source)
        if not source.is_absolute():
            raise TaskRejected(f"bind source path must be absolute: {mount.source}")
        if mount.create_source:
            source.mkdir(parents=True, exist_ok=True)
        elif not source.exists():
            raise TaskRejected(f"bind source path does not exist: {mount.source}")
    for path in (config.netns_path, config.resolv_conf):
        if path and not Path(path).exists():
            raise TaskRejected(f"{path} does not exist on this node")
    if config.init:
        raise TaskRejected("an init process was asked for, and this node has none to offer")


def _nodes_resolv_conf(*, own_network: bool) -> str:
    try:
        text = _RESOLV_CONF.read_text("utf-8")
        if own_network and only_local_servers(text):
            return _RESOLV_CONF_BEHIND_STUB.read_text("utf-8")
    except OSError:
        return ""
    return text


def _write_public(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o644)
