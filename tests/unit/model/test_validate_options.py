"""Options of containers: every problem is named, and what is sound passes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import HostEntry, Privileges, Ulimit
from swarm.errors import InvalidArgument
from swarm.model.capabilities import KNOWN, granted, normal, of_mask
from swarm.model.cpuset import format_cpuset, parse_cpuset
from swarm.model.seccomp import ACTIONS, OPERATORS, read_profile
from swarm.model.spec_changes import changes
from swarm.model.ulimits import parse_ulimit
from swarm.model.validate import validate_service
from swarm.runtime.oci.seccomp_profile import oci_profile

KEYS = [
    *("defaultAction", "defaultErrnoRet", "architectures", "archMap", "flags", "syscalls", "names", "name"),
    *("action", "errnoRet", "args", "includes", "excludes", "index", "value", "valueTwo", "op", "caps"),
    *("arches", "minKernel", "architecture", "subArchitectures"),
]
PROFILE = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}


def a_service() -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    return spec


def test_all_options_together_are_sound() -> None:
    spec = a_service()
    container, resources = spec.task.container, spec.task.resources
    container.groups.extend(["audio", "29"])
    container.capability_add.extend(["CAP_NET_ADMIN"])
    container.capability_drop.extend(["ALL"])
    container.privileges.no_new_privileges = False
    container.privileges.apparmor = "web//child"
    container.privileges.seccomp.mode = Privileges.Seccomp.MODE_CUSTOM
    container.privileges.seccomp.profile = json.dumps(PROFILE).encode()
    container.sysctls.update({"net.core.somaxconn": "9", "kernel.msgmax": "1", "fs.mqueue.msg_max": "2"})
    container.ulimits.append(Ulimit(name="nofile", soft=5, hard=-1))
    container.hosts.extend(
        [HostEntry(name="db", address="fe80::1%eth0"), HostEntry(name="db", address="10.0.0.1")]
    )
    container.dns.nameservers.append("9.9.9.9")
    container.dns.search.append("example.org")
    container.dns.options.append("ndots:2")
    container.shm_size_bytes, container.oom_score_adj, container.cgroup_parent = (
        1 << 20,
        -1000,
        "batch/night",
    )
    container.namespaces.pid, container.namespaces.userns, container.namespaces.ipc = (
        "host",
        "host",
        "private",
    )
    resources.limits.memory_bytes = 1 << 30
    resources.memory_swap_bytes, resources.memory_swappiness, resources.blkio_weight = -1, 0, 10
    resources.cpu_shares, resources.cpuset_cpus, resources.cpuset_mems = 2, "0-3,6", "0"
    resources.cpu_quota_us, resources.cpu_period_us = 1000, 1000
    validate_service(spec)


def cap(spec: ServiceSpec) -> None:
    spec.task.container.capability_add.append("CAP_FLY")


def cap_twice(spec: ServiceSpec) -> None:
    spec.task.container.capability_drop.extend(["CAP_CHOWN", "CAP_CHOWN"])


def sysctl(key: str, value: str = "1") -> Callable[[ServiceSpec], None]:
    def change(spec: ServiceSpec) -> None:
        spec.task.container.sysctls[key] = value

    return change


def shared_ipc(spec: ServiceSpec) -> None:
    spec.task.container.namespaces.ipc = "host"
    spec.task.container.sysctls["kernel.shmmax"] = "1"


def shared_uts(spec: ServiceSpec) -> None:
    spec.task.container.namespaces.uts = "host"
    spec.task.container.hostname = "me"


def container(field: str, value: object) -> Callable[[ServiceSpec], None]:
    return lambda spec: setattr(spec.task.container, field, value)


def block(*others: dict[str, Any], **fields: Any) -> Callable[[ServiceSpec], None]:
    def change(spec: ServiceSpec) -> None:
        for one in (*others, fields):
            spec.task.resources.block_limits.add(**one)

    return change


def resources(field: str, value: object) -> Callable[[ServiceSpec], None]:
    return lambda spec: setattr(spec.task.resources, field, value)


def namespace(kind: str, value: str) -> Callable[[ServiceSpec], None]:
    return lambda spec: setattr(spec.task.container.namespaces, kind, value)


def dns(field: str, value: str) -> Callable[[ServiceSpec], None]:
    return lambda spec: getattr(spec.task.container.dns, field).append(value)


def host(name: str, address: str) -> Callable[[ServiceSpec], None]:
    return lambda spec: spec.task.container.hosts.append(HostEntry(name=name, address=address))


def ulimit(name: str, soft: int, hard: int) -> Callable[[ServiceSpec], None]:
    return lambda spec: spec.task.container.ulimits.append(Ulimit(name=name, soft=soft, hard=hard))


def swap_below_memory(spec: ServiceSpec) -> None:
    spec.task.resources.limits.memory_bytes = 1 << 30
    spec.task.resources.memory_swap_bytes = 1 << 20


def two_quotas(spec: ServiceSpec) -> None:
    spec.task.resources.limits.nano_cpus = 10**9
    spec.task.resources.cpu_quota_us = 5000


def own_users_and_the_nodes_processes(spec: ServiceSpec) -> None:
    spec.task.container.namespaces.userns = "private"
    spec.task.container.namespaces.pid = "host"


def bad_profile(spec: ServiceSpec) -> None:
    spec.task.container.privileges.seccomp.mode = Privileges.Seccomp.MODE_CUSTOM
    spec.task.container.privileges.seccomp.profile = b"{"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (cap, "CAP_FLY"),
        (cap_twice, "CAP_CHOWN is named twice"),
        (sysctl("vm.swappiness"), "would change the node"),
        (sysctl("kernel.hostname"), "hostname of the service"),
        (sysctl("../x"), "is not a sysctl"),
        (sysctl("net.core.somaxconn", ""), "needs a value"),
        (shared_ipc, "kernel.shmmax with ipc host"),
        (shared_uts, "exclude each other"),
        (container("oom_score_adj", 1001), "between -1000 and 1000"),
        (container("shm_size_bytes", -1), "negative"),
        (container("cgroup_parent", "/"), "cgroup parent"),
        (container("cgroup_parent", "/a/../b"), "cgroup parent"),
        (namespace("ipc", "container:x"), "neither host nor private"),
        (namespace("userns", "auto"), "neither host nor private"),
        (namespace("userns", "private:10"), "1024 to 16777216"),
        (namespace("userns", "private:99999999"), "1024 to 16777216"),
        (own_users_and_the_nodes_processes, "pid host and userns private exclude each other"),
        (dns("nameservers", "dns.example"), "IP address of a name server"),
        (dns("search", "a b"), "domain to search"),
        (dns("options", "a b"), "option of resolv.conf"),
        (host("db", "nowhere"), "no IP address"),
        (host("a b", "::1"), "not a host name"),
        (ulimit("nothing", 1, 1), "is not a ulimit"),
        (ulimit("nofile", 2, 1), "soft limit above"),
        (ulimit("nofile", -1, 1), "soft limit above"),
        (ulimit("nofile", -2, 1), "negative"),
        (resources("cpu_shares", 1), "CPU shares"),
        (resources("cpu_period_us", 999), "CPU period"),
        (resources("cpu_quota_us", 999), "CPU quota"),
        (resources("cpuset_cpus", "3-1"), "list of numbers"),
        (resources("cpuset_mems", "a"), "memory nodes"),
        (resources("memory_swap_bytes", 5), "needs a memory limit"),
        (resources("memory_swap_bytes", -2), "negative"),
        (resources("memory_swappiness", 101), "swappiness"),
        (resources("blkio_weight", 9), "weight"),
        (block(device="sda", read_bps=5), "no path of a block device"),
        (block(device="/dev/sda", weight=1001), "weight 1001 of /dev/sda is not between"),
        (block({"device": "/dev/sda"}, device="/dev/sda"), "is there twice"),
        (
            lambda spec: spec.task.container.annotations.update({"run.oci.handler": "wasm"}),
            "which only nodes give",
        ),
        (
            lambda spec: spec.task.container.annotations.update({"": "b"}),
            "one of the annotations has no key",
        ),
        (resources("cpu_period_us", 5000), "without a CPU quota"),
        (swap_below_memory, "below that of memory alone"),
        (two_quotas, "choose one"),
        (bad_profile, "not JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(change: Callable[[ServiceSpec], None], problem: str) -> None:
    spec = a_service()
    change(spec)
    with pytest.raises(InvalidArgument, match=problem):
        validate_service(spec)


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"defaultAction": []},
        {"defaultErrnoRet": "1"},
        {"syscalls": {"read": 1}},
        {"syscalls": [1]},
        {"syscalls": [{"action": "SCMP_ACT_ALLOW"}]},
        {"syscalls": [{"names": "read", "action": "SCMP_ACT_ALLOW"}]},
        {"syscalls": [{"names": ["read"], "action": "ALLOW"}]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 9}]}]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"moon": []}}]},
        {"archMap": [{"subArchitectures": []}]},
        {"architectures": "SCMP_ARCH_X86_64"},
        {"flags": [1]},
    ],
)
def test_profiles_that_are_none_are_refused(change: dict[str, object]) -> None:
    read_profile(json.dumps(PROFILE).encode())
    with pytest.raises(InvalidArgument, match="the seccomp profile"):
        read_profile(json.dumps(PROFILE | change).encode())


def test_a_profile_of_endless_depth_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not JSON"):
        read_profile(b"[" * 100_000)


def test_capabilities_are_named_as_people_like() -> None:
    assert {normal(text) for text in ("net_admin", "CAP_NET_ADMIN", "Net_Admin")} == {"CAP_NET_ADMIN"}
    assert normal("all") == "ALL"
    assert len(KNOWN) == 41
    assert of_mask(1 << 21) == {"CAP_SYS_ADMIN"}
    assert granted(["CAP_CHOWN"], ["CAP_CHOWN"], []) == {"CAP_CHOWN"}


def test_lists_of_processors() -> None:
    assert parse_cpuset("0-2,5") == {0, 1, 2, 5}
    assert format_cpuset({5, 0, 2, 1}) == "0-2,5"
    for text in ("", "1,", "-1", "9000", "0-99999", "a"):
        with pytest.raises(InvalidArgument):
            parse_cpuset(text)


def test_ulimits_as_people_write_them() -> None:
    assert parse_ulimit("nofile=1:2") == Ulimit(name="nofile", soft=1, hard=2)
    assert parse_ulimit("core=unlimited") == Ulimit(name="core", soft=-1, hard=-1)
    for text in ("nofile", "nofile=", "nofile=a", "nofile=1:2:3", "x=1", f"nofile={2**63}"):
        with pytest.raises(InvalidArgument):
            parse_ulimit(text)


def test_a_changed_profile_is_told_without_its_text() -> None:
    before, after = a_service(), a_service()
    bad_profile(after)
    (mode, profile) = changes(before, after)
    assert "custom" in mode
    assert "of 1 bytes" in profile


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([*sorted(ACTIONS), *sorted(OPERATORS), "read", "4.8", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_whatever_a_profile_is_made_of_it_is_refused_or_can_be_used(made_up: dict[str, object]) -> None:
    for profile in (made_up, PROFILE | made_up, PROFILE | {"syscalls": [made_up]}):
        try:
            sound = read_profile(json.dumps(profile).encode())
        except InvalidArgument:
            continue
        found = oci_profile(sound, "SCMP_ARCH_X86_64", {"CAP_CHOWN"}, "6.1")
        assert all(rule["names"] for rule in found["syscalls"])
