"""Options of a container in its config.json, on nodes that can do all and on nodes that cannot."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import TaskRejected
from swarm.model.capabilities import KNOWN
from swarm.runtime.base import BlockLimit, ContainerConfig, Dns, Limits, Security, Shared, Ulimit
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.abilities import Abilities, Control
from swarm.runtime.oci.etc_files import hosts_file, resolv_conf
from swarm.runtime.oci.privileges import CAPABILITIES
from swarm.runtime.oci.spec import Surroundings, build_spec, spec_warnings
from swarm.runtime.oci.users import User, resolve_user
from swarm.runtime.process.options import process_limits, refuse_options

CONFIG = ContainerConfig(id="task0123456789abcdef", image="app", image_digest="d", command=["/app"])
IMAGE = ImageConfig(digest="d")
NODE = Abilities(init=("/usr/bin/tini-static", "-s"), node_name="worker-1", kernel="6.1.0")


def spec_of(node: Abilities = NODE, **changes: Any) -> dict[str, Any]:
    around = Surroundings(Path("/root"), "/swarm/n/task", User(), node=node)
    return build_spec(replace(CONFIG, **changes), IMAGE, around)


def capabilities_of(node: Abilities = NODE, **security: Any) -> set[str]:
    spec = spec_of(node, security=Security(**security))
    return set(spec["process"]["capabilities"]["effective"])


def mount_at(spec: dict[str, Any], target: str) -> dict[str, Any]:
    (found,) = (mount for mount in spec["mounts"] if mount["destination"] == target)
    return dict(found)


def test_capabilities_are_added_and_dropped() -> None:
    usual = set(CAPABILITIES)
    assert capabilities_of(capability_add=["CAP_NET_ADMIN"]) == usual | {"CAP_NET_ADMIN"}
    assert capabilities_of(capability_drop=["CAP_MKNOD"]) == usual - {"CAP_MKNOD"}
    assert capabilities_of(capability_drop=["ALL"]) == set()
    assert capabilities_of(capability_drop=["ALL"], capability_add=["CAP_CHOWN"]) == {"CAP_CHOWN"}
    assert capabilities_of(capability_add=["ALL"], capability_drop=["CAP_BPF"]) == set(KNOWN) - {"CAP_BPF"}


def test_a_capability_that_the_daemon_lacks_is_refused_by_name_and_left_out_of_all() -> None:
    poor = replace(NODE, capabilities=frozenset(KNOWN) - {"CAP_SYS_TIME"})
    with pytest.raises(TaskRejected, match="CAP_SYS_TIME"):
        capabilities_of(poor, capability_add=["CAP_SYS_TIME"])
    assert "CAP_SYS_TIME" not in capabilities_of(poor, privileged=True)
    (warning,) = spec_warnings(replace(CONFIG, security=Security(privileged=True)), poor)
    assert "CAP_SYS_TIME" in warning


def test_privileged_opens_every_door_that_is_not_shut_by_name() -> None:
    spec = spec_of(security=Security(privileged=True))
    assert set(spec["process"]["capabilities"]["bounding"]) == set(KNOWN)
    assert spec["process"]["noNewPrivileges"] is False
    linux = spec["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], [])
    assert "seccomp" not in linux
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "rw" in mount_at(spec, "/sys")["options"]
    own = Security(privileged=True, no_new_privileges=True, seccomp='{"defaultAction": "SCMP_ACT_ALLOW"}')
    spec = spec_of(security=own)
    assert spec["process"]["noNewPrivileges"] is True
    assert spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"


def test_each_protection_can_be_switched_off_alone() -> None:
    assert spec_of(security=Security(no_new_privileges=False))["process"]["noNewPrivileges"] is False
    assert "seccomp" not in spec_of(security=Security(seccomp=""))["linux"]
    linux = spec_of(security=Security(unmasked_paths=True))["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], [])
    assert "seccomp" in linux


def test_system_calls_come_with_the_capability_that_guards_them() -> None:
    def allowed(**security: Any) -> set[str]:
        rules = spec_of(security=Security(**security))["linux"]["seccomp"]["syscalls"]
        return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}

    assert "mount" not in allowed()
    assert {"mount", "unshare", "clone3"} <= allowed(capability_add=["CAP_SYS_ADMIN"])
    assert "settimeofday" in allowed(capability_add=["CAP_SYS_TIME"])
    rules = spec_of(security=Security(capability_add=["CAP_SYS_ADMIN"]))["linux"]["seccomp"]["syscalls"]
    assert not any(rule["names"] == ["clone"] for rule in rules)
    assert "mount" not in rules[-1]["names"]


def test_an_apparmor_profile_must_be_loaded() -> None:
    loaded = replace(NODE, apparmor=frozenset({"web"}))
    assert spec_of(loaded, security=Security(apparmor="web"))["process"]["apparmorProfile"] == "web"
    with pytest.raises(TaskRejected, match="db is not loaded"):
        spec_of(loaded, security=Security(apparmor="db"))
    with pytest.raises(TaskRejected, match="no AppArmor"):
        spec_of(security=Security(apparmor="web"))
    assert "apparmorProfile" not in spec_of(security=Security(apparmor="unconfined"))["process"]


def test_who_asks_for_no_profile_has_ours_where_it_is_loaded() -> None:
    loaded = replace(NODE, apparmor=frozenset({"web", "swarm-default"}))
    assert spec_of(loaded)["process"]["apparmorProfile"] == "swarm-default"
    open_doors = Security(apparmor="unconfined")
    assert spec_of(loaded, security=open_doors)["process"]["apparmorProfile"] == "unconfined"
    assert "apparmorProfile" not in spec_of(loaded, security=Security(privileged=True))["process"]
    assert "apparmorProfile" not in spec_of(replace(NODE, apparmor=frozenset()))["process"]


def test_namespaces_of_the_node() -> None:
    shared = spec_of(shared=Shared(ipc=True, pid=True, uts=True, cgroup=True))
    assert shared["linux"]["namespaces"] == [{"type": "mount"}]
    assert "hostname" not in shared
    assert "HOSTNAME=worker-1" in shared["process"]["env"]
    assert mount_at(shared, "/dev/shm")["source"] == "/dev/shm"
    assert not any(mount["destination"] == "/dev/mqueue" for mount in shared["mounts"])


def test_parameters_of_the_network_need_one_of_its_own() -> None:
    wanted = {"net.core.somaxconn": "9", "kernel.msgmax": "10"}
    sysctls = spec_of(sysctls=wanted, netns_path="/run/netns/x")["linux"]["sysctl"]
    assert sysctls.items() >= wanted.items()
    assert "net.ipv4.ping_group_range" in sysctls
    with pytest.raises(TaskRejected, match=r"net.core.somaxconn would change the node"):
        spec_of(sysctls=wanted)


def test_ulimits_are_clamped_with_a_warning() -> None:
    node = replace(NODE, hard_limits={"nofile": 1500, "core": 0})
    wanted = (Ulimit("nofile", 1000, 2000), Ulimit("core", -1, -1), Ulimit("nproc", -1, -1))
    found = {
        one["type"]: (one["soft"], one["hard"])
        for one in spec_of(node, ulimits=wanted)["process"]["rlimits"]
    }
    assert found == {
        "RLIMIT_NOFILE": (1000, 1500),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_NPROC": (2**64 - 1, 2**64 - 1),
    }
    warnings = spec_warnings(replace(CONFIG, ulimits=wanted), node)
    assert len(warnings) == 2
    assert "ulimit nofile=1000:2000 is more than this node can grant: nofile=1000:1500" in warnings


def test_shares_and_bounds() -> None:
    limits = Limits(
        memory_bytes=100,
        cpu_shares=512,
        cpu_quota_us=5000,
        cpuset_cpus="0-1",
        cpuset_mems="0",
        memory_swap_bytes=150,
        memory_swappiness=0,
        blkio_weight=300,
    )
    node = replace(NODE, cpus=frozenset({0, 1}), memory_nodes=frozenset({0}))
    resources = spec_of(node, limits=limits)["linux"]["resources"]
    assert resources["memory"] == {"limit": 100, "swap": 150, "swappiness": 0}
    assert resources["cpu"] == {"shares": 512, "quota": 5000, "period": 100_000, "cpus": "0-1", "mems": "0"}
    assert "blockIO" not in resources  # written by the driver
    assert spec_warnings(replace(CONFIG, limits=limits), node) == ()


def test_hints_that_the_kernel_does_not_know_are_left_out_with_a_warning() -> None:
    node = replace(NODE, controls=frozenset({Control.MEMORY}))
    limits = Limits(
        memory_bytes=100, memory_swap_bytes=100, memory_swappiness=1, cpu_shares=2, blkio_weight=10
    )
    resources = spec_of(node, limits=limits)["linux"]["resources"]
    assert set(resources) == {"devices", "memory"}
    assert resources["memory"] == {"limit": 100}
    warnings = " ".join(spec_warnings(replace(CONFIG, limits=limits), node))
    for what in ("memory and swap", "swappiness", "CPU shares", "block I/O weight"):
        assert what in warnings


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(memory_bytes=1), "memory"),
        (Limits(nano_cpus=1), "CPUs"),
        (Limits(cpu_quota_us=1000), "CPUs"),
        (Limits(pids=1), "number of processes"),
        (Limits(cpuset_cpus="0"), "which CPUs"),
    ],
)
def test_bounds_that_the_kernel_cannot_keep_are_refused(limits: Limits, reason: str) -> None:
    with pytest.raises(TaskRejected, match=f"cannot limit .*{reason}"):
        spec_of(replace(NODE, controls=frozenset()), limits=limits)


def test_processors_that_the_node_lacks_are_named() -> None:
    node = replace(NODE, cpus=frozenset({0, 1, 2}))
    with pytest.raises(TaskRejected, match=r"no CPU 3,7 on this node: it has 0-2"):
        spec_of(node, limits=Limits(cpuset_cpus="2-3,7"))


def test_an_init_is_started_first() -> None:
    spec = spec_of(init=True)
    assert spec["process"]["args"] == ["/sbin/docker-init", "-s", "--", "/app"]
    assert mount_at(spec, "/sbin/docker-init")["source"] == "/usr/bin/tini-static"
    assert spec["mounts"][-1]["destination"] == "/sbin/docker-init"
    with pytest.raises(TaskRejected, match="apt-get install tini"):
        spec_of(replace(NODE, init=()), init=True)


def test_shared_memory_has_its_size_and_the_oom_score_its_bounds() -> None:
    assert "size=1000" in mount_at(spec_of(shm_size_bytes=1000), "/dev/shm")["options"]
    assert spec_of(oom_score_adj=-500)["process"]["oomScoreAdj"] == -500
    poor = replace(NODE, oom_score_adj=0)
    assert spec_of(poor, oom_score_adj=-500)["process"]["oomScoreAdj"] == 0
    (warning,) = spec_warnings(replace(CONFIG, oom_score_adj=-500), poor)
    assert "-500" in warning


def test_more_groups_by_name_and_number() -> None:
    group = "root:x:0:\naudio:x:29:\nvideo:x:44:web\n"
    passwd = "web:x:1000:1000::/:/bin/sh\n"
    user = resolve_user("web", passwd, group, ["audio", "7", "video"])
    assert user.additional_gids == (44, 29, 7)
    with pytest.raises(TaskRejected, match="unable to find group disco"):
        resolve_user("web", passwd, group, ["disco"])


def test_hosts_and_name_servers() -> None:
    assert hosts_file("me", "10.0.0.2", [("db", "10.0.0.9")]).endswith("10.0.0.2\tme\n10.0.0.9\tdb\n")
    node = "nameserver 1.1.1.1\ndomain old\nsearch a b\noptions ndots:5\n"
    assert resolv_conf(node, Dns()) == node
    changed = resolv_conf(node, Dns(["9.9.9.9"], ["."], ["ndots:2", "rotate"]))
    assert changed == "nameserver 9.9.9.9\nsearch .\noptions ndots:2 rotate\n"
    assert resolv_conf(node, Dns(search=["x.org"])) == (
        "search x.org\nnameserver 1.1.1.1\noptions ndots:5\n"
    )


def test_a_profile_of_the_users_own_is_for_this_container() -> None:
    rules = [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {
            "name": "write",
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 5,
            "args": [{"index": 0, "op": "SCMP_CMP_EQ"}],
        },
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
        {"names": ["vax"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["vax"]}},
        {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}},
        {"names": ["old"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    ]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": rules}
    found = spec_of(security=Security(seccomp=json.dumps(profile)))["linux"]["seccomp"]
    assert found["defaultErrnoRet"] == 1
    assert [rule["names"] for rule in found["syscalls"]] == [["read"], ["write"], ["old"]]
    assert found["syscalls"][1]["errnoRet"] == 5
    assert len(found["architectures"]) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"security": Security(privileged=True)}, "privileged"),
        ({"security": Security(capability_add=["CAP_BPF"])}, "CAP_BPF"),
        ({"security": Security(seccomp="{}")}, "seccomp"),
        ({"security": Security(apparmor="web")}, "web"),
        ({"groups": ["audio"]}, "audio"),
        ({"sysctls": {"net.x": "1"}}, "net.x"),
        ({"hosts": [("db", "::1")]}, "db"),
        ({"dns": Dns(["::1"])}, "resolv.conf"),
        ({"shm_size_bytes": 1}, "/dev/shm"),
        ({"oom_score_adj": 0}, "OOM"),
        ({"cgroup_parent": "/batch"}, "/batch"),
        ({"annotations": {"a": "b"}}, "annotations"),
        ({"limits": Limits(cpuset_cpus="0")}, "CPUs"),
        ({"limits": Limits(block=[BlockLimit("/dev/sda", weight=10)])}, "single disks"),
    ],
)
def test_plain_processes_refuse_what_would_change_the_program(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(TaskRejected, match=f"{named}.* needs containers"):
        refuse_options(replace(CONFIG, **changes))


def test_plain_processes_have_ulimits_and_pass_over_what_only_confines() -> None:
    security = Security(capability_drop=["ALL"], no_new_privileges=True, seccomp="", apparmor="unconfined")
    limits = Limits(memory_bytes=9, cpu_shares=5, blkio_weight=10)
    config = replace(CONFIG, security=security, limits=limits, ulimits=[Ulimit("nofile", 5, -1)], init=True)
    refuse_options(config)
    assert process_limits(config, {"nofile": 10}) == {"7": (5, 10), "2": (9, 9)}
