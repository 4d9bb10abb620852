"""Is a machine fit for containers and clusters? Findings with what mends them; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarm.firewalls.closed import closed, read_signs
from swarm.machine.errors import MachineError
from swarm.machine.plan import CLOCK_SKEW_MAX_S, PACKAGES

MEMORY_MIN_MB = 256
DISK_FREE_MIN_MB = 1024
DISK_PERCENT_MAX = 85  # from here on a node removes unused images
OLDEST_KERNEL = (4, 18)
CONTROLLERS = ("cpu", "memory", "pids")
# What other nodes have to reach, unless the cluster was made with other ports.
NODE_PORTS = {
    "2377/tcp": "managers",
    "4789/udp": "networks between nodes",
    "4788/udp": "encrypted networks between nodes",
}
_MODULES = {
    "overlay": "containers need it for their files",
    "veth": "containers need it for their networks",
    "bridge": "networks of containers need it",
    "vxlan": "networks between nodes need it",
    "nf_tables": "published ports need it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `level` is ok, warning or bad, `fix` what to do."""

    level: str
    what: str
    fix: str = ""


# By port: what it means when another program has it (docs/operations/ports.md).
_TAKEN = {
    "2377": Finding(
        "bad",
        "port 2377 is taken by another program",
        "ss -tlnp sport = 2377 names it; of Docker's swarm mode: docker swarm leave",
    ),
    "9323": Finding(
        "warning",
        "port 9323 is taken by another program: there are no metrics then",
        "ss -tlnp sport = 9323 names it; or another metrics_addr in /etc/swarm/swarmd.toml",
    ),
    **{
        port: Finding(
            "warning",
            f"UDP port {port} is in use: {kind} networks between nodes do not work",
            f"ss -ulnp sport = {port} names it; of Docker's swarm mode: docker swarm leave; or give the "
            f"cluster another one: swarmctl init {option}",
        )
        for port, kind, option in (
            ("4789", "overlay", "--data-path-port"),
            ("4788", "encrypted", "--encrypted-data-path-port"),
        )
    },
}


def parse_signs(text: str) -> dict[str, list[str]]:
    """Return what `scripts/doctor.sh` printed; raises MachineError when it is cut."""
    found = read_signs(text)
    if "end" not in found:
        raise MachineError("the answer is cut or unreadable: " + " ".join(text.split())[-200:])
    return found


def examine(
    signs: Mapping[str, Sequence[str]], now_s: int, ports: Sequence[str] = tuple(NODE_PORTS)
) -> list[Finding]:
    """Return what was found, in the order in which one would mend it.

    `ports` (PORT/PROTOCOL) are those that other nodes have to reach.
    """
    return [
        *_kernel(signs),
        *_cgroups(signs),
        *_programs(signs),
        *_ports(signs),
        *_firewalls(signs, ports),
        *_clock(signs, now_s),
        *_room(signs),
    ]


def _one(signs: Mapping[str, Sequence[str]], key: str) -> str:
    values = signs.get(key) or [""]
    return values[0]


def _number(signs: Mapping[str, Sequence[str]], key: str) -> int:
    text = _one(signs, key)
    return int(text) if text.isascii() and text.isdigit() else 0


def _kernel(signs: Mapping[str, Sequence[str]]) -> list[Finding]:
    release = _one(signs, "kernel")
    numbers = [int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit()]
    found = []
    if len(numbers) == 2 and tuple(numbers) < OLDEST_KERNEL:
        found.append(Finding("bad", f"kernel {release} is older than 4.18", "upgrade the distribution"))
    found += [
        Finding(
            "bad",
            f"kernel module {module} is missing: {_MODULES.get(module, '')}",
            f"modprobe {module}; if there is none, install the distribution's full kernel",
        )
        for module in signs.get("no_module", ())
    ]
    found += [
        Finding("bad", f"the kernel has no {space} namespaces", "use the distribution's kernel")
        for space in signs.get("no_namespace", ())
    ]
    return found or [Finding("ok", f"kernel {release}")]


