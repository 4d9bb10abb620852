"""Options of containers, as their processes and the kernel see them. One container looks at much."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BlockLimit, Limits, Security, Ulimit
from swarm.runtime.oci.abilities import Control, read_abilities
from swarm.runtime.oci.block_limits import device_number
from swarm.runtime.oci.cgroups import Cgroup, read_layout
from tests.integration.cgroups import cgroup_name, remove
from tests.integration.runtime.labs import Lab, run, until

pytestmark = pytest.mark.integration
MIB = 1 << 20
STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp|Groups):' /proc/self/status; "


@pytest.fixture
def batch() -> Iterator[str]:
    """A cgroup that somebody has made for containers."""
    layout, name = read_layout(), f"/{cgroup_name()}"
    made = [root / name.strip("/") for root in layout.roots]
    for directory in made:
        directory.mkdir()
    try:
        yield name
    finally:
        remove(name.strip("/"))


async def test_bounds_of_a_disk_are_in_the_cgroup_and_what_is_no_disk_is_refused(oci_lab: Lab) -> None:
    layout = read_layout()
    disks = [Path("/dev", disk.name) for disk in Path("/sys/block").iterdir()]
    disk = next((one for one in disks if one.is_block_device()), None)
    driver = oci_lab.driver()
    await driver.probe()
    if disk is None:
        pytest.skip("this machine shows no disk")
    limits = Limits(block=[BlockLimit(str(disk), read_bps=MIB, write_iops=9)])
    config = oci_lab.config("exec sleep 100", limits=limits)
    cgroup = driver._cgroup(config.id)
    if Control.BLKIO_BOUNDS not in read_abilities(layout, str(PurePosixPath(cgroup.path).parent)).controls:
        with pytest.raises(TaskRejected, match="cannot limit how much of one block device"):
            await driver.create(config)
        return
    await driver.create(config)
    await driver.start(config.id)
    number = device_number(str(disk))
    if layout.version == 1:
        own = layout.mounts["blkio"] / cgroup.path.strip("/")
        read = [(own / f"blkio.throttle.{name}_device").read_text() for name in ("read_bps", "write_iops")]
        assert read == [f"{number} {MIB}\n", f"{number} 9\n"]
    else:
        assert layout.unified is not None
        bounds = (layout.unified / cgroup.path.strip("/") / "io.max").read_text()
        assert f"{number} rbps={MIB} wbps=max riops=max wiops=9" in bounds
    await driver.remove(config.id)
    wrong = replace(config, limits=Limits(block=[BlockLimit("/dev/null", read_bps=MIB)]))
    with pytest.raises(TaskRejected, match="/dev/null is no block device"):
        await driver.create(wrong)
    assert not any(path.exists() for path in cgroup.directories())


async def test_shares_and_bounds_are_in_the_cgroup_of_choice(oci_lab: Lab, batch: str) -> None:
    layout = read_layout()
    if layout.version != 1:
        pytest.skip("reads the files of version 1")
    driver = oci_lab.driver()
    await driver.probe()
    node = read_abilities(layout, batch)
    limits = Limits(
        memory_bytes=64 * MIB,
        pids=9,
        cpu_shares=512,
        cpu_quota_us=5000,
        cpu_period_us=10_000,
        cpuset_cpus="0",
        memory_swappiness=7,
        blkio_weight=300,
        memory_swap_bytes=80 * MIB,
    )
    config = oci_lab.config("exec sleep 100", limits=limits, cgroup_parent=batch)
    await driver.create(config)
    info = await driver.start(config.id)

    def value(controller: str, file: str) -> str:
        return (layout.mounts[controller] / batch.strip("/") / config.id / file).read_text().strip()

    assert value("cpu", "cpu.shares") == "512"
    assert (value("cpu", "cpu.cfs_quota_us"), value("cpu", "cpu.cfs_period_us")) == ("5000", "10000")
    assert value("cpuset", "cpuset.cpus") == "0"
    assert (value("memory", "memory.swappiness"), value("pids", "pids.max")) == ("7", "9")
    assert value("memory", "memory.limit_in_bytes") == str(64 * MIB)
    if Control.SWAP in node.controls:
        assert value("memory", "memory.memsw.limit_in_bytes") == str(80 * MIB)
    warned = " ".join(info.warnings)
    for control in (Control.SWAP, Control.BLKIO_WEIGHT):
        assert (control.value in warned) == (control not in node.controls)
    if Control.BLKIO_WEIGHT in node.controls:
        blkio = layout.mounts["blkio"] / batch.strip("/") / config.id
        weights = [blkio / name for name in ("blkio.weight", "blkio.bfq.weight") if (blkio / name).exists()]
        assert weights[0].read_text().strip() == "300"
    assert str(info.pid) in value("memory", "cgroup.procs").split()
    await driver.close()
    driver = oci_lab.driver()  # finds the cgroup again
    await driver.adopt()

    async def counts_one() -> bool:  # a runtime's half of a container may have had a handful of threads
        sample = await driver.sample(config.id)
        assert sample is not None
        return sample.pids == 1

    await until(counts_one)
    await driver.remove(config.id)
    assert not any(path.exists() for path in Cgroup(layout, f"{batch}/{config.id}").directories())


async def test_what_this_node_lacks_is_refused_by_name_and_leaves_nothing(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    for changes, reason in (
        ({"limits": Limits(cpuset_cpus="4000")}, "no CPU 4000 on this node|which CPUs"),
        ({"cgroup_parent": "/no/such/cgroup"}, "no cgroup /no/such/cgroup on this node"),
        ({"security": Security(apparmor="no-such-profile")}, "AppArmor"),
        ({"sysctls": {"net.core.somaxconn": "1"}}, "net.core.somaxconn"),
        ({"groups": ["nobody-has-this"]}, "unable to find group"),
    ):
        with pytest.raises(TaskRejected, match=reason):
            await driver.create(oci_lab.config("true", **changes))
    assert oci_lab.leftovers() == []


async def test_plain_processes_have_ulimits_too(process_lab: Lab) -> None:
    driver = process_lab.driver()
    config = process_lab.config("ulimit -Sn; ulimit -Hn", ulimits=[Ulimit("nofile", 50, 60)])
    assert await run(driver, config) == (0, ["50", "60"])
    with pytest.raises(TaskRejected, match="privileged needs containers"):
        await driver.create(process_lab.config("true", security=Security(privileged=True)))
