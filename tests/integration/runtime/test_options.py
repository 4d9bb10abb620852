"""Options of containers, as their processes and the kernel see them. One container looks at much."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.errors import TaskRejected
from swarm.model.capabilities import of_mask
from swarm.runtime.base import ContainerConfig, Dns, Limits, Security, Shared, TmpfsMount, Ulimit
from swarm.runtime.oci.abilities import Control, read_abilities
from swarm.runtime.oci.cgroups import Cgroup, read_layout
from swarm.runtime.oci.privileges import CAPABILITIES
from swarm.runtime.ulimits import bounding_set
from tests.integration.runtime.conftest import Driver, Lab, run, said, until

pytestmark = pytest.mark.integration
MIB = 1 << 20
STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp|Groups):' /proc/self/status; "


def facts(lines: list[str]) -> dict[str, str]:
    """What a script said as KEY: VALUE."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


async def seen(driver: Driver, config: ContainerConfig) -> dict[str, str]:
    """What a container that ends well says as KEY: VALUE."""
    code, lines = await run(driver, config)
    assert code == 0, lines
    return facts(lines)


def capabilities(found: dict[str, str]) -> frozenset[str]:
    return of_mask(int(found["CapEff"], 16))


async def test_a_container_is_confined_unless_told_otherwise(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    mounts = "mount -t tmpfs x /tmp 2>/dev/null && echo mounted: yes; "
    reads = "head -c1 /proc/kcore | grep -q . && echo x; "
    look = (
        STATUS
        + mounts
        + reads
        + "wc -c < /proc/timer_list; (echo 1 > /proc/sys/kernel/msgmax) 2>&1 | grep -o Read-only; true"
    )
    found = await seen(driver, oci_lab.config(look))
    assert capabilities(found) == set(CAPABILITIES)
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert {"mounted", "x"}.isdisjoint(found)
    assert "0" in found  # the length of a file that is hidden
    assert "Read-only" in found
    open_doors = Security(
        no_new_privileges=False,
        capability_drop=["ALL"],
        capability_add=["CAP_CHOWN"],
        seccomp="",
        unmasked_paths=True,
    )
    found = await seen(driver, oci_lab.config(STATUS + "wc -c < /proc/timer_list", security=open_doors))
    assert capabilities(found) == {"CAP_CHOWN"}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert "0" not in found


async def test_privileged_is_as_root_on_the_node(oci_lab: Lab, tmp_path: Path) -> None:
    look = (
        "mount -t tmpfs x /tmp && echo mounted: yes; ls -d /dev/kmsg /dev/full /dev/ptmx; echo > /dev/null"
    )
    config = oci_lab.config(STATUS + look, security=Security(privileged=True))
    found = await seen(oci_lab.driver(), config)
    assert capabilities(found) == bounding_set()
    assert (found["NoNewPrivs"], found["Seccomp"], found["mounted"]) == ("0", "0", "yes")
    assert {"/dev/full", "/dev/ptmx"} <= set(found)
    assert ("/dev/kmsg" in found) == Path("/dev/kmsg").exists()


async def test_a_profile_of_the_users_own_is_in_force(oci_lab: Lab) -> None:
    profile = (
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
        '[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}'
    )
    config = oci_lab.config("mkdir /tmp/x 2>&1", security=Security(seccomp=profile))
    code, lines = await run(oci_lab.driver(), config)
    assert code == 1
    assert "No space left" in lines[0]


async def test_names_sizes_and_limits_of_processes(oci_lab: Lab, tmp_path: Path) -> None:
    servers = tmp_path / "resolv.conf"
    servers.write_text("nameserver 169.254.1.1\nsearch old\n")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    driver = oci_lab.driver()
    config = oci_lab.config(
        STATUS + "grep ' /dev/shm ' /proc/mounts; grep db /etc/hosts; cat /etc/resolv.conf; cat /dev/shm/x;"
        "echo soft: $(ulimit -Sn); echo hard: $(ulimit -Hn); echo core: $(ulimit -c); echo m: $(cat $MSG);"
        "echo oom: $(cat /proc/self/oom_score_adj); echo first: $(cat /proc/1/comm);"
        "ls -d /scratch; exec sleep 100",
        env=["MSG=/proc/sys/kernel/msgmax"],
        groups=["extra", "77"],
        shm_size_bytes=3 * MIB,
        hosts=[("db", "10.0.0.9")],
        dns=Dns(["9.9.9.9"], ["example.org"], ["ndots:2"]),
        resolv_conf=str(servers),
        ulimits=[Ulimit("nofile", 100, 2**40), Ulimit("core", 0, 0)],
        sysctls={"kernel.msgmax": "12345"},
        mounts=[TmpfsMount("/scratch", size_bytes=MIB)],
        read_only=True,
        init=True,
        oom_score_adj=900,
    )
    await driver.create(config)
    info = await driver.start(config.id)

    async def has_spoken() -> bool:
        return any("/scratch" in line for line in await said(driver, config.id))

    await until(has_spoken)
    lines = await said(driver, config.id)
    found = facts(lines)
    assert {"3456", "77"} <= set(found["Groups"].split())
    assert any(line.endswith("db") and line.startswith("10.0.0.9") for line in lines)
    assert [line for line in lines if line.split()[0] in {"nameserver", "search", "options"}] == [
        "nameserver 9.9.9.9",
        "search example.org",
        "options ndots:2",
    ]
    (shm,) = (line for line in lines if " /dev/shm " in line)
    assert "size=3072k" in shm
    assert (found["soft"], found["core"], found["m"], found["oom"]) == ("100", "0", "12345", "900")
    (warning,) = info.warnings
    assert warning.startswith("ulimit nofile=100:1099511627776 is more than this node can grant")
    assert int(found["hard"]) <= max(hard, int(Path("/proc/sys/fs/nr_open").read_text()))
    assert f":{found['hard']}" in warning
    assert found["first"] == "docker-init"
    await driver.close()
    driver = oci_lab.driver()
    (adopted,) = await driver.adopt()
    assert tuple(adopted.warnings) == (warning,)
    await driver.stop(
        config.id, grace_s=20.0
    )  # an init passes the signal on, to a program without a handler
    ended = await driver.inspect(config.id)
    assert ended is not None
    assert ended.exit_code == 128 + signal.SIGTERM


async def test_namespaces_of_the_node_are_shared_and_nothing_outlives_the_container(oci_lab: Lab) -> None:
    look = "for n in pid ipc uts cgroup mnt; do echo $n: $(stat -Lc %i /proc/self/ns/$n); done; "
    look += "echo name: $(hostname); (exec sleep 1000) & echo child: $!"
    shared = Shared(ipc=True, pid=True, uts=True, cgroup=True)
    driver = oci_lab.driver()
    config = oci_lab.config(look, shared=shared, init=True)
    await driver.create(config)
    await driver.start(config.id)
    await asyncio.wait_for(driver.wait(config.id), 20)
    found = facts(await said(driver, config.id))
    for kind in ("pid", "ipc", "uts", "cgroup"):
        assert int(found[kind]) == Path(f"/proc/self/ns/{kind}").stat().st_ino, kind
    assert int(found["mnt"]) != Path("/proc/self/ns/mnt").stat().st_ino
    assert found["name"] == os.uname().nodename
    await until(lambda: not _runs(int(found["child"])))  # it has no first process of its own to die with


def _runs(pid: int) -> bool:
    try:
        return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def batch() -> Iterator[str]:
    """A cgroup that somebody has made for containers."""
    layout, name = read_layout(), f"/swarm-test-{token_hex(4)}"
    made = [root / name.strip("/") for root in layout.roots]
    for directory in made:
        directory.mkdir()
    yield name
    for directory in made:
        directory.rmdir()


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


async def test_shares_and_bounds_are_in_the_cgroup_of_version_2(oci_lab: Lab) -> None:
    layout = read_layout()
    driver = oci_lab.driver()
    await driver.probe()
    if (
        layout.unified is None
        or Control.MEMORY not in read_abilities(layout, oci_lab.cgroup_parent).controls
    ):
        pytest.skip("reads the files of version 2, which has no controllers here")
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
    own = Path(f"/proc/{info.pid}/cgroup").read_text().strip().removeprefix("0::/")
    names = (
        "memory.max",
        "memory.low",
        "memory.swap.max",
        "cpu.max",
        "cpu.weight",
        "pids.max",
        "cpuset.cpus",
    )
    values = {name: (layout.unified / own / name).read_text().strip() for name in names}
    assert (values["memory.max"], values["memory.low"]) == (str(64 * MIB), str(32 * MIB))
    assert values["cpu.max"] == "5000 10000"
    assert 1 < int(values["cpu.weight"]) < 100  # runtimes count differently from shares to weights
    assert (values["pids.max"], values["cpuset.cpus"], values["memory.swap.max"]) == (
        "9",
        "0",
        str(16 * MIB),
    )
    if (weight := layout.unified / own / "io.weight").exists():
        assert weight.read_text().split()[-1] == str(1 + 290 * 9999 // 990)
    sample = await driver.sample(config.id)
    assert sample is not None
    assert (sample.pids, sample.memory_bytes > 0, sample.cpu_usage_ns > 0) == (1, True, True)


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


async def test_a_child_that_was_killed_for_want_of_memory_is_not_forgotten(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    await driver.probe()
    if Control.MEMORY not in read_abilities(read_layout(), oci_lab.cgroup_parent).controls:
        pytest.skip("this kernel does not limit memory")
    script = "(dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null); exit 3"
    config = oci_lab.config(script, limits=Limits(memory_bytes=16 * MIB))
    await driver.create(config)
    await driver.start(config.id)
    info = await asyncio.wait_for(driver.wait(config.id), 20)
    assert (info.exit_code, info.oom_killed) == (3, True)


async def test_plain_processes_have_ulimits_too(process_lab: Lab) -> None:
    driver = process_lab.driver()
    config = process_lab.config("ulimit -Sn; ulimit -Hn", ulimits=[Ulimit("nofile", 50, 60)])
    assert await run(driver, config) == (0, ["50", "60"])
    with pytest.raises(TaskRejected, match="privileged needs containers"):
        await driver.create(process_lab.config("true", security=Security(privileged=True)))
