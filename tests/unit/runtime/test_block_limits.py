"""Limits of single disks, as both versions of cgroups have them."""

import os
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BlockLimit, Limits
from swarm.runtime.oci.abilities import Abilities, Control
from swarm.runtime.oci.block_limits import device_number, writes
from swarm.runtime.oci.cgroups import Cgroup, CgroupLayout
from swarm.runtime.oci.resources import limit_resources, resource_warnings
from tests.unit.runtime.test_options import CONFIG

LIMIT = BlockLimit("/dev/a", weight=1000, read_bps=5, write_bps=6, read_iops=7, write_iops=8)


def test_version_1_has_a_file_for_each_and_version_2_one_line() -> None:
    assert list(writes(LIMIT, "8:0", 1)) == [
        (("blkio.weight_device", "blkio.bfq.weight_device"), "8:0 1000"),
        (("blkio.throttle.read_bps_device",), "8:0 5"),
        (("blkio.throttle.write_bps_device",), "8:0 6"),
        (("blkio.throttle.read_iops_device",), "8:0 7"),
        (("blkio.throttle.write_iops_device",), "8:0 8"),
    ]
    assert list(writes(LIMIT, "8:0", 2)) == [
        (("io.bfq.weight",), "8:0 1000"),
        (("io.weight",), "8:0 10000"),
        (("io.max",), "8:0 rbps=5 wbps=6 riops=7 wiops=8"),
    ]
    (only,) = writes(BlockLimit("/dev/a", write_bps=6), "8:16", 2)
    assert only == (("io.max",), "8:16 rbps=max wbps=6 riops=max wiops=max")
    assert not list(writes(BlockLimit("/dev/a"), "8:0", 2))


def test_only_a_disk_of_the_node_can_be_limited(tmp_path: Path) -> None:
    with pytest.raises(TaskRejected, match="No such file"):
        device_number(str(tmp_path / "none"))
    with pytest.raises(TaskRejected, match="/dev/null is no block device on this node"):
        device_number("/dev/null")


def test_they_are_written_into_the_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(st_mode=stat.S_IFBLK, st_rdev=os.makedev(8, 16))
    own = tmp_path / "unified/swarm/x"
    own.mkdir(parents=True)
    for name in ("io.max", "io.weight"):
        (own / name).write_text("")
    cgroup = Cgroup(CgroupLayout(2, {}, tmp_path / "unified"), "/swarm/x")
    with monkeypatch.context() as patched:
        patched.setattr("swarm.runtime.oci.block_limits.Path", lambda _: SimpleNamespace(stat=lambda: found))
        cgroup.set_block_limits([LIMIT])
        assert (own / "io.max").read_text() == "8:16 rbps=5 wbps=6 riops=7 wiops=8"
        assert (own / "io.weight").read_text() == "8:16 10000"
        (own / "io.max").unlink()
        (own / "io.max").mkdir()
        with pytest.raises(TaskRejected, match=r"does not limit /dev/a \(io.max: .*: name the whole disk"):
            cgroup.set_block_limits([LIMIT])


def test_a_kernel_without_bounds_refuses_them_and_one_without_shares_says_so() -> None:
    node = Abilities(controls=frozenset(Control) - {Control.BLKIO_BOUNDS, Control.BLKIO_DEVICE_WEIGHT})
    bounded = Limits(block=[BlockLimit("/dev/a", read_bps=5)])
    with pytest.raises(TaskRejected, match="cannot limit how much of one block device"):
        limit_resources(bounded, node)
    shared = Limits(block=[BlockLimit("/dev/a", weight=10)])
    assert limit_resources(shared, node) == {}
    (warning,) = resource_warnings(replace(CONFIG, limits=shared), node)
    assert "the block I/O weight of one device: left out" in warning
