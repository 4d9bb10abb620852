import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, Limits, TmpfsMount
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.abilities import Abilities, Control
from swarm.runtime.oci.privileges import CAPABILITIES
from swarm.runtime.oci.seccomp import default_profile
from swarm.runtime.oci.spec import Surroundings, build_spec
from swarm.runtime.oci.users import User

IMAGE = ImageConfig(
    digest="d",
    entrypoint=["/entry"],
    command=["image-argument"],
    env=["PATH=/image/bin", "A=image"],
    working_dir="/image",
)
CONFIG = ContainerConfig(id="task0123456789abcdef", image="app", image_digest="d")
AROUND = Surroundings(
    rootfs=Path("/state/rootfs"),
    cgroup_path="/swarm/node/task",
    user=User(uid=5, gid=6, additional_gids=(7,), home="/home/five"),
    resolv_conf=Path("/state/resolv.conf"),
    hosts=Path("/state/hosts"),
    hostname=Path("/state/hostname"),
)


def _spec(around: Surroundings = AROUND, image: ImageConfig = IMAGE, **changes: Any) -> dict[str, Any]:
    return build_spec(replace(CONFIG, **changes), image, around)


def _on(**abilities: Any) -> Surroundings:
    """Return surroundings on a node that can do only so much."""
    return replace(AROUND, node=replace(Abilities(), **abilities))


def _mount(spec: dict[str, Any], target: str) -> dict[str, Any]:
    (found,) = (mount for mount in spec["mounts"] if mount["destination"] == target)
    return dict(found)


def _env(spec: dict[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in spec["process"]["env"])


def test_it_is_json() -> None:
    assert json.loads(json.dumps(_spec())) == _spec()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, ["/entry", "image-argument"]),
        ({"args": ["mine"]}, ["/entry", "mine"]),
        ({"command": ["mine"]}, ["mine"]),
        ({"command": ["mine"], "args": ["too"]}, ["mine", "too"]),
    ],
)
def test_command_line(changes: dict[str, Any], line: list[str]) -> None:
    assert _spec(**changes)["process"]["args"] == line


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(TaskRejected, match="what to run"):
        _spec(image=ImageConfig(digest="d"))


@pytest.mark.parametrize(
    "changes", [{"command": [""]}, {"command": ["a\0b"]}, {"env": ["=x"]}, {"env": ["A=\0"]}]
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TaskRejected):
        _spec(**changes)


def test_environment_of_task_over_image_over_defaults() -> None:
    env = _env(_spec(env=["A=task", "B=x=y", "HOSTNAME"]))
    assert env == {"PATH": "/image/bin", "HOME": "/home/five", "A": "task", "B": "x=y"}
    assert _env(_spec(image=replace(IMAGE, env=[])))["PATH"].startswith("/usr/local/sbin:")


def test_a_terminal_gets_a_terminal_type() -> None:
    assert "TERM" not in _env(_spec())
    spec = _spec(tty=True)
    assert _env(spec)["TERM"] == "xterm"
    assert spec["process"]["terminal"] is True


def test_user_directory_and_host_name() -> None:
    process = _spec()["process"]
    assert process["user"] == {"uid": 5, "gid": 6, "additionalGids": [7]}
    assert process["cwd"] == "/image"
    assert _spec(working_dir="/mine")["process"]["cwd"] == "/mine"
    assert _spec()["hostname"] == "task01234567"
    assert _spec(hostname="box")["hostname"] == "box"


def test_privileges_are_the_fourteen_and_cannot_grow() -> None:
    process = _spec()["process"]
    assert len(CAPABILITIES) == 14
    assert set(process["capabilities"]) == {"bounding", "effective", "permitted"}
    assert all(sorted(names) == sorted(CAPABILITIES) for names in process["capabilities"].values())
    assert process["noNewPrivileges"] is True


def test_limits_of_the_agent_are_never_exceeded() -> None:
    (limit,) = _spec(_on(hard_limits={"nofile": 500}))["process"]["rlimits"]
    assert limit == {"type": "RLIMIT_NOFILE", "soft": 500, "hard": 500}
    (limit,) = _spec(_on(hard_limits={"nofile": 10**9}))["process"]["rlimits"]
    assert limit == {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288}
    assert _spec(_on(oom_score_adj=-900))["process"]["oomScoreAdj"] == 0
    assert _spec(_on(oom_score_adj=300))["process"]["oomScoreAdj"] == 300


def test_without_limits_there_are_none() -> None:
    resources = _spec()["linux"]["resources"]
    assert resources == {"devices": [{"allow": False, "access": "rwm"}]}