def _cgroups(signs: Mapping[str, Sequence[str]]) -> list[Finding]:
    version, there = _one(signs, "cgroup"), _one(signs, "controllers").split()
    lacking = [name for name in CONTROLLERS if name not in there]
    if lacking:
        fix = "boot with cgroup_enable=memory" if "memory" in lacking else "enable them for the kernel"
        return [Finding("bad", f"cgroup controllers {', '.join(lacking)} are missing", fix)]
    if version == "1":
        fix = "boot with systemd.unified_cgroup_hierarchy=1"
        return [Finding("warning", "cgroups of version 1: some limits do not work", fix)]
    return [Finding("ok", f"cgroup version {version}")]


def _programs(signs: Mapping[str, Sequence[str]]) -> list[Finding]:
    missing, manager = signs.get("missing", ()), _one(signs, "packages")
    if not missing:
        return [Finding("ok", "programs that run containers")]
    names = PACKAGES.get(manager, {})
    packages = [names.get(program, program) for program in missing]
    fix = (
        f"{manager} install {' '.join(packages)}" if manager in PACKAGES else f"install {' '.join(packages)}"
    )
    return [Finding("warning", f"{', '.join(missing)} is not installed", fix)]


def _ports(signs: Mapping[str, Sequence[str]]) -> list[Finding]:
    taken = () if _one(signs, "active") == "active" else signs.get("listens", ())
    found = [finding for port, finding in _TAKEN.items() if port in taken]
    return found or [Finding("ok", "no other program has the ports of a node")]


def _firewalls(signs: Mapping[str, Sequence[str]], ports: Sequence[str]) -> list[Finding]:
    if "firewalls" not in signs:
        return [Finding("ok", "firewalls were not looked at: that takes root")]
    found = [
        Finding(
            "warning",
            f"{one.firewall} closes {one.port}, which other nodes need"
            f"{f' for {NODE_PORTS[one.port]}' if one.port in NODE_PORTS else ''} ({one.why})",
            one.fix,
        )
        for one in closed(signs, ports)
    ]
    return found or [Finding("ok", f"no firewall of this machine closes {', '.join(ports)}")]


def _clock(signs: Mapping[str, Sequence[str]], now_s: int) -> list[Finding]:
    skew = _number(signs, "now") - now_s
    if abs(skew) > CLOCK_SKEW_MAX_S:
        away = f"{abs(skew)} s {'ahead' if skew > 0 else 'behind'}"
        return [
            Finding("bad", f"the clock is {away}: certificates are not valid", "timedatectl set-ntp true")
        ]
    if _one(signs, "synchronized") == "no":
        return [Finding("warning", "the clock is set by nobody", "timedatectl set-ntp true")]
    return [Finding("ok", "clock")]


def _room(signs: Mapping[str, Sequence[str]]) -> list[Finding]:
    found = []
    memory_mb, free_mb = _number(signs, "memory_kb") >> 10, _number(signs, "disk_free_kb") >> 10
    if memory_mb < MEMORY_MIN_MB:
        found.append(
            Finding("bad", f"{memory_mb} MB of memory; {MEMORY_MIN_MB} MB are needed", "add memory")
        )
    full = max(_number(signs, "disk_percent"), _number(signs, "inodes_percent"))
    if free_mb < DISK_FREE_MIN_MB:
        found.append(
            Finding("bad", f"{free_mb} MB are free for /var/lib/swarm", "make room, or mount a disk there")
        )
    elif full >= DISK_PERCENT_MAX:
        found.append(
            Finding("warning", f"the disk of /var/lib/swarm is {full}% full", "swarmctl system prune")
        )
    return found or [Finding("ok", f"{memory_mb} MB of memory, {free_mb} MB of disk free")]
