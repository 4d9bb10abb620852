"""Options of containers, as their processes and the kernel see them. One container looks at much."""

from collections.abc import Iterator

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import Limits, Security, Ulimit
from swarm.runtime.oci.abilities import Control, read_abilities
from swarm.runtime.oci.cgroups import Cgroup, read_layout
from tests.integration.cgroups import cgroup_name, remove
from tests.integration.runtime.labs import Lab, run

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
    sample = await driver.sample(config.id)
    assert sample is not None
    assert sample.pids == 1
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
