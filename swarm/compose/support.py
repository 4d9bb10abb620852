"""What becomes of every key of the Compose specification: honoured, warned about, or refused.

A rule counts for everything below its path that has no rule of its own.
`python -m swarm.compose.support` prints the table in docs/compose.md.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from swarm.compose.schema import schema
from swarm.compose.tree import Tree, walk
from swarm.errors import InvalidArgument


class Status(Enum):
    """What becomes of a key."""

    HONOURED = "honoured"
    WARNED = "ignored, with a warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a key, and why."""

    status: Status
    text: str


def _honoured(text: str = "") -> Rule:
    return Rule(Status.HONOURED, text)


def _warned(text: str) -> Rule:
    return Rule(Status.WARNED, text)


def _refused(text: str) -> Rule:
    return Rule(Status.REFUSED, text)


_NOT_YET = _refused("this version has no such option of containers")
_ONE_ONLY = _refused("a hardware address is for one container, and a service may have several")
_NO_BUILD = _refused("build the image yourself, and load or push it: a deploy builds without this")
_BY_NAME = _warned("services in one network reach each other by their names")
_WINDOWS = _warned("it is for Windows")

RULES: dict[str, Rule] = {
    "version": _warned("it says nothing any more"),
    "name": _honoured("the name of the stack, where the command line gives none"),
    "include": _honoured(),
    "models": _refused("models are for Docker Desktop"),
    "networks": _honoured(
        "those that services use become STACK_NAME; an overlay unless driver says otherwise"
    ),
    "networks.*.driver": _honoured("overlay, bridge or macvlan"),
    "networks.*.external": _honoured("it must be there"),
    "networks.*.ipam.driver": _honoured("default only"),
    "networks.*.ipam.options": _refused("the cluster gives addresses, and has no such options"),
    "volumes.*.driver": _honoured("local, or a plugin of the nodes"),
    "volumes.*.driver_opts": _honoured("of local: type, device and o"),
    "volumes.*.external": _honoured("a node that has none makes an empty one"),
    "volumes": _honoured("each node has its own, `STACK_NAME`, made with the first task that needs it"),
    "secrets": _honoured("other content is another version: services that use it are updated"),
    "secrets.*.driver": _honoured("vault, or a plugin of the managers: docs/operations/secret-drivers.md"),
    "configs": _honoured("as secrets"),
    "services": _honoured(),
    "services.*": _honoured("becomes the service STACK_NAME"),
    "services.*.annotations": _honoured("told to the runtime of the containers"),
    "services.*.attach": _warned("it is for `docker compose up`"),
    "services.*.blkio_config": _honoured(),
    "services.*.blkio_config.device_read_bps": _honoured(),
    "services.*.blkio_config.device_read_iops": _honoured(),
    "services.*.blkio_config.device_write_bps": _honoured(),
    "services.*.blkio_config.device_write_iops": _honoured(),
    "services.*.blkio_config.weight_device": _honoured(),
    "services.*.build": _honoured("built where swarmctl runs, and given to the cluster, before the deploy"),
    "services.*.build.additional_contexts": _NO_BUILD,
    "services.*.build.cache_from": _warned("builders keep their own cache"),
    "services.*.build.cache_to": _warned("builders keep their own cache"),
    "services.*.build.entitlements": _NO_BUILD,
    "services.*.build.extra_hosts": _NO_BUILD,
    "services.*.build.isolation": _WINDOWS,
    "services.*.build.network": _NO_BUILD,
    "services.*.build.platforms": _honoured("one of them"),
    "services.*.build.privileged": _NO_BUILD,
    "services.*.build.provenance": _warned("images are built without"),
    "services.*.build.sbom": _warned("images are built without"),
    "services.*.build.secrets": _NO_BUILD,
    "services.*.build.shm_size": _NO_BUILD,
    "services.*.build.ssh": _NO_BUILD,
    "services.*.build.ulimits": _NO_BUILD,
    "services.*.cap_add": _honoured(),
    "services.*.cap_drop": _honoured(),
    "services.*.cgroup": _honoured(),
    "services.*.cgroup_parent": _honoured("a cgroup that the node has"),
    "services.*.command": _honoured(),
    "services.*.configs": _honoured(),
    "services.*.container_name": _warned("tasks have names of their own, SERVICE.SLOT.ID"),
    "services.*.cpu_count": _WINDOWS,
    "services.*.cpu_percent": _WINDOWS,
    "services.*.cpu_period": _honoured(),
    "services.*.cpu_quota": _honoured(),
    "services.*.cpu_rt_period": _NOT_YET,
    "services.*.cpu_rt_runtime": _NOT_YET,
    "services.*.cpu_shares": _honoured(),
    "services.*.cpus": _honoured("as deploy.resources.limits.cpus"),
    "services.*.cpuset": _honoured(),
    "services.*.credential_spec": _WINDOWS,
    "services.*.depends_on": _honoured("also after an outage of everything"),
    "services.*.depends_on.*.restart": _warned("a service does not restart because another one is updated"),
    "services.*.deploy": _honoured(),
    "services.*.deploy.endpoint_mode": _honoured("vip or dnsrr"),
    "services.*.deploy.mode": _honoured("replicated, global, replicated-job, global-job"),
    "services.*.deploy.resources.reservations.devices": _honoured("by CDI, as gpus"),
    "services.*.deploy.resources.reservations.devices.capabilities": _honoured(
        "gpu must be among them; a device is given with all that it can do"
    ),
    "services.*.deploy.resources.reservations.devices.options": _refused("CDI knows no options"),
    "services.*.develop": _warned("it is for `docker compose watch`"),
    "services.*.device_cgroup_rules": _NOT_YET,
    "services.*.devices": _honoured("paths, and CDI names"),
    "services.*.dns": _honoured(),
    "services.*.dns_opt": _honoured(),
    "services.*.dns_search": _honoured(),
    "services.*.domainname": _warned("containers have a host name only"),
    "services.*.entrypoint": _honoured(),
    "services.*.env_file": _honoured(),
    "services.*.environment": _honoured(),
    "services.*.expose": _warned("it says nothing: who reaches a task reaches all its ports"),
    "services.*.extends": _honoured(),
    "services.*.external_links": _BY_NAME,
    "services.*.extra_hosts": _honoured(),
    "services.*.gpus": _honoured("whole GPUs, by CDI"),
    "services.*.gpus.capabilities": _honoured("whatever it says: a device is given with all that it can do"),
    "services.*.gpus.options": _refused("CDI knows no options"),
    "services.*.group_add": _honoured(),
    "services.*.healthcheck": _honoured("also by HTTP and TCP"),
    "services.*.hostname": _honoured(),
    "services.*.image": _honoured("one that is built is STACK-NAME without it"),
    "services.*.init": _honoured(),
    "services.*.ipc": _honoured("host or private"),
    "services.*.isolation": _WINDOWS,
    "services.*.label_file": _honoured(),
    "services.*.labels": _honoured("of the containers"),
    "services.*.links": _BY_NAME,
    "services.*.logging": _honoured(
        "max-size and max-file; other options and drivers are ignored, with a warning"
    ),
    "services.*.mac_address": _ONE_ONLY,
    "services.*.mem_limit": _honoured("as deploy.resources.limits.memory"),
    "services.*.mem_reservation": _honoured("as deploy.resources.reservations.memory"),
    "services.*.mem_swappiness": _honoured(),
    "services.*.memswap_limit": _honoured(),
    "services.*.models": _refused("models are for Docker Desktop"),
    "services.*.network_mode": _honoured("host, none and bridge"),
    "services.*.networks": _honoured(
        "without any, the service is in STACK_default; its short name is an alias"
    ),
    "services.*.networks.*.gw_priority": _warned(
        "the way out of a task leads through its node, not a network"
    ),
    "services.*.networks.*.interface_name": _NOT_YET,
    "services.*.networks.*.ipv4_address": _honoured("where there is one task at a time"),
    "services.*.networks.*.ipv6_address": _honoured("where there is one task at a time"),
    "services.*.networks.*.link_local_ips": _NOT_YET,
    "services.*.networks.*.mac_address": _ONE_ONLY,
    "services.*.networks.*.priority": _honoured("their order"),
    "services.*.oom_kill_disable": _NOT_YET,
    "services.*.oom_score_adj": _honoured(),
    "services.*.pid": _honoured("host or private"),
    "services.*.pids_limit": _honoured("as deploy.resources.limits.pids"),
    "services.*.platform": _honoured("tasks go to such nodes only"),
    "services.*.ports": _honoured("an entry for every port of a range"),
    "services.*.ports.host_ip": _honoured("an address of the node, or a CIDR"),
    "services.*.ports.app_protocol": _warned("ports are passed on as they are"),
    "services.*.post_start": _NOT_YET,
    "services.*.pre_stop": _NOT_YET,
    "services.*.privileged": _honoured(),
    "services.*.profiles": _honoured("with --profile, or COMPOSE_PROFILES"),
    "services.*.provider": _refused("a service is a container"),
    "services.*.pull_policy": _warned("a node pulls what it does not have; tags are pinned when deployed"),
    "services.*.pull_refresh_after": _warned("tags are pinned when deployed"),
    "services.*.read_only": _honoured(),
    "services.*.restart": _honoured("where there is no deploy.restart_policy"),
    "services.*.runtime": _NOT_YET,
    "services.*.scale": _honoured("where there is no deploy.replicas"),
    "services.*.secrets": _honoured(),
    "services.*.security_opt": _honoured("a seccomp profile travels with the service"),
    "services.*.shm_size": _honoured(),
    "services.*.stdin_open": _warned("tasks have no standard input"),
    "services.*.stop_grace_period": _honoured(),
    "services.*.stop_signal": _honoured(),
    "services.*.storage_opt": _NOT_YET,
    "services.*.sysctls": _honoured("those that containers have for themselves"),
    "services.*.tmpfs": _honoured(),
    "services.*.tty": _honoured(),
    "services.*.ulimits": _honoured("clamped to what the node grants, with a warning"),
    "services.*.use_api_socket": _refused("tasks have no access to the cluster"),
    "services.*.user": _honoured(),
    "services.*.userns_mode": _honoured("host, private, private:SIZE"),
    "services.*.uts": _honoured("host or private"),
    "services.*.volumes": _honoured(
        "volumes, binds, tmpfs, images, and cluster volumes, which must be there"
    ),
    "services.*.volumes.bind.recursive": _refused("this version has no such option of mounts"),
    "services.*.volumes.bind.selinux": _honoured("z or Z, on nodes with SELinux"),
    "services.*.volumes.consistency": _warned("it is for Docker Desktop"),
    "services.*.volumes.image": _honoured("`subpath`: what of the image is mounted, read-only"),
    "services.*.volumes.volume.subpath": _honoured("it must be there; nothing is copied into it"),
    "services.*.volumes_from": _refused("tasks of other services may be on other nodes"),
    "services.*.working_dir": _honoured(),
}


