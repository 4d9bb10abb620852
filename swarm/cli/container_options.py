"""Options of a service that say how its containers are confined, limited and named."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.api.v1.types_pb2 import HostEntry, Ulimit
from swarm.cli.not_there import tell_not_there
from swarm.errors import InvalidArgument
from swarm.model.capabilities import normal
from swarm.model.limits import SECCOMP_PROFILE_BYTES
from swarm.model.security_options import clear_security, set_security
from swarm.model.ulimits import parse_ulimit
from swarm.model.units import parse_bytes

Given = dict[str, Any]

RESET = "RESET"

RESOURCES = (
    click.option("--cpu-shares", type=click.IntRange(min=0), help="Weight beside others, who have 1024."),
    click.option("--cpu-quota", type=click.IntRange(min=0), help="Microseconds of a period (0: no limit)."),
    click.option("--cpu-period", type=click.IntRange(min=0), help="Its length in microseconds (100000)."),
    click.option("--cpuset-cpus", help="CPUs to run on, e.g. 0-3,6 ('': any)."),
    click.option("--cpuset-mems", help="Memory nodes to use, e.g. 0,1 ('': any)."),
    click.option("--memory-swap", help="Most memory and swap together, e.g. 1g; -1: any swap; 0: usual."),
    click.option("--memory-swappiness", type=int, help="0 to 100; -1: as the node has it."),
    click.option("--blkio-weight", type=click.IntRange(min=0), help="Share of disks, 10 to 1000 (0: none)."),
)
SINGLE = (
    click.option(
        "--privileged/--no-privileged", default=None, help="Nothing is forbidden: as root on the node."
    ),
    click.option("--shm-size", help="Size of /dev/shm, e.g. 128m (0: the usual 64m)."),
    click.option("--ipc", help="host: share shared memory with the node; private: not."),
    click.option("--pid", help="host: see and signal the processes of the node; private: not."),
    click.option("--uts", help="host: have the node's host name; private: one of its own."),
    click.option("--userns", help="host: the users of the node; private[:SIZE]: 65536 or SIZE of its own."),
    click.option("--cgroupns", help="host: see the cgroups of the node; private: not."),
    click.option("--cgroup-parent", help="Cgroup of the node to be in, e.g. /batch ('': the usual one)."),
    click.option("--oom-score-adj", type=int, help="Be killed sooner (1000) or later (-1000) than others."),
    *RESOURCES,
)

LISTS = (
    ("--group", "One more group of the process, by name or number."),
    ("--sysctl", "Kernel parameter of the container, KEY=VALUE."),
    ("--ulimit", "Limit of each process, NAME=SOFT[:HARD], e.g. nofile=1024:2048."),
    ("--host", "Line of /etc/hosts, NAME:ADDRESS."),
    ("--dns", "Name server, by its address."),
    ("--dns-search", "Domain to search names in ('.': none)."),
    ("--dns-option", "Option of resolv.conf, e.g. ndots:2."),
    (
        "--security-opt",
        "no-new-privileges[=false], seccomp=unconfined|default|FILE, apparmor=PROFILE, "
        "systempaths=unconfined, label=disable, label=nested, label=user:U, …=role:R, …=type:T, …=level:L.",
    ),
)
REMOVES = (
    ("--group-rm", "Group to remove."),
    ("--sysctl-rm", "Kernel parameter to remove, by KEY."),
    ("--ulimit-rm", "Ulimit to remove, by NAME."),
    ("--host-rm", "Host to remove, by NAME or NAME:ADDRESS."),
    ("--dns-rm", "Name server to remove."),
    ("--dns-search-rm", "Search domain to remove."),
    ("--dns-option-rm", "Option of resolv.conf to remove."),
    ("--security-opt-rm", "Security option to remove, by its name."),
)
# `service update` has them under the same names, as in Docker.
CAPABILITIES = (
    ("--cap-add", "Linux capability to add, e.g. NET_ADMIN, or ALL (RESET: none any more)."),
    ("--cap-drop", "Linux capability to drop, e.g. MKNOD, or ALL (RESET: none any more)."),
)


def apply_container_options(spec: ServiceSpec, given: Given) -> None:
    """Write the options that were given into `spec`; raises InvalidArgument."""
    container = spec.task.container
    if given.get("privileged") is not None:
        container.privileges.privileged = given["privileged"]
    if given.get("oom_score_adj") is not None:
        container.oom_score_adj = given["oom_score_adj"]
    _set_or_clear(container, "shm_size_bytes", given.get("shm_size"), parse_bytes)
    _set_or_clear(container, "cgroup_parent", given.get("cgroup_parent"), str)
    for option, field in (
        ("ipc", "ipc"),
        ("pid", "pid"),
        ("uts", "uts"),
        ("userns", "userns"),
        ("cgroupns", "cgroup"),
    ):
        if given.get(option) is not None:
            setattr(container.namespaces, field, given[option])
    _apply_capabilities(container, given)
    _apply_shares(spec, given)


def add_container_lists(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--sysctl`, `--ulimit`, … gave; with suffix `_add` it replaces what it matches."""
    container = spec.task.container
    for text in given[f"group{suffix}"]:
        _append_once(container.groups, text)
    for text in given[f"sysctl{suffix}"]:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidArgument(f'--sysctl "{text}": write KEY=VALUE, e.g. net.core.somaxconn=1024')
        container.sysctls[key] = value
    for text in given[f"ulimit{suffix}"]:
        limit = parse_ulimit(text)
        _keep(container.ulimits, partial(_is_not, limit.name))
        container.ulimits.append(limit)
    for text in given[f"host{suffix}"]:
        entry = _host(text)
        if entry not in container.hosts:
            container.hosts.append(entry)
    for option, field in _DNS.items():
        for text in given[f"{option}{suffix}"]:
            _append_once(getattr(container.dns, field), text)
    for text in given[f"security_opt{suffix}"]:
        set_security(container.privileges, text, _profile)


