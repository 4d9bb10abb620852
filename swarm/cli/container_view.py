"""The options of a container as `inspect` shows them, in the words of Docker where it has them."""

from base64 import b64encode
from typing import Any

from swarm.api.v1 import specs_pb2 as s
from swarm.api.v1 import types_pb2 as t

View = dict[str, Any]

_NAMESPACES = {
    "IpcMode": "ipc",
    "PidMode": "pid",
    "UTSMode": "uts",
    "UsernsMode": "userns",
    "CgroupnsMode": "cgroup",
}
_SHARES = {
    "CPUShares": "cpu_shares",
    "CPUQuota": "cpu_quota_us",
    "CPUPeriod": "cpu_period_us",
    "CpusetCpus": "cpuset_cpus",
    "CpusetMems": "cpuset_mems",
    "MemorySwap": "memory_swap_bytes",
    "MemorySwappiness": "memory_swappiness",
    "BlkioWeight": "blkio_weight",
}
_BLOCK = (
    ("BlkioWeightDevice", "weight", "Weight"),
    ("BlkioDeviceReadBps", "read_bps", "Rate"),
    ("BlkioDeviceWriteBps", "write_bps", "Rate"),
    ("BlkioDeviceReadIOps", "read_iops", "Rate"),
    ("BlkioDeviceWriteIOps", "write_iops", "Rate"),
)
_SECCOMP = {
    t.Privileges.Seccomp.MODE_DEFAULT: "default",
    t.Privileges.Seccomp.MODE_UNCONFINED: "unconfined",
    t.Privileges.Seccomp.MODE_CUSTOM: "custom",
}


def container_options(spec: s.ContainerSpec) -> View:
    """Return the options of a container; what the user did not say is absent."""
    view: View = {
        "Groups": list(spec.groups),
        "Privileges": _privileges(spec.privileges),
        "CapabilityAdd": list(spec.capability_add),
        "CapabilityDrop": list(spec.capability_drop),
        "Sysctls": dict(sorted(spec.sysctls.items())),
        "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in spec.ulimits],
        "Hosts": [f"{one.address} {one.name}" for one in spec.hosts],
        "DNSConfig": _dns(spec.dns),
        "CgroupParent": spec.cgroup_parent,
        "Annotations": dict(sorted(spec.annotations.items())),
    }
    view |= {key: getattr(spec.namespaces, field) for key, field in _NAMESPACES.items()}
    view = {key: value for key, value in view.items() if value}
    if spec.HasField("shm_size_bytes"):
        view["ShmSizeBytes"] = spec.shm_size_bytes
    if spec.HasField("oom_score_adj"):
        view["OomScoreAdj"] = spec.oom_score_adj
    return view


def resource_options(resources: t.ResourceRequirements) -> View:
    """Return how a container shares processors, memory and disks with others."""
    view: View = {
        key: getattr(resources, field) for key, field in _SHARES.items() if resources.HasField(field)
    }
    for key, field, what in _BLOCK:
        listed = [{"Path": one.device, what: getattr(one, field)} for one in resources.block_limits]
        if found := [one for one in listed if one[what]]:
            view[key] = found
    return view


def _privileges(given: t.Privileges) -> View:
    view: View = {}
    if given.privileged:
        view["Privileged"] = True
    if given.HasField("no_new_privileges"):
        view["NoNewPrivileges"] = given.no_new_privileges
    if given.HasField("seccomp"):
        view["Seccomp"] = {"Mode": _SECCOMP.get(given.seccomp.mode, str(given.seccomp.mode))}
        if given.seccomp.profile:
            view["Seccomp"]["Profile"] = b64encode(given.seccomp.profile).decode()
    if given.apparmor:
        view["AppArmor"] = {"Profile": given.apparmor}
    if given.unmasked_paths:
        view["UnmaskedPaths"] = True
    if given.selinux_disabled:
        view["SELinuxContext"] = {"Disable": True}
    elif given.HasField("selinux"):
        view["SELinuxContext"] = _label(given.selinux)
    return view


def _label(label: t.Privileges.SELinuxLabel) -> View:
    parts = {"User": label.user, "Role": label.role, "Type": label.type, "Level": label.level}
    return {key: value for key, value in parts.items() if value} | ({"Nested": True} if label.nested else {})


def _dns(dns: t.DnsConfig) -> View:
    view = {
        "Nameservers": list(dns.nameservers),
        "Search": list(dns.search),
        "Options": list(dns.options),
    }
    return {key: value for key, value in view.items() if value}
