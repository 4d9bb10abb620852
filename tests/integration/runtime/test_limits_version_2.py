"""Limits in the files of cgroup version 2. Runs where that has the controllers: `make cgroup2`."""

from pathlib import Path

import pytest

from swarm.runtime.base import Limits
from swarm.runtime.oci.abilities import Control, read_abilities
from swarm.runtime.oci.cgroups import read_layout
from tests.integration.runtime.labs import Lab, until

pytestmark = pytest.mark.integration
MIB = 1 << 20


async def test_shares_and_bounds_are_in_the_files_of_version_2(oci_lab: Lab) -> None:
    layout = read_layout()
    driver = oci_lab.driver()
    await driver.probe()
    unified = layout.unified
    if unified is None or Control.MEMORY not in read_abilities(layout, oci_lab.cgroup_parent).controls:
        pytest.skip("version 2 has no controllers here")
    if layout.version != 2:
        pytest.skip("the controllers are with version 1 here")
    limits = Limits(
        memory_bytes=64 * MIB,
        memory_reservation_bytes=32 * MIB,
        memory_swap_bytes=80 * MIB,
        pids=9,
        cpu_shares=512,
        cpu_quota_us=5000,
        cpu_period_us=10_000,
        cpuset_cpus="0",
        blkio_weight=300,
    )
    config = oci_lab.config("exec sleep 100", limits=limits)
    await driver.create(config)
    info = await driver.start(config.id)
    own = unified / Path(f"/proc/{info.pid}/cgroup").read_text().strip().removeprefix("0::/")
    assert own.name == config.id

    def value(name: str) -> str:
        return (own / name).read_text().strip()

    assert (value("memory.max"), value("memory.low")) == (str(64 * MIB), str(32 * MIB))
    assert value("memory.swap.max") == str(16 * MIB)  # beside the memory, not with it as in version 1
    assert (value("cpu.max"), value("pids.max"), value("cpuset.cpus")) == ("5000 10000", "9", "0")
    assert 1 < int(value("cpu.weight")) < 100  # runtimes differ in how shares become weights
    if (own / "io.weight").exists():
        assert value("io.weight").split()[-1] == str(1 + 290 * 9999 // 990)

    async def counts_one() -> bool:  # a runtime's half of a container may have had a handful of threads
        sample = await driver.sample(config.id)
        assert sample is not None
        return (sample.pids, sample.memory_bytes > 0, sample.cpu_usage_ns > 0) == (1, True, True)

    await until(counts_one)