def test_limits_become_resources() -> None:
    limits = Limits(nano_cpus=1_500_000_000, memory_bytes=1000, pids=9, memory_reservation_bytes=500)
    without_swap = _on(controls=frozenset(Control) - {Control.SWAP})
    resources = _spec(without_swap, limits=limits)["linux"]["resources"]
    assert resources["cpu"] == {"quota": 150_000, "period": 100_000}
    assert resources["memory"] == {"limit": 1000, "reservation": 500}
    assert resources["pids"] == {"limit": 9}
    resources = _spec(limits=limits)["linux"]["resources"]
    assert resources["memory"]["swap"] == 2000
    tiny = _spec(limits=Limits(nano_cpus=1))["linux"]["resources"]
    assert tiny["cpu"]["quota"] == 1000  # the least that kernels accept


def test_namespaces_and_the_given_network() -> None:
    linux = _spec()["linux"]
    assert {namespace["type"] for namespace in linux["namespaces"]} == {
        "pid",
        "ipc",
        "uts",
        "mount",
        "cgroup",
    }
    assert "sysctl" not in linux
    linux = _spec(netns_path="/run/netns/x")["linux"]
    assert {"type": "network", "path": "/run/netns/x"} in linux["namespaces"]
    assert linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"


def test_the_kernels_doors_are_shut() -> None:
    linux = _spec()["linux"]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux["readonlyPaths"])
    assert linux["cgroupsPath"] == "/swarm/node/task"
    assert linux["seccomp"] == default_profile(capabilities=frozenset(CAPABILITIES))


def test_small_files_are_mounted_unless_the_task_brings_its_own() -> None:
    spec = _spec()
    assert _mount(spec, "/etc/hosts")["source"] == "/state/hosts"
    assert _mount(spec, "/etc/resolv.conf")["source"] == "/state/resolv.conf"
    spec = _spec(mounts=[BindMount("/my/hosts", "/etc/hosts", read_only=True)])
    assert _mount(spec, "/etc/hosts")["source"] == "/my/hosts"
    assert "ro" in _mount(spec, "/etc/hosts")["options"]


def test_shared_memory_can_be_replaced() -> None:
    assert "size=67108864" in _mount(_spec(), "/dev/shm")["options"]
    spec = _spec(mounts=[TmpfsMount("/dev/shm", size_bytes=123)])
    assert "size=123" in _mount(spec, "/dev/shm")["options"]


def test_mounts_come_after_what_they_lie_in() -> None:
    mounts = [
        BindMount("/1", "/a/b/c"),
        BindMount("/2", "/a"),
        TmpfsMount("/a/b"),
        BindMount("/3", "/dev/x/"),
    ]
    targets = [mount["destination"] for mount in _spec(mounts=mounts)["mounts"]]
    assert [target for target in targets if target.startswith("/a")] == ["/a", "/a/b", "/a/b/c"]
    assert targets.index("/dev") < targets.index("/dev/x")


def test_a_tmpfs_without_size_has_the_kernels() -> None:
    options = _mount(_spec(mounts=[TmpfsMount("/x", mode=0o700, read_only=True)]), "/x")["options"]
    assert "mode=700" in options
    assert "ro" in options
    assert not any(option.startswith("size") for option in options)


@pytest.mark.parametrize(
    "mounts",
    [
        [BindMount("/s", "relative")],
        [BindMount("/s", "/")],
        [BindMount("/s", "/a/../../etc")],
        [BindMount("/s", "/a", propagation="sideways")],
        [BindMount("/s", "/a"), TmpfsMount("/a/")],
    ],
)
def test_targets_that_make_no_sense_are_refused(mounts: list[BindMount | TmpfsMount]) -> None:
    with pytest.raises(TaskRejected):
        _spec(mounts=mounts)


@pytest.mark.parametrize("target", ["/proc", "/proc/", "//proc", "/proc/sys/kernel", "/proc/self/attr/exec"])
def test_nothing_is_mounted_over_what_the_kernel_says_in_proc(target: str) -> None:
    for mount in (BindMount("/x", target), TmpfsMount(target)):
        with pytest.raises(TaskRejected, match="nothing can be mounted at /proc"):
            _spec(mounts=[mount])


def test_what_programs_read_of_their_machine_and_the_nodes_proc_may_be_mounted_there() -> None:
    for source, target in (("/x", "/proc/meminfo"), ("/x", "/proc/net/dev"), ("/proc", "/proc")):
        assert _mount(_spec(mounts=[BindMount(source, target)]), target)["source"] == source
    with pytest.raises(TaskRejected, match="below /"):
        _spec(mounts=[TmpfsMount("//")])
