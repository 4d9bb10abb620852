"""What a container of an engine needs on the node's disk: /etc files, and filled volumes. Blocks."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swarm.errors import FailedPrecondition
from swarm.runtime.base import BindMount, ContainerConfig, Dns
from swarm.runtime.oci.bundle import check_sources, resolv_conf_without_wishes, write_public
from swarm.runtime.oci.etc_files import domain_of, hosts_file, resolv_conf
from swarm.runtime.oci.overlay import mount_overlay, mounts_below, unmount
from swarm.runtime.state import remove_tree, write_atomically
from swarm.runtime.volumes.copy_up import copy_up

_WARNINGS = "warnings.json"
_STOPPED = "stopped"
_RENEWED = "renewed"


class Place:
    """The directory of one container."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make(self, config: ContainerConfig, layers: Sequence[Path], hostname: str) -> dict[str, str]:
        """Make the files and return them by their paths in the container; raises TaskRejected, OSError."""
        check_sources(config)
        self.directory.mkdir(parents=True, mode=0o700)
        for one in config.mounts:
            if isinstance(one, BindMount) and one.copy_up:
                with self._mounted(layers) as root:
                    copy_up(root, one.target, Path(one.source), Path(one.copy_up))
        return self._write_files(config, hostname)

    def renew(self, config: ContainerConfig, hostname: str, run: str) -> None:
        """Make the files anew and remember which run is past; raises TaskRejected, OSError."""
        check_sources(config)
        self._write_files(config, hostname)
        (self.directory / _STOPPED).unlink(missing_ok=True)
        write_atomically(self.directory / _RENEWED, run.encode())

    def renewed(self) -> str:
        """Return the run after which the container was made ready to start again; empty: none."""
        try:
            return (self.directory / _RENEWED).read_text("utf-8")
        except OSError:
            return ""

    def _write_files(self, config: ContainerConfig, hostname: str) -> dict[str, str]:
        hosts, name, resolver = (self.directory / file for file in ("hosts", "hostname", "resolv.conf"))
        write_public(hosts, hosts_file(hostname, config.address, config.hosts, domain_of(config.sysctls)))
        write_public(name, f"{hostname}\n")
        if config.resolv_conf and config.dns == Dns():
            resolver = Path(config.resolv_conf)
        else:
            write_public(resolver, resolv_conf(resolv_conf_without_wishes(config), config.dns))
        return {"/etc/hosts": str(hosts), "/etc/hostname": str(name), "/etc/resolv.conf": str(resolver)}

    @contextmanager
    def _mounted(self, layers: Sequence[Path]) -> Iterator[Path]:
        """Mount an image for the duration of a block."""
        root, upper, work, nothing = (self.directory / name for name in ("root", "upper", "work", "nothing"))
        for path in (root, upper, work, nothing):
            path.mkdir(exist_ok=True)
        mount_overlay(layers or [nothing], upper, work, root)
        try:
            yield root
        finally:
            unmount(root)
            for path in (root, upper, work, nothing):
                remove_tree(path)

    @contextmanager
    def opened(self, about: dict[str, Any]) -> Iterator[Path]:
        """Mount what is left of a container that does not run; raises FailedPrecondition."""
        graph = about.get("GraphDriver") or {}
        data = graph.get("Data") or {}
        if not {"LowerDir", "UpperDir", "WorkDir"} <= data.keys():
            raise FailedPrecondition(
                f"copying needs a running container on this node: the engine has {graph.get('Name')}"
            )
        root = self.directory / "root"
        root.mkdir(parents=True, exist_ok=True)
        lower = [Path(path) for path in data["LowerDir"].split(":")]
        try:
            mount_overlay(lower, Path(data["UpperDir"]), Path(data["WorkDir"]), root)
        except OSError as error:
            raise FailedPrecondition(f"the container has no files any more: {error.strerror}") from error
        try:
            yield root
        finally:
            unmount(root)
            root.rmdir()

    def note(self, warnings: Sequence[str]) -> None:
        """Remember what is less than was asked for."""
        write_atomically(self.directory / _WARNINGS, json.dumps(list(warnings)).encode())

    def warnings(self) -> tuple[str, ...]:
        """Return what was noted."""
        try:
            return tuple(json.loads((self.directory / _WARNINGS).read_bytes()))
        except (OSError, ValueError):
            return ()

    def mark_stopped(self, reason: str) -> None:
        """Remember that a container that never ran has had its chance."""
        with suppress(OSError):
            write_atomically(self.directory / _STOPPED, reason.encode())

    def stopped(self) -> str:
        """Return why a container that never ran will not; empty when it may."""
        try:
            return (self.directory / _STOPPED).read_text("utf-8")
        except OSError:
            return ""

    def remove(self) -> None:
        """Leave nothing."""
        for point in mounts_below(self.directory):
            unmount(point)
        if mounts_below(self.directory):
            raise OSError(f"something stays mounted below {self.directory}")
        remove_tree(self.directory)