def rule_for(path: Sequence[str]) -> Rule | None:
    """Return the rule for a key; its path has `*` for names. None for `x-…`, which may stand anywhere."""
    if any(step.startswith("x-") for step in path):
        return None
    for length in range(len(path), 0, -1):
        rule = RULES.get(".".join(path[:length]))
        if rule is not None:
            return rule
    return None


def check_support(tree: Tree) -> list[str]:
    """Return a warning for what is ignored; raises InvalidArgument for the first thing that is refused."""
    warnings: dict[str, None] = {}
    for path, entry in _used(tree):
        rule = rule_for(path)
        if rule is None or rule.status is Status.HONOURED or _is_below_rule(path):
            continue
        place = entry.key_place or entry.place
        if rule.status is Status.REFUSED:
            raise InvalidArgument(f"{place}: {path[-1]} is not supported: {rule.text}")
        warnings[f"{place}: {path[-1]} is ignored: {rule.text}"] = None
    return list(warnings)


def _is_below_rule(path: Sequence[str]) -> bool:
    """Whether the rule for `path` was met already, at the key above it."""
    return len(path) > 1 and ".".join(path) not in RULES and rule_for(path) is rule_for(path[:-1])


def _used(tree: Tree) -> Iterator[tuple[tuple[str, ...], Tree]]:
    """Yield every key that says something, with `*` in place of names and nothing for items of lists."""
    for path, entry in walk(tree):
        if entry.value in (None, [], {}) or path[-1] == "*":
            continue
        yield general_path(path), entry