def remove_container_lists(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--sysctl-rm`, `--ulimit-rm`, … named; what is not there is told."""
    container = spec.task.container
    for text in given["sysctl_rm"]:
        if text in container.sysctls:
            del container.sysctls[text]
        else:
            tell_not_there("--sysctl-rm", text)
    _remove("--group-rm", given["group_rm"], container.groups, lambda old: (old,))
    _remove("--ulimit-rm", given["ulimit_rm"], container.ulimits, lambda old: (old.name,))
    _remove(
        "--host-rm",
        given["host_rm"],
        container.hosts,
        lambda old: (old.name, f"{old.name}:{old.address}", f"{old.name}={old.address}"),
    )
    for option, field in _DNS.items():
        wanted = given[f"{option}_rm"]
        if wanted:
            flag = f"--{option.replace('_', '-')}-rm"
            _remove(flag, wanted, getattr(container.dns, field), lambda old: (old,))
    for text in given["security_opt_rm"]:
        clear_security(container.privileges, text)


_DNS = {"dns": "nameservers", "dns_search": "search", "dns_option": "options"}


# Capabilities.


def _apply_capabilities(container: ContainerSpec, given: Given) -> None:
    """What is added is not dropped any more, and the other way round."""
    for option, to, other in (
        ("cap_add", container.capability_add, container.capability_drop),
        ("cap_drop", container.capability_drop, container.capability_add),
    ):
        for text in given.get(option) or ():
            name = normal(text)
            if text.upper() == RESET:
                del to[:]
                continue
            if name in other and name not in _named(given, option):
                _keep(other, name.__ne__)
            _append_once(to, name)


def _named(given: Given, option: str) -> set[str]:
    """Return what this very command gives to the other list: to say both is the user's own affair."""
    other = "cap_drop" if option == "cap_add" else "cap_add"
    return {normal(text) for text in given.get(other) or ()}


# Shares and bounds.


def _apply_shares(spec: ServiceSpec, given: Given) -> None:
    resources = spec.task.resources if _asks_for_shares(given) else None
    if resources is None:
        return
    for option, field in (
        ("cpu_shares", "cpu_shares"),
        ("cpu_quota", "cpu_quota_us"),
        ("cpu_period", "cpu_period_us"),
        ("blkio_weight", "blkio_weight"),
    ):
        _set_or_clear(resources, field, given.get(option), int)
    for option in ("cpuset_cpus", "cpuset_mems"):
        _set_or_clear(resources, option, given.get(option), str)
    _set_or_clear(resources, "memory_swap_bytes", given.get("memory_swap"), _swap)
    swappiness = given.get("memory_swappiness")
    if swappiness is not None and swappiness < 0:
        resources.ClearField("memory_swappiness")
    elif swappiness is not None:
        resources.memory_swappiness = swappiness


def _asks_for_shares(given: Given) -> bool:
    options = ("cpu_shares", "cpu_quota", "cpu_period", "blkio_weight", "cpuset_cpus", "cpuset_mems")
    return any(given.get(one) is not None for one in (*options, "memory_swap", "memory_swappiness"))


def _swap(text: str) -> int:
    return -1 if text == "-1" else parse_bytes(text)


# Lists.


def _profile(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            # One more than is accepted: the manager refuses it by the name of the limit.
            return file.read(SECCOMP_PROFILE_BYTES.value + 1)
    except OSError as error:
        raise InvalidArgument(f"--security-opt seccomp={path}: {error.strerror}") from None


def _host(text: str) -> HostEntry:
    name, separator, address = text.partition("=" if "=" in text else ":")
    if not name or not separator:
        raise InvalidArgument(f'--host "{text}": write NAME:ADDRESS, e.g. db:10.0.0.5')
    return HostEntry(name=name, address=address.removeprefix("[").removesuffix("]"))


def _set_or_clear(message: Any, field: str, value: Any, read: Callable[[Any], Any]) -> None:
    """Write a value that was given; zero and nothing stand for what is usual."""
    if value is None:
        return
    if read(value):
        setattr(message, field, read(value))
    else:
        message.ClearField(field)


def _append_once(items: Any, item: str) -> None:
    if item not in items:
        items.append(item)


def _keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [item for item in items if wanted(item)]
    if len(kept) < len(items):
        del items[:]
        items.extend(kept)


def _is_not(name: str, limit: Ulimit) -> bool:
    return limit.name != name


def _lacks(text: str, names: Callable[[Any], tuple[str, ...]], item: Any) -> bool:
    return text not in names(item)


def _remove(option: str, wanted: Any, items: Any, names: Callable[[Any], tuple[str, ...]]) -> None:
    for text in wanted:
        if not any(text in names(item) for item in items):
            tell_not_there(option, text)
        _keep(items, partial(_lacks, text, names))
