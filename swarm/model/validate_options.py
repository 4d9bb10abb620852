"""Are the options of a container valid that say how it is confined, limited and named?"""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import DnsConfig, Namespaces, Privileges, ResourceRequirements
from swarm.errors import InvalidArgument
from swarm.model.capabilities import capability_problems
from swarm.model.cpuset import parse_cpuset
from swarm.model.limits import shown
from swarm.model.seccomp import read_profile
from swarm.model.selinux import label_problems
from swarm.model.sysctls import sysctl_problems
from swarm.model.ulimits import ulimit_problems
from swarm.model.user_namespaces import user_namespace_problems

SHARES = range(2, 262_145)
PERIODS_US = range(1_000, 1_000_001)
QUOTA_MIN_US = 1_000
SWAPPINESS_MAX = 100
WEIGHTS = range(10, 1_001)
OOM_SCORES = range(-1_000, 1_001)

_NAMESPACES = ("ipc", "pid", "uts", "cgroup")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_DOMAIN = re.compile(r"\.|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_WORD = re.compile(r"[^\s\0,:]+")
ORDERS = "run.oci."  # how the annotations begin by which crun is told what to do
_RESOLVER_OPTION = re.compile(r"[^\s\0]+")


def option_problems(spec: ContainerSpec) -> Iterator[str]:
    """Yield every problem of the options of a container."""
    for group in spec.groups:
        if not _WORD.fullmatch(group):
            yield f'"{group}" is not the name or number of a group'
    yield from capability_problems("the capabilities to add", spec.capability_add)
    yield from capability_problems("the capabilities to drop", spec.capability_drop)
    yield from _privilege_problems(spec.privileges)
    yield from _namespace_problems(spec)
    yield from sysctl_problems(spec.sysctls, spec.namespaces)
    yield from ulimit_problems(spec.ulimits)
    for entry in spec.hosts:
        if not _HOST_NAME.fullmatch(entry.name):
            yield f'"{shown(entry.name)}" is not a host name for /etc/hosts'
        if not _is_address(entry.address):
            yield f'the host {entry.name} has the address "{shown(entry.address)}", which is no IP address'
    yield from _dns_problems(spec.dns)
    if spec.shm_size_bytes < 0:
        yield "the size of /dev/shm is negative"
    if spec.oom_score_adj not in OOM_SCORES:
        yield f"the OOM score adjustment {spec.oom_score_adj} is not between -1000 and 1000"
    yield from _cgroup_problems(spec.cgroup_parent)
    for key in spec.annotations:
        if not key:
            yield "one of the annotations has no key"
        if key.startswith(ORDERS):
            yield f"the annotation {shown(key)} is an order to the runtime, which only nodes give"


def resource_problems(resources: ResourceRequirements) -> Iterator[str]:
    """Yield every problem of how a container shares processors, memory and disks with others."""
    yield from _cpu_problems(resources)
    swap, memory = resources.memory_swap_bytes, resources.limits.memory_bytes
    if swap < -1:
        yield "the limit of memory and swap is negative; -1 stands for any amount of swap"
    elif swap and not memory:
        yield "a limit of memory and swap needs a memory limit (--limit-memory)"
    elif 0 < swap < memory:
        yield (
            f"the limit of memory and swap together, {swap} bytes, is below that of memory alone, {memory}"
        )
    if resources.memory_swappiness > SWAPPINESS_MAX:
        yield f"the memory swappiness {resources.memory_swappiness} is not between 0 and {SWAPPINESS_MAX}"
    if resources.blkio_weight and resources.blkio_weight not in WEIGHTS:
        yield f"the block I/O weight {resources.blkio_weight} is not between 10 and 1000"
    devices = [one.device for one in resources.block_limits]
    for one in resources.block_limits:
        if not one.device.startswith("/") or devices.count(one.device) > 1:
            yield f'"{shown(one.device)}" is no path of a block device of the node, or is there twice'
        if one.weight and one.weight not in WEIGHTS:
            yield f"the block I/O weight {one.weight} of {shown(one.device)} is not between 10 and 1000"


def _cpu_problems(resources: ResourceRequirements) -> Iterator[str]:
    if resources.cpu_shares and resources.cpu_shares not in SHARES:
        yield f"{resources.cpu_shares} CPU shares are not between 2 and 262144"
    if resources.cpu_period_us and resources.cpu_period_us not in PERIODS_US:
        yield f"the CPU period {resources.cpu_period_us} is not between 1000 and 1000000 microseconds"
    if resources.cpu_period_us and not resources.cpu_quota_us:
        yield "a CPU period says nothing without a CPU quota"
    if resources.cpu_quota_us and resources.cpu_quota_us < QUOTA_MIN_US:
        yield f"the CPU quota {resources.cpu_quota_us} is below 1000 microseconds"
    if resources.limits.nano_cpus and (resources.cpu_quota_us or resources.cpu_period_us):
        yield "a limit of CPUs and a CPU quota or period say the same: choose one"
    for what, text in (("CPUs", resources.cpuset_cpus), ("memory nodes", resources.cpuset_mems)):
        try:
            if text:
                parse_cpuset(text)
        except InvalidArgument as problem:
            yield f"the {what}: {problem}"


def _privilege_problems(privileges: Privileges) -> Iterator[str]:
    seccomp = privileges.seccomp
    if seccomp.mode not in Privileges.Seccomp.Mode.values():
        yield f"{seccomp.mode} is not a seccomp mode (default, unconfined, custom)"
    elif seccomp.mode == Privileges.Seccomp.MODE_CUSTOM:
        try:
            read_profile(seccomp.profile)
        except InvalidArgument as problem:
            yield str(problem)
    elif seccomp.profile:
        yield "a seccomp profile is given, and the mode is not custom"
    if privileges.apparmor and not _WORD.fullmatch(privileges.apparmor.replace(":", "_")):
        yield f'"{shown(privileges.apparmor)}" is not the name of an AppArmor profile'
    yield from label_problems(privileges)


def _namespace_problems(spec: ContainerSpec) -> Iterator[str]:
    namespaces: Namespaces = spec.namespaces
    for kind in _NAMESPACES:
        mode = getattr(namespaces, kind)
        if mode not in {"", "host", "private"}:
            yield f'the {kind} namespace "{shown(mode)}" is neither host nor private'
    yield from user_namespace_problems(spec)
    if namespaces.uts == "host" and spec.hostname:
        yield "a hostname and uts host exclude each other: the container has the node's name"
    if namespaces.ipc == "host" and spec.shm_size_bytes:
        yield "a size of /dev/shm and ipc host exclude each other: the container has the node's"


def _dns_problems(dns: DnsConfig) -> Iterator[str]:
    for server in dns.nameservers:
        if not _is_address(server):
            yield f'"{shown(server)}" is not the IP address of a name server'
    for domain in dns.search:
        if not _DOMAIN.fullmatch(domain):
            yield f'"{shown(domain)}" is not a domain to search in'
    if "." in dns.search and len(dns.search) > 1:
        yield 'the search domain "." stands for none, beside others'
    for option in dns.options:
        if not _RESOLVER_OPTION.fullmatch(option):
            yield f'"{shown(option)}" is not an option of resolv.conf'


def _cgroup_problems(parent: str) -> Iterator[str]:
    parts = [part for part in parent.split("/") if part]
    if parent and (not parts or {".", ".."} & set(parts) or re.search(r"[\s\0]", parent)):
        yield f'the cgroup parent "{shown(parent)}" is not a path such as /batch/night'


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return not re.search(r"[\s\0]", text)