# Mappings whose keys are names that people choose.
_NAMED = {
    ("services",), ("networks",), ("volumes",), ("secrets",), ("configs",), ("models",),
    ("services", "*", "depends_on"), ("services", "*", "networks"), ("services", "*", "environment"),
    ("services", "*", "labels"), ("services", "*", "annotations"), ("services", "*", "sysctls"),
    ("services", "*", "extra_hosts"), ("services", "*", "ulimits"), ("services", "*", "deploy", "labels"),
    ("services", "*", "models"), ("services", "*", "logging", "options"),
    ("services", "*", "build", "args"), ("services", "*", "build", "labels"),
}  # fmt: skip


def general_path(path: Sequence[str]) -> tuple[str, ...]:
    """Return the path by which rules know a key: `*` for names, nothing for the `*` of items."""
    found: tuple[str, ...] = ()
    for step in path:
        if step == "*":
            continue  # an item of a list
        found = (*found, "*" if found in _NAMED else step)
    return found


def schema_keys() -> list[tuple[str, ...]]:
    """Return the path of every key of the specification, with `*` for names."""
    found: dict[tuple[str, ...], None] = {}
    _collect(schema(), (), found)
    return sorted(found)


def _collect(part: dict[str, Any], path: tuple[str, ...], found: dict[tuple[str, ...], None]) -> None:
    while "$ref" in part:
        part = schema()["definitions"][part["$ref"].rpartition("/")[2]]
    for kind in ("oneOf", "anyOf", "allOf"):
        for one in part.get(kind, ()):
            _collect(one, path, found)
    for key, value in part.get("properties", {}).items():
        found[(*path, key)] = None
        _collect(value, (*path, key), found)
    for pattern, value in part.get("patternProperties", {}).items():
        if pattern != "^x-" and isinstance(value, dict):
            found[(*path, "*")] = None
            _collect(value, (*path, "*"), found)
    if isinstance(part.get("items"), dict):
        _collect(part["items"], path, found)


def table() -> str:
    """Return the rules as a table in Markdown, in the order of the schema's keys."""
    rules = ((key, RULES.get(".".join(key))) for key in schema_keys())
    rows = [
        f"| `{'.'.join(key).replace('*', 'NAME')}` | {rule.status.value} | {rule.text} |"
        for key, rule in rules
        if rule is not None
    ]
    return "\n".join(["| key | | |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
