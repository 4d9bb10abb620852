"""What is a machine, and what of swarm is there? One question (`scripts/probe.sh`), one frozen answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from swarm.machine.errors import MachineError

PORTS = {":0949": 2377, ":246B": 9323}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the machine says of itself; an empty text or tuple: not there."""

    os: str
    arch: str
    systemd: bool
    now_s: int
    python: str = ""
    python_path: str = ""
    glibc: str = ""
    os_version: str = ""
    os_like: str = ""
    kernel: str = ""
    hostname: str = ""
    uid: int = 0
    boot_id: str = ""
    packages: str = ""
    missing: tuple[str, ...] = ()
    python_bits: int = 64
    disk_free_bytes: int = 0
    room: tuple[tuple[str, int], ...] = ()  # folders that something is written to, and the bytes free there
    no_inodes: tuple[str, ...] = ()
    listens: tuple[int, ...] = ()
    docker: str = ""
    release: str = ""
    busy: bool = False  # something is being installed, or was and is still watched
    complete: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unit: str = ""
    active: str = ""
    enabled: str = ""
    state_dir: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def node_id(self) -> str:
        """The id of the node there, empty while it belongs to no cluster."""
        return str(self.info.get("NodeID", ""))

    @property
    def cluster_id(self) -> str:
        """The id of its cluster, as far as it knows one."""
        return str(self.info.get("ClusterID", ""))


def script(name: str) -> str:
    """Return a script that runs on machines."""
    return resources.files("swarm.machine").joinpath("scripts", name).read_text("utf-8")


def parse_facts(text: str) -> Facts:
    """Return the facts in the probe's output; raises MachineError when it is cut, or no such output."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value.strip())
    if "end" not in found:
        raise MachineError("the machine's answer is cut or unreadable: " + " ".join(text.split())[-200:])

    def one(key: str) -> str:
        return found.get(key, [""])[0]

    return Facts(
        os=one("os"),
        os_version=one("os_version"),
        os_like=one("os_like"),
        arch=one("arch"),
        kernel=one("kernel"),
        hostname=one("hostname"),
        uid=_number(one("uid")),
        systemd=one("systemd") == "yes",
        now_s=_number(one("now")),
        boot_id=one("boot_id"),
        python=one("python"),
        python_path=one("python_path"),
        glibc=one("libc").removeprefix("glibc ") if one("libc").startswith("glibc ") else "",
        packages=one("packages"),
        missing=tuple(found.get("missing", [])),
        python_bits=_number(one("python_bits")) or 64,
        room=tuple(_room(text) for text in found.get("room", [])),
        no_inodes=tuple(found.get("no_inodes", [])),
        disk_free_bytes=_number(one("disk_free_kb")) * 1024,
        listens=tuple(PORTS[port] for port in found.get("listens", []) if port in PORTS),
        docker=one("docker"),
        release=one("release"),
        busy=one("busy") == "yes",
        complete=tuple(found.get("complete", [])),
        linked=tuple(found.get("linked", [])),
        foreign=tuple(found.get("foreign", [])),
        unit=one("unit"),
        active=one("active"),
        enabled=one("enabled"),
        state_dir=one("state_dir") == "yes",
        info=_info(one("info")),
    )


def _room(text: str) -> tuple[str, int]:
    free_kb, _, place = text.partition(" ")
    return place, _number(free_kb) * 1024


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _info(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
