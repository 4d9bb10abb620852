import os
import subprocess
from pathlib import Path

import pytest

from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.base import Sample, Transferred
from swarm.runtime.oci.cgroups import (
    Cgroup,
    CgroupLayout,
    open_to_containers,
    parse_layout,
    shim_procs_files,
)
from swarm.runtime.oci.probe import controllers

PURE_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """31 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 31 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
"""


def test_pure_version_2() -> None:
    layout = parse_layout(PURE_V2)
    assert layout == CgroupLayout(2, {}, Path("/sys/fs/cgroup"))
    assert layout.roots == (Path("/sys/fs/cgroup"),)


def test_version_1_beside_version_2() -> None:
    layout = parse_layout(HYBRID)
    assert layout.version == 1
    assert layout.unified == Path("/sys/fs/cgroup/unified")
    assert layout.mounts["cpuacct"] == layout.mounts["cpu"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert set(layout.mounts) == {"name=systemd", "cpu", "cpuacct", "memory"}
    assert len(layout.roots) == 4
    assert controllers(layout) == {"cpu", "memory"}


def test_escaped_mount_points() -> None:
    assert parse_layout(PURE_V2.replace("/sys/fs/cgroup", "/odd\\040place")).unified == Path("/odd place")


def test_no_cgroups_at_all_is_explained() -> None:
    with pytest.raises(InvalidArgument, match="nsenter"):
        parse_layout("1 1 0:1 / / rw - ext4 /dev/vda rw\n")


def test_a_shim_leaves_every_hierarchy_in_which_the_agent_is_not_at_the_top() -> None:
    own = "4:memory:/system.slice/d.service\n2:cpu,cpuacct:/\n1:name=systemd:/system.slice/d.service\n0::/\n"
    assert shim_procs_files(parse_layout(HYBRID), own, "/swarm/x/shims") == [
        Path("/sys/fs/cgroup/memory/swarm/x/shims/cgroup.procs"),
        Path("/sys/fs/cgroup/systemd/swarm/x/shims/cgroup.procs"),
    ]
    assert shim_procs_files(parse_layout(PURE_V2), "0::/user.slice/x\n", "/swarm/x/shims") == [
        Path("/sys/fs/cgroup/swarm/x/shims/cgroup.procs")
    ]
    assert shim_procs_files(parse_layout(PURE_V2), "0::/\n", "/swarm/x/shims") == []


@pytest.mark.parametrize("path", ["/", "/swarm", "swarm/x", "/swarm/../..", "", "/swarm/x/../.."])
def test_the_top_of_the_tree_is_never_a_containers(path: str) -> None:
    with pytest.raises(InvalidArgument):
        Cgroup(parse_layout(PURE_V2), path)


@pytest.fixture
def v2(tmp_path: Path) -> CgroupLayout:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    return CgroupLayout(2, {}, tmp_path)


@pytest.fixture
def v1(tmp_path: Path) -> CgroupLayout:
    mounts = {name: tmp_path / name for name in ("cpu", "cpuacct", "memory", "pids", "cpuset", "blkio")}
    for mount in mounts.values():
        mount.mkdir()
    (mounts["cpuset"] / "cpuset.cpus").write_text("0-3\n")
    (mounts["cpuset"] / "cpuset.mems").write_text("0\n")
    return CgroupLayout(1, mounts)


def _write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(content)


def test_use_in_version_2(v2: CgroupLayout, tmp_path: Path) -> None:
    _write(
        tmp_path / "swarm/x/task",
        memory__current="1000\n",
        memory__stat="anon 1\ninactive_file 300\n",
        memory__events="low 0\noom 2\noom_kill 1\noom_group_kill 0\n",
        cpu__stat="usage_usec 1234\nuser_usec 1000\n",
        pids__current="3\n",
        io__stat="8:0 rbytes=5 wbytes=7 rios=1 wios=1 dbytes=9 dios=0\n8:16 rbytes=1 wbytes=2\n",
    )
    cgroup = Cgroup(v2, "/swarm/x/task")
    moved = Transferred(6, 9)
    assert cgroup.sample() == Sample(cpu_usage_ns=1_234_000, memory_bytes=700, pids=3, disks=moved)
    assert cgroup.oom_kills() == 1
    assert controllers(v2) == {"cpu", "memory", "pids"}


def test_use_in_version_1(v1: CgroupLayout) -> None:
    _write(
        v1.mounts["memory"] / "swarm/x/task",
        memory__usage_in_bytes="1000\n",
        memory__stat="inactive_file 1\ntotal_inactive_file 400\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )
    _write(v1.mounts["cpuacct"] / "swarm/x/task", cpuacct__usage="99\n")
    _write(v1.mounts["pids"] / "swarm/x/task", pids__current="4\n")
    cgroup = Cgroup(v1, "/swarm/x/task")
    assert cgroup.sample() == Sample(cpu_usage_ns=99, memory_bytes=600, pids=4)
    lines = "8:0 Read 5\n8:0 Write 7\n8:0 Sync 9\n8:0 Total 12\n8:16 Read 1\nTotal 13\n"
    _write(v1.mounts["blkio"] / "swarm/x/task", blkio__throttle__io_service_bytes="8:0 Read 1\n")
    older = cgroup.sample()
    assert older is not None
    assert older.disks == Transferred(1, 0)
    _write(v1.mounts["blkio"] / "swarm/x/task", blkio__throttle__io_service_bytes_recursive=lines)
    sample = cgroup.sample()
    assert sample is not None
    assert sample.disks == Transferred(6, 7)
    assert cgroup.oom_kills() == 2


def test_what_is_gone_has_no_use(v1: CgroupLayout, tmp_path: Path) -> None:
    assert Cgroup(v1, "/swarm/x/gone").sample() is None
    assert Cgroup(v1, "/swarm/x/gone").oom_kills() == 0
    assert Cgroup(CgroupLayout(2, {}, tmp_path), "/swarm/x/gone").sample() is None


def test_controllers_that_are_absent_count_nothing(v2: CgroupLayout, tmp_path: Path) -> None:
    _write(tmp_path / "swarm/x/task", cpu__stat="usage_usec 5\n")
    assert Cgroup(v2, "/swarm/x/task").sample() == Sample(5000, 0, 0)


def test_making_hands_controllers_down_in_version_2(v2: CgroupLayout, tmp_path: Path) -> None:
    Cgroup(v2, "/swarm/x").create()
    Cgroup(v2, "/swarm/x").create()
    for directory in (tmp_path, tmp_path / "swarm", tmp_path / "swarm/x"):
        assert (directory / "cgroup.subtree_control").read_text().startswith("+")


def test_making_fills_in_cpusets_in_version_1(v1: CgroupLayout) -> None:
    for directory in ("swarm", "swarm/x"):
        _write(v1.mounts["cpuset"] / directory, cpuset__cpus="\n", cpuset__mems="\n")
    Cgroup(v1, "/swarm/x").create()
    assert (v1.mounts["cpuset"] / "swarm/x/cpuset.cpus").read_text() == "0-3\n"
    assert (v1.mounts["pids"] / "swarm/x").is_dir()


def test_killing_in_version_2_is_one_write(v2: CgroupLayout, tmp_path: Path) -> None:
    _write(tmp_path / "swarm/x/task", cgroup__kill="", cgroup__procs=f"{os.getpid()}\n")
    Cgroup(v2, "/swarm/x/task").kill()
    assert (tmp_path / "swarm/x/task/cgroup.kill").read_text() == "1"


def test_processes_that_are_not_really_there_are_spared(v1: CgroupLayout) -> None:
    """A process id read a moment ago may be another process's by now."""
    bystander = subprocess.Popen(["sleep", "100"])
    try:
        _write(v1.mounts["pids"] / "swarm/x/task/below", cgroup__procs=f"{bystander.pid}\n1\n0\n-1\n")
        cgroup = Cgroup(v1, "/swarm/x/task")
        assert bystander.pid in cgroup.processes()
        cgroup.kill()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_removing_takes_all_hierarchies_and_what_is_below(v1: CgroupLayout) -> None:
    for mount in v1.mounts.values():
        (mount / "swarm/x/task/below/further").mkdir(parents=True)
    assert Cgroup(v1, "/swarm/x/task").remove()
    assert Cgroup(v1, "/swarm/x/task").remove()
    assert all((mount / "swarm/x").is_dir() for mount in v1.mounts.values())
    assert not any((mount / "swarm/x/task").exists() for mount in v1.mounts.values())


def test_removing_gives_up_in_the_end(v1: CgroupLayout) -> None:
    _write(v1.mounts["cpu"] / "swarm/x/task", busy="a file stands for a process here")
    assert not Cgroup(v1, "/swarm/x/task").remove(timeout_s=0.02)


def test_containers_go_below_a_cgroup_that_exists_only(v1: CgroupLayout, tmp_path: Path) -> None:
    with pytest.raises(TaskRejected, match="no cgroup /batch on this node"):
        open_to_containers(v1, "/batch")
    (v1.mounts["cpu"] / "batch").mkdir()
    open_to_containers(v1, "/batch")
    unified = tmp_path / "unified"
    _write(unified / "batch", cgroup__subtree_control="")
    _write(unified, cgroup__subtree_control="")
    open_to_containers(CgroupLayout(2, {}, unified), "/batch")
    assert (unified / "batch/cgroup.subtree_control").read_text()
    assert (unified / "cgroup.subtree_control").read_text()


def test_a_share_of_disks_is_written_where_this_kernel_has_it(v1: CgroupLayout, tmp_path: Path) -> None:
    blkio = tmp_path / "blkio"
    layout = CgroupLayout(1, {**v1.mounts, "blkio": blkio})
    Cgroup(layout, "/swarm/x/task").set_block_weight(300)  # nowhere: no harm
    _write(blkio / "swarm/x/task", blkio__bfq__weight="100")
    Cgroup(layout, "/swarm/x/task").set_block_weight(300)
    assert (blkio / "swarm/x/task/blkio.bfq.weight").read_text() == "300"
    _write(tmp_path / "unified/swarm/x/task", io__weight="default 100")
    v2 = CgroupLayout(2, {}, tmp_path / "unified")
    for weight, written in ((10, "1"), (1000, "10000")):
        Cgroup(v2, "/swarm/x/task").set_block_weight(weight)
        assert (tmp_path / "unified/swarm/x/task/io.weight").read_text() == written
