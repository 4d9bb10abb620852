"""How the containers of a Compose service are confined, limited and named."""

from collections.abc import Callable

from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.api.v1.types_pb2 import BlockLimit
from swarm.compose import values
from swarm.compose.project import Read
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument, NotFound
from swarm.model.capabilities import normal
from swarm.model.security_options import set_security
from swarm.model.ulimits import parse_ulimit


def _swap(entry: Tree) -> int:
    return -1 if values.text(entry) == "-1" else values.size_bytes(entry)


_NAMESPACES = {"ipc": "ipc", "pid": "pid", "uts": "uts", "userns_mode": "userns", "cgroup": "cgroup"}
_BLOCK = (
    ("weight_device", "weight", "weight", values.number),
    ("device_read_bps", "read_bps", "rate", values.size_bytes),
    ("device_write_bps", "write_bps", "rate", values.size_bytes),
    ("device_read_iops", "read_iops", "rate", values.number),
    ("device_write_iops", "write_iops", "rate", values.number),
)
_SHARES: dict[str, tuple[str, Callable[[Tree], object]]] = {
    "cpu_shares": ("cpu_shares", values.number),
    "cpu_quota": ("cpu_quota_us", lambda entry: max(0, values.integer(entry))),  # -1: no limit
    "cpu_period": ("cpu_period_us", values.number),
    "cpuset": ("cpuset_cpus", values.text),
    "memswap_limit": ("memory_swap_bytes", _swap),
}


def apply_container_options(spec: ServiceSpec, service: Tree, read: Read) -> None:
    """Write the options of the containers of a service; `read` returns files that they name."""
    container = spec.task.container
    for key, field in _NAMESPACES.items():
        if (entry := _said(service, key)) is not None:
            setattr(container.namespaces, field, values.text(entry))
    for key, (field, value) in _SHARES.items():
        if (entry := _said(service, key)) is not None and value(entry):
            setattr(spec.task.resources, field, value(entry))
    if (swappiness := _said(service, "mem_swappiness")) is not None:
        spec.task.resources.memory_swappiness = values.number(swappiness)
    if (weight := _said(service, "blkio_config", "weight")) is not None:
        spec.task.resources.blkio_weight = values.number(weight)
    _block_limits(spec, service)
    if (size := _said(service, "shm_size")) is not None:
        container.shm_size_bytes = values.size_bytes(size)
    if (score := _said(service, "oom_score_adj")) is not None:
        container.oom_score_adj = values.integer(score)
    if (parent := _said(service, "cgroup_parent")) is not None:
        container.cgroup_parent = values.text(parent)
    container.groups.extend(values.texts(service.get("group_add")))
    container.annotations.update(values.mapping(service.get("annotations")))
    container.sysctls.update(values.mapping(service.get("sysctls")))
    _names(container, service)
    _ulimits(container, service)
    _privileges(container, service, read)


def _block_limits(spec: ServiceSpec, service: Tree) -> None:
    found: dict[str, BlockLimit] = {}
    for key, field, number, value in _BLOCK:
        entry = _said(service, "blkio_config", key)
        for one in entry.items if entry is not None else ():
            path, rate = one.get("path"), one.get(number)
            if path is not None and rate is not None:
                device = values.text(path)
                setattr(found.setdefault(device, BlockLimit(device=device)), field, value(rate))
    if found:
        spec.task.resources.block_limits.extend(found.values())


def _said(service: Tree, *path: str) -> Tree | None:
    entry = service.get(*path)
    return entry if entry is not None and entry.value is not None else None


def _names(container: ContainerSpec, service: Tree) -> None:
    """What the containers call others, and whom they ask for names."""
    hosts = service.get("extra_hosts")
    for name, entry in (hosts.entries if hosts is not None else {}).items():
        for address in entry.items or [entry]:
            text = values.text(address).removeprefix("[").removesuffix("]")
            container.hosts.add(name=name, address=text)
    for key, field in (("dns", "nameservers"), ("dns_search", "search"), ("dns_opt", "options")):
        texts = values.texts(service.get(key))
        if texts:
            getattr(container.dns, field).extend(texts)


def _ulimits(container: ContainerSpec, service: Tree) -> None:
    limits = service.get("ulimits")
    for name, entry in (limits.entries if limits is not None else {}).items():
        soft, hard = (entry.entries.get(key, entry) for key in ("soft", "hard"))
        try:
            container.ulimits.append(parse_ulimit(f"{name}={values.text(soft)}:{values.text(hard)}"))
        except InvalidArgument as problem:
            raise entry.problem(str(problem)) from None


def _privileges(container: ContainerSpec, service: Tree, read: Read) -> None:
    if (privileged := _said(service, "privileged")) is not None:
        container.privileges.privileged = values.truth(privileged)
    container.capability_add.extend(map(normal, values.texts(service.get("cap_add"))))
    container.capability_drop.extend(map(normal, values.texts(service.get("cap_drop"))))
    for item in (service.get("security_opt") or service.having([])).items:
        try:
            set_security(container.privileges, values.text(item), lambda path: read(path).encode())
        except (InvalidArgument, NotFound) as problem:
            raise item.problem(str(problem)) from None
