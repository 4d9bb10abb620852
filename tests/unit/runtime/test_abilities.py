"""What a node can do, read from the files of its kernel."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.runtime.oci.abilities import Abilities, Control, described, read_abilities, read_again
from swarm.runtime.oci.cgroups import CgroupLayout


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    proc = tmp_path / "proc"
    for name, text in {
        "self/status": "Name:\tx\nCapBnd:\t00000000a80425fb\n",
        "self/uid_map": "         0          0 4294967295\n",
        "self/oom_score_adj": "-17\n",
        "sys/fs/nr_open": "1048576\n",
        "sys/kernel/osrelease": "6.1.0-9-amd64\n",
        "sys/kernel/hostname": "worker-1\n",
    }.items():
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text(text)
    return proc


def make(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_an_agent_without_privileges_passes_on_what_it_has(proc: Path, tmp_path: Path) -> None:
    found = read_abilities(CgroupLayout(1, {}), "/swarm/x", proc)
    assert len(found.capabilities) == 14
    assert "CAP_CHOWN" in found.capabilities
    assert "CAP_SYS_ADMIN" not in found.capabilities
    assert (found.oom_score_adj, found.node_name, found.kernel) == (-17, "worker-1", "6.1.0-9-amd64")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert found.hard_limits["nofile"] == min(hard if hard >= 0 else 1048576, 1048576)
    assert found.controls == frozenset()


def test_with_all_capabilities_only_the_kernel_bounds_open_files(proc: Path) -> None:
    (proc / "self/status").write_text("CapBnd:\t000001ffffffffff\n")
    found = read_abilities(CgroupLayout(1, {}), "/swarm/x", proc)
    assert found.hard_limits == {"nofile": 1048576}
    assert found.oom_score_adj == -1000
    (proc / "self/uid_map").write_text("0 100000 65536\n")  # in a user namespace they do not reach far
    assert read_abilities(CgroupLayout(1, {}), "/swarm/x", proc).oom_score_adj == -17


def test_controls_of_version_1_are_in_several_places(proc: Path, tmp_path: Path) -> None:
    memory, blkio, cpuset = (tmp_path / name / "swarm/x" for name in ("memory", "blkio", "cpuset"))
    make(memory, memory__limit_in_bytes="", memory__memsw__limit_in_bytes="")
    make(blkio, blkio__bfq__weight="", blkio__bfq__weight_device="", blkio__throttle__read_bps_device="")
    make(cpuset, cpuset__cpus="", cpuset__effective_cpus="0-1\n", cpuset__effective_mems="0\n")
    mounts = {name: tmp_path / name for name in ("memory", "blkio", "cpuset", "cpu")}
    found = read_abilities(CgroupLayout(1, mounts), "/swarm/x", proc)
    disks = {Control.BLKIO_WEIGHT, Control.BLKIO_DEVICE_WEIGHT, Control.BLKIO_BOUNDS}
    assert found.controls == {Control.MEMORY, Control.SWAP, Control.CPUSET, *disks}
    assert (found.cpus, found.memory_nodes) == ({0, 1}, {0})


def test_controls_of_version_2_are_in_one(proc: Path, tmp_path: Path) -> None:
    make(
        tmp_path / "unified/swarm/x",
        memory__max="max",
        cpu__weight="100",
        io__weight="100",
        cpuset__cpus__effective="0-3\n",
    )
    found = read_abilities(CgroupLayout(2, {}, tmp_path / "unified"), "/swarm/x", proc)
    weights = {Control.BLKIO_WEIGHT, Control.BLKIO_DEVICE_WEIGHT}
    assert found.controls == {Control.MEMORY, Control.CPU_SHARES, *weights}
    make(tmp_path / "unified/swarm/x", io__max="")
    found = read_abilities(CgroupLayout(2, {}, tmp_path / "unified"), "/swarm/x", proc)
    assert Control.BLKIO_BOUNDS in found.controls
    assert found.cpus == {0, 1, 2, 3}
    told = described(replace(found, init=("/usr/bin/tini-static", "-s"), apparmor=None))
    assert told["init"] == "tini-static"
    assert told["apparmor"] == "no"
    assert "memory swappiness" in told["kernel_cannot"]
    assert described(Abilities())["kernel_cannot"] == "nothing is missing"


def test_a_second_look_sees_what_people_change_and_no_more(proc: Path, tmp_path: Path) -> None:
    place = (CgroupLayout(1, {"cpuset": tmp_path / "cpuset", "pids": tmp_path / "pids"}), "/swarm/x", proc)
    make(tmp_path / "cpuset/swarm/x", cpuset__effective_cpus="0-1\n", cpuset__effective_mems="0\n")
    make(proc / "sys/kernel", osrelease="6.12.1\n")
    make(proc / "sys/user", max_user_namespaces="1000\n")
    first = read_abilities(*place)
    assert read_again(first, *place) == first
    assert not first.no_users
    make(tmp_path / "cpuset/swarm/x", cpuset__effective_cpus="0-3\n")
    make(proc / "sys/kernel", hostname="worker-2\n")
    make(proc / "sys/fs", nr_open="7\n")
    make(proc / "sys/user", max_user_namespaces="0\n")
    (proc / "self/status").unlink()  # whose process this is does not change
    make(tmp_path / "pids/swarm/x", pids__max="max\n")  # nor what the kernel is
    second = read_again(first, *place)
    assert (second.cpus, second.node_name, second.hard_limits["nofile"]) == ({0, 1, 2, 3}, "worker-2", 7)
    assert second.no_users
    assert (second.capabilities, second.controls) == (first.capabilities, frozenset())
