"""Makes what an OCI runtime needs to create a container: its file system, its small files, its config.json.

Everything here blocks for a few milliseconds. Whoever is killed in between leaves a half-made container.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, Dns
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.abilities import Abilities
from swarm.runtime.oci.devices import CdiSettings, apply_edits, edits_for
from swarm.runtime.oci.etc_files import domain_of, hosts_file, only_local_servers, resolv_conf
from swarm.runtime.oci.overlay import mount_overlay, unmount
from swarm.runtime.oci.own_users import USERS_FILE, mount_root, move_in
from swarm.runtime.oci.parts import with_parts
from swarm.runtime.oci.relabel import relabel, relabel_mounts
from swarm.runtime.oci.rootfs import read_text_inside
from swarm.runtime.oci.selinux import LEVEL_FILE, Labels
from swarm.runtime.oci.spec import Surroundings, build_spec, hostname, spec_warnings
from swarm.runtime.oci.user_namespaces import IdRange
from swarm.runtime.oci.users import resolve_user
from swarm.runtime.state import write_atomically
from swarm.runtime.volumes.copy_up import copy_up

CGROUP_FILE = "cgroup"  # where the container's cgroup is, when the service chose the place

_RESOLV_CONF = Path("/etc/resolv.conf")
_RESOLV_CONF_BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class BundlePlace:
    """Where a container is put."""

    directory: Path  # its file system and what survives a reboot
    bundle: Path  # config.json
    cgroup_path: str
    mount_points: Path  # a layer with what images may lack
    node: Abilities
    cdi: CdiSettings
    users: IdRange | None = None  # those of its own
    labels: Labels | None = None  # of SELinux, where the node has that
    takes_filters: bool = False  # see Surroundings


def make_bundle(
    config: ContainerConfig,
    image: ImageConfig,
    layers: Sequence[Path],
    place: BundlePlace,
    mounted: Mapping[str, Sequence[Path]] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Make the directories, the overlay and config.json; return what is less than was asked for.

    `mounted` are the layers of images that it mounts, by digest. Raises TaskRejected, OSError.
    """
    check_sources(config)
    edits = edits_for(config, place.cdi)
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # first: all else is found by it
    if place.users is not None:
        (place.directory / USERS_FILE).write_text(f"{place.users.first}:{place.users.size}", "ascii")
    label = _label(config, place)
    if config.cgroup_parent:
        (place.directory / CGROUP_FILE).write_text(place.cgroup_path, "utf-8")
    place.bundle.mkdir(parents=True, mode=0o700)
    rootfs, upper, work = (place.directory / name for name in ("rootfs", "upper", "work"))
    for path in (rootfs, upper, work):
        path.mkdir(exist_ok=True)  # of a container that is renewed they are there
        path.chmod(0o755)  # the top of the container's file system, whatever our umask is
    lower = [*layers, place.mount_points]
    filled = [one for one in config.mounts if isinstance(one, BindMount) and one.copy_up]
    if filled or place.users is None:
        mount_overlay(lower, upper, work, rootfs, label)
    for one in filled:
        copy_up(rootfs, one.target, Path(one.source), Path(one.copy_up))
    if place.users is not None:
        unmount(rootfs)  # volumes are filled with files as the image has them, before they change owners
        mount_root(lower, place.directory, place.users, label)
    config = with_parts(config, mounted, place.directory / "parts", label)
    spec = build_spec(config, image, _surroundings(config, image, place, rootfs))
    apply_edits(spec, edits)
    if place.users is not None:
        move_in(spec, config, place.directory, place.users)
    write_atomically(place.bundle / "config.json", json.dumps(spec).encode())
    return spec_warnings(config, place.node)


def _label(config: ContainerConfig, place: BundlePlace) -> str:
    """Write down a container's SELinux level and label what it mounts; return the label of its files."""
    if place.labels is None:
        return ""
    if place.labels.level:
        (place.directory / LEVEL_FILE).write_text(place.labels.level, "ascii")
    relabel_mounts(config, place.labels)
    return place.labels.mount


def _surroundings(
    config: ContainerConfig, image: ImageConfig, place: BundlePlace, rootfs: Path
) -> Surroundings:
    hosts, name, resolver = (place.directory / file for file in ("hosts", "hostname", "resolv.conf"))
    own_name = hostname(config, place.node)
    write_public(hosts, hosts_file(own_name, config.address, config.hosts, domain_of(config.sysctls)))
    write_public(name, f"{own_name}\n")
    if config.resolv_conf and config.dns == Dns():
        resolver = Path(config.resolv_conf)  # the file itself: it follows the node's
    else:
        write_public(resolver, resolv_conf(resolv_conf_without_wishes(config), config.dns))
    for file in (hosts, name, resolver):
        if place.labels is not None and file.is_relative_to(place.directory):
            relabel(file, place.labels.mount)
        if place.users is not None and file.is_relative_to(place.directory):
            os.chown(file, place.users.first, place.users.first)  # its root's own, as elsewhere
    user = resolve_user(
        config.user or image.user,
        read_text_inside(rootfs, "/etc/passwd"),
        read_text_inside(rootfs, "/etc/group"),
        config.groups,
    )
    return Surroundings(
        rootfs=rootfs,
        cgroup_path=place.cgroup_path,
        user=user,
        resolv_conf=resolver,
        hosts=hosts,
        hostname=name,
        node=place.node,
        labels=place.labels,
        takes_filters=place.takes_filters,
    )


def resolv_conf_without_wishes(config: ContainerConfig) -> str:
    """Return the text of the file that a container would have if it said nothing about it."""
    if config.resolv_conf:
        return Path(config.resolv_conf).read_text("utf-8")
    return _nodes_resolv_conf(own_network=bool(config.netns_path))


def check_sources(config: ContainerConfig) -> None:
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


def _nodes_resolv_conf(*, own_network: bool) -> str:
    try:
        text = _RESOLV_CONF.read_text("utf-8")
        if own_network and only_local_servers(text):
            return _RESOLV_CONF_BEHIND_STUB.read_text("utf-8")
    except OSError:
        return ""
    return text


def write_public(path: Path, text: str) -> None:
    """Write a file that any user of a container may read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:  # noqa: PTH123 -- a descriptor, not a path
        os.fchmod(fd, 0o644)  # whatever our umask is
        file.write(text.encode())
