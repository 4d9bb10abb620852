"""Makes the cgroup of a container, writes its limits, and puts processes into it: versions 1 and 2."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from swarm.runtime.starter import device_filter

_V2_CONTROLLERS = ("cpu", "memory", "pids", "io", "cpuset")
# What every container may use: what is in its /dev and its terminals; the numbers alone do no harm.
_USUAL_DEVICES = (
    *(("c", 1, minor, "rwm") for minor in (3, 5, 7, 8, 9)),
    *(("c", major, minor, "rwm") for major, minor in ((5, 0), (5, 1), (5, 2), (136, None))),
    *((kind, None, None, "m") for kind in "cb"),
)

DeviceRule = tuple[bool, str, int | None, int | None, str]


def mounts() -> tuple[dict[str, str], str]:
    """Return (version 1 controller or name=… → mount point, mount point of version 2 or nothing)."""
    controllers: dict[str, str] = {}
    unified = ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind == "cgroup2":
                unified = unified or before.split(" ")[4]
            elif kind == "cgroup":
                for option in options.strip().split(","):
                    if option not in {"rw", "ro", "xattr", "clone_children", "noprefix"}:
                        controllers.setdefault(option, before.split(" ")[4])
    return controllers, unified


def directories(path: str) -> list[str]:
    """Return the directory of a cgroup in every hierarchy, each once."""
    controllers, unified = mounts()
    roots = dict.fromkeys([*controllers.values(), *([unified] if unified else [])])
    return [root.rstrip("/") + path for root in roots]


def make(path: str, resources: dict[str, Any]) -> None:
    """Make the cgroup with its limits; raises OSError naming the file that did not take its value."""
    controllers, unified = mounts()
    for point in dict.fromkeys(controllers.values()):
        _make_directories(point, path, cpuset=point == controllers.get("cpuset"))
    if unified:
        _make_directories(unified, path, hand_down=not controllers)
    if controllers:
        for controller, file, value in _v1_files(resources):
            if controller in controllers:
                _write(f"{controllers[controller]}{path}/{file}", value)
        if "devices" in controllers:
            _write_device_rules(controllers["devices"] + path, device_rules(resources))
        return
    for file, value in _v2_files(resources):
        _write(f"{unified}{path}/{file}", value)
    device_filter.attach(unified + path, device_rules(resources))


def update(path: str, resources: dict[str, Any]) -> None:
    """Write other limits of a cgroup that is in use; raises OSError, and all is as it was."""
    controllers, unified = mounts()
    files = [
        (f"{controllers[controller]}{path}/{file}", value)
        for controller, file, value in _v1_files(resources)
        if controller in controllers
    ]
    if not controllers:
        files = [(f"{unified}{path}/{file}", value) for file, value in _v2_files(resources)]
    before = [(file, _read(file)) for file, _ in files]
    try:
        _write_all(files)
    except OSError:
        with suppress(OSError):
            _write_all(before)
        raise


def _write_all(files: list[tuple[str, str]]) -> None:
    """Of memory and memory with swap the one may never be above the other: which comes first, one tries."""
    try:
        for file, value in files:
            _write(file, value)
    except OSError:
        for file, value in sorted(files, key=lambda one: "memsw" not in one[0]):
            _write(file, value)


def join(path: str, pid: int) -> None:
    """Move a process into the cgroup, in every hierarchy that has it."""
    for directory in directories(path):
        with suppress(FileNotFoundError):
            _write(f"{directory}/cgroup.procs", str(pid))


def remove(path: str) -> None:
    """Remove an empty cgroup and empty ones below it."""
    for directory in directories(path):
        for below, _, _ in os.walk(directory, topdown=False):
            with suppress(FileNotFoundError):
                os.rmdir(below)


def device_rules(resources: dict[str, Any]) -> list[DeviceRule]:
    """Return what is allowed and denied, the later rule counting; the usual devices come second."""
    rules: list[DeviceRule] = []
    for one in resources.get("devices") or ():
        kind = one.get("type", "a")
        rules.append((one["allow"], kind, one.get("major"), one.get("minor"), one.get("access", "rwm")))
    usual: list[DeviceRule] = [(True, *one) for one in _USUAL_DEVICES]
    return [*rules[:1], *usual, *rules[1:]] if rules else []


def _make_directories(root: str, path: str, *, cpuset: bool = False, hand_down: bool = False) -> None:
    directory = root.rstrip("/")
    for part in path.strip("/").split("/"):
        if hand_down:
            _hand_down_controllers(directory)
        directory += "/" + part
        with suppress(FileExistsError):
            os.mkdir(directory, 0o755)
        if cpuset:
            _inherit_cpuset(directory)


def _hand_down_controllers(directory: str) -> None:
    for controller in _V2_CONTROLLERS:
        with suppress(OSError):  # is not there, or is handed down already
            _write(f"{directory}/cgroup.subtree_control", f"+{controller}")


def _inherit_cpuset(directory: str) -> None:
    """Born empty, nothing could join it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        with suppress(OSError):
            if not _read(f"{directory}/{name}"):
                _write(f"{directory}/{name}", _read(f"{directory}/../{name}"))


def _v1_files(resources: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    for controller, section, pairs in (
        (
            "memory",
            memory,
            (
                ("limit", "memory.limit_in_bytes"),
                ("swap", "memory.memsw.limit_in_bytes"),  # never below the limit before it
                ("reservation", "memory.soft_limit_in_bytes"),
                ("swappiness", "memory.swappiness"),
            ),
        ),
        (
            "cpu",
            cpu,
            (("shares", "cpu.shares"), ("period", "cpu.cfs_period_us"), ("quota", "cpu.cfs_quota_us")),
        ),
        ("cpuset", cpu, (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems"))),
        ("pids", resources.get("pids") or {}, (("limit", "pids.max"),)),
    ):
        for key, file in pairs:
            if key in section:
                unlimited = controller == "pids" and section[key] <= 0
                yield controller, file, "max" if unlimited else str(section[key])


def _v2_files(resources: dict[str, Any]) -> Iterator[tuple[str, str]]:
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    if "limit" in memory:
        yield "memory.max", _or_max(memory["limit"])
    if "swap" in memory:
        # Version 2 counts swap by itself, the specification memory and swap together.
        only_swap = memory["swap"] - memory.get("limit", 0) if memory["swap"] >= 0 else -1
        yield "memory.swap.max", _or_max(only_swap)
    if "reservation" in memory:
        yield "memory.low", _or_max(memory["reservation"])
    if cpu.get("shares"):
        yield "cpu.weight", str(cpu_weight(cpu["shares"]))
    if "quota" in cpu:
        yield "cpu.max", f"{_or_max(cpu['quota'])} {cpu.get('period', 100_000)}"
    for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        if cpu.get(key):
            yield file, cpu[key]
    limit = (resources.get("pids") or {}).get("limit")
    if limit is not None:
        yield "pids.max", _or_max(limit or -1)


def cpu_weight(shares: int) -> int:
    """Return the weight (1 to 10000) of version 2 for shares (2 to 262144) of version 1."""
    return 1 + (max(2, min(262_144, shares)) - 2) * 9999 // 262_142


def _or_max(value: int) -> str:
    return str(value) if value >= 0 else "max"


def _write_device_rules(directory: str, rules: list[DeviceRule]) -> None:
    for allow, kind, major, minor, access in rules:
        numbers = f"{'*' if major is None else major}:{'*' if minor is None else minor}"
        _write(f"{directory}/devices.{'allow' if allow else 'deny'}", f"{kind} {numbers} {access}")


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _write(path: str, value: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {value!r}: {error.strerror}", path) from error
