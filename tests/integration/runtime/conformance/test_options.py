"""Options of containers as their processes see them, with every driver that has them; the others say no."""

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.errors import TaskFailed, TaskRejected
from swarm.model.capabilities import of_mask
from swarm.runtime.abilities import Ability
from swarm.runtime.base import (
    BindMount,
    ContainerConfig,
    Dns,
    ExecConfig,
    HostDevice,
    Limits,
    Security,
    Shared,
    TmpfsMount,
    Ulimit,
)
from swarm.runtime.oci.privileges import CAPABILITIES
from swarm.runtime.ulimits import bounding_set
from tests.integration.runtime.labs import Driver, Lab, has_said, run, running, said, until

pytestmark = pytest.mark.integration
MIB = 1 << 20
STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp|Groups):' /proc/self/status; "
NULL = Path("/dev/null")
TOO_MUCH = "dd if=/dev/zero of=/dev/null bs=64M count=100"  # a signal cuts a read of these short


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


async def test_each_option_works_or_is_refused_by_name(lab: Lab, tmp_path: Path) -> None:
    """What a driver cannot do is found out before the program runs without it."""
    (tmp_path / "part").mkdir()
    for ability, changes in (
        (Ability.MOUNTS, {"mounts": [BindMount(str(tmp_path), "/elsewhere")]}),
        (Ability.PARTS, {"mounts": [BindMount(str(tmp_path), "/part", subpath="part")]}),
        (Ability.TMPFS, {"mounts": [TmpfsMount("/scratch")]}),
        (Ability.READ_ONLY, {"read_only": True}),
        (Ability.NETWORK, {"netns_path": "/proc/self/ns/net"}),
        (Ability.HOSTNAME, {"hostname": "box"}),
        (Ability.HOSTS, {"hosts": [("db", "10.0.0.9")]}),
        (Ability.DNS, {"dns": Dns(["9.9.9.9"])}),
        (Ability.USER, {"user": "1234"}),
        (Ability.GROUPS, {"groups": ["77"]}),
        (Ability.TTY, {"tty": True}),
        (Ability.INIT, {"init": True}),
        (Ability.MEMORY, {"limits": Limits(memory_bytes=64 * MIB)}),
        (Ability.CPUS, {"limits": Limits(nano_cpus=500_000_000)}),
        (Ability.PIDS, {"limits": Limits(pids=10)}),
        (Ability.CPUSET, {"limits": Limits(cpuset_cpus="0")}),
        (Ability.CPU_SHARES, {"limits": Limits(cpu_shares=512)}),
        (Ability.CGROUP_PARENT, {"cgroup_parent": "/somewhere"}),
        (Ability.DEVICES, {"devices": [HostDevice("/dev/null", "/dev/mine")]}),
        (Ability.CDI, {"cdi_devices": ["test.swarm/thing=x"]}),
        (Ability.PRIVILEGED, {"security": Security(privileged=True)}),
        (Ability.CAPABILITIES, {"security": Security(capability_add=["CAP_SYS_NICE"])}),
        (Ability.NO_NEW_PRIVILEGES, {"security": Security(no_new_privileges=True)}),
        (Ability.SECCOMP, {"security": Security(seccomp='{"defaultAction": "SCMP_ACT_ALLOW"}')}),
        (Ability.SHARED_NAMESPACES, {"shared": Shared(ipc=True)}),
        (Ability.USERS, {"users": 65_536}),
        (Ability.SYSCTLS, {"sysctls": {"kernel.msgmax": "12345"}}),
        (Ability.ULIMITS, {"ulimits": [Ulimit("nofile", 50, 60)]}),
        (Ability.SHM_SIZE, {"shm_size_bytes": MIB}),
        (Ability.OOM_SCORE, {"oom_score_adj": 900}),
    ):
        await lab.can(ability, lab.config("true", **changes))


async def test_layers_lie_over_each_other_and_are_never_written(lab: Lab) -> None:
    if not await lab.can(Ability.MOUNTS):
        return
    driver = lab.driver()
    script = "cat /srv/layer; ls /srv; echo changed > /srv/layer; echo x > /new; cat /srv/layer"
    assert await run(driver, lab.config(script)) == (0, ["top", "layer", "changed"])
    assert await run(driver, lab.config("cat /srv/layer; ls /new 2>/dev/null")) == (1, ["top"])
    assert not (lab.images.app[1] / "etc/hosts").exists()


async def test_users_and_groups_by_number_and_by_name(lab: Lab) -> None:
    if not await lab.can(Ability.USER):
        return
    driver = lab.driver()
    for user, expected in (
        ("", "uid=0(root) gid=0(root)"),
        ("web", "uid=1234(web) gid=2345(web) groups=3456(extra)"),
        ("web:0", "uid=1234(web) gid=0(root)"),
        ("1234:3456", "uid=1234(web) gid=3456(extra)"),
        ("4000", "uid=4000 gid=0(root)"),
    ):
        code, lines = await run(driver, lab.config("busybox id", user=user))
        assert code == 0
        groups = lines[0].replace("groups=2345(web),", "groups=").replace(" groups=0(root)", "")
        own = expected.partition("gid=")[2].partition(" ")[0]  # some name a process's own group once more
        assert groups in {expected, f"{expected} groups=2345(web)", f"{expected} groups={own}"}
    found = await seen(driver, lab.config(STATUS, groups=["extra", "77"]))
    assert {"3456", "77"} <= set(found["Groups"].split())
    for changes, name in (({"user": "nobody-here"}, "nobody-here"), ({"groups": ["no-group"]}, "no-group")):
        config = lab.config("true", **changes)
        with pytest.raises((TaskRejected, TaskFailed), match=name):
            await running(driver, config)
        await driver.remove(config.id)


async def test_names_and_name_servers(lab: Lab, tmp_path: Path) -> None:
    if not await lab.can(Ability.DNS):
        return
    servers = tmp_path / "resolv.conf"
    servers.write_text("nameserver 169.254.1.1\nsearch old\n")
    driver = lab.driver()
    look = "pwd; hostname; cat /etc/hostname; grep -E 'box|db' /etc/hosts; cat /etc/resolv.conf"
    config = lab.config(
        look, working_dir="/made/up", hostname="box", address="10.1.2.3", resolv_conf=str(servers)
    )
    same = ["/made/up", "box", "box", "10.1.2.3\tbox"]
    assert await run(driver, config) == (0, [*same, "nameserver 169.254.1.1", "search old"])
    config = replace(
        lab.config(look, hostname="box", hosts=[("db", "10.0.0.9")], resolv_conf=str(servers)),
        dns=Dns(["9.9.9.9"], ["example.org"], ["ndots:2"]),
    )
    lines = (await run(driver, config))[1]
    assert "10.0.0.9\tdb" in lines
    assert lines[-3:] == ["nameserver 9.9.9.9", "search example.org", "options ndots:2"]


async def test_binds_and_tmpfs(lab: Lab, tmp_path: Path) -> None:
    if not await lab.can(Ability.TMPFS):
        return
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("from the node\n")
    (tmp_path / "single").write_text("one file\n")
    config = lab.config(
        "cat /data/file /etc/single /outer/inner/file; echo new > /data/new || exit 1;"
        "echo no > /fixed/file && exit 2; echo x > /file && exit 3; ls /created;"
        "grep ' /scratch ' /proc/mounts | cut -d' ' -f3,4; stat -c %a /scratch; ls /outer; echo y > /tmp/y",
        mounts=[
            BindMount(str(tmp_path / "data"), "/data"),
            BindMount(str(tmp_path / "data"), "/fixed", read_only=True),
            BindMount(str(tmp_path / "single"), "/etc/single", read_only=True),
            BindMount(str(tmp_path / "to/be/made"), "/created", create_source=True),
            BindMount(str(tmp_path / "data"), "/outer/inner"),
            TmpfsMount("/outer"),
            TmpfsMount("/scratch", size_bytes=MIB, mode=0o750),
            TmpfsMount("/tmp"),
        ],
        read_only=True,
    )
    code, lines = await run(lab.driver(), config)
    assert code == 0, lines
    assert lines[:3] == ["from the node", "one file", "from the node"]
    kind, options = lines[3].split()
    assert kind == "tmpfs"
    assert {"rw", "nosuid", "nodev", "size=1024k"} <= set(options.split(","))
    assert lines[4:] == ["750", "inner"]
    assert (tmp_path / "data/new").read_text() == "new\n"
    assert (tmp_path / "to/be/made").is_dir()


async def test_an_empty_volume_gets_what_the_image_has_there(lab: Lab, tmp_path: Path) -> None:
    if not await lab.can(Ability.MOUNTS):
        return
    volume = tmp_path / "volume"
    volume.mkdir()
    mount = BindMount(str(volume), "/srv", copy_up=str(tmp_path / "copied"))
    driver = lab.driver()
    assert await run(driver, lab.config("cat /srv/layer; echo mine > /srv/layer", mounts=[mount])) == (
        0,
        ["top"],
    )
    assert await run(driver, lab.config("cat /srv/layer", mounts=[mount])) == (0, ["mine"])


async def test_a_container_is_confined_unless_told_otherwise(lab: Lab) -> None:
    if not await lab.can(Ability.CAPABILITIES):
        return
    driver = lab.driver()
    tries = (
        "echo $$; mount -t tmpfs x /tmp 2>/dev/null && echo mounted: yes; "
        "head -c1 /proc/kcore | grep -q . && echo x; busybox unshare -n true 2>/dev/null && echo unshared;"
        "wc -c < /proc/timer_list; (echo 1 > /proc/sys/kernel/msgmax) 2>&1 | grep -o Read-only; true"
    )
    found = await seen(driver, lab.config(STATUS + tries))
    assert capabilities(found) == set(CAPABILITIES)
    assert found["NoNewPrivs"] == "1"
    assert (found["Seccomp"] == "2") == (Ability.SECCOMP in lab.capabilities.abilities)
    assert {"mounted", "x", "unshared"}.isdisjoint(found)
    assert {"0", "1", "Read-only"} <= set(found)  # the length of a hidden file, the first process
    open_doors = Security(
        no_new_privileges=False,
        capability_drop=["ALL"],
        capability_add=["CAP_CHOWN"],
        seccomp="",
        unmasked_paths=True,
    )
    found = await seen(driver, lab.config(STATUS + "wc -c < /proc/timer_list", security=open_doors))
    assert capabilities(found) == {"CAP_CHOWN"}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert "0" not in found


async def test_privileged_is_as_root_on_the_node(lab: Lab) -> None:
    if not await lab.can(Ability.PRIVILEGED):
        return
    look = (
        "mount -t tmpfs x /tmp && echo mounted: yes; ls -d /dev/kmsg /dev/full /dev/ptmx; echo > /dev/null"
    )
    found = await seen(lab.driver(), lab.config(STATUS + look, security=Security(privileged=True)))
    assert capabilities(found) == bounding_set()
    assert (found["NoNewPrivs"], found["Seccomp"], found["mounted"]) == ("0", "0", "yes")
    assert {"/dev/full", "/dev/ptmx"} <= set(found)


async def test_a_seccomp_profile_of_the_users_own_is_in_force(lab: Lab) -> None:
    if not await lab.can(Ability.SECCOMP):
        return
    profile = (
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
        '[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}'
    )
    code, lines = await run(
        lab.driver(), lab.config("mkdir /tmp/x 2>&1", security=Security(seccomp=profile))
    )
    assert code == 1
    assert "mkdir" in lines[0]  # older engines answer EPERM whatever the profile says


async def test_sizes_limits_of_processes_and_an_init(lab: Lab) -> None:
    if not await lab.can(Ability.SYSCTLS) or not await lab.can(Ability.INIT):
        return
    driver = lab.driver()
    config = lab.config(
        "grep ' /dev/shm ' /proc/mounts; echo soft: $(ulimit -Sn); echo hard: $(ulimit -Hn);"
        "echo core: $(ulimit -c); echo m: $(cat $MSG); echo oom: $(cat /proc/self/oom_score_adj);"
        "echo first: $(cat /proc/1/comm); echo done: yes; exec sleep 100",
        env=["MSG=/proc/sys/kernel/msgmax"],
        shm_size_bytes=3 * MIB,
        ulimits=[Ulimit("nofile", 100, 2**40), Ulimit("core", 0, 0)],
        sysctls={"kernel.msgmax": "12345"},
        init=True,
        oom_score_adj=900,
    )
    await driver.create(config)
    info = await driver.start(config.id)

    async def has_spoken() -> bool:
        return "done: yes" in await said(driver, config.id)

    await until(has_spoken)
    lines = await said(driver, config.id)
    found = facts(lines)
    assert any("size=3072k" in line for line in lines if " /dev/shm " in line)
    assert (found["soft"], found["core"], found["m"], found["oom"]) == ("100", "0", "12345", "900")
    (warning,) = info.warnings
    assert tuple(await driver.foresee(config)) == (warning,)
    assert warning.startswith("ulimit nofile=100:1099511627776 is more than this node can grant")
    most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], int(Path("/proc/sys/fs/nr_open").read_text()))
    assert int(found["hard"]) <= most
    assert f":{found['hard']}" in warning
    assert found["first"] != "sh"
    await driver.close()
    driver = lab.driver()
    (adopted,) = await driver.adopt()
    assert tuple(adopted.warnings) == (warning,)
    await driver.stop(config.id, grace_s=20.0)  # an init passes the signal on
    ended = await driver.inspect(config.id)
    assert ended is not None
    assert ended.exit_code == 128 + signal.SIGTERM


async def test_namespaces_of_the_node_are_shared(lab: Lab) -> None:
    if not await lab.can(Ability.SHARED_NAMESPACES):
        return
    look = "for n in pid ipc uts mnt; do echo $n: $(stat -Lc %i /proc/self/ns/$n); done; "
    look += "echo name: $(hostname); (exec sleep 1000) & echo child: $!"
    shared = Shared(ipc=True, pid=True, uts=True, cgroup=True)
    driver = lab.driver()
    config = lab.config(look, shared=shared)
    await run(driver, config)
    found = facts(await said(driver, config.id))
    for kind in ("pid", "ipc", "uts"):
        assert int(found[kind]) == Path(f"/proc/self/ns/{kind}").stat().st_ino, kind
    assert int(found["mnt"]) != Path("/proc/self/ns/mnt").stat().st_ino
    assert found["name"] == os.uname().nodename
    await until(lambda: not _sleeps(int(found["child"])))  # it has no first process of its own to die with


def _sleeps(pid: int) -> bool:
    try:
        return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_too_much_memory_is_out_of_memory_also_after_adoption(lab: Lab) -> None:
    if not await lab.can(Ability.OOM):
        return
    driver = lab.driver()
    limits = Limits(memory_bytes=16 * MIB)
    # Docker hears of nothing that is killed before it has answered the start; of what ends with the kill it
    # may hear too late, and says no then.
    told = "trap told=1 USR1; echo ready; until [ $told ]; do sleep 0.05; done; told=; "
    main = lab.config(f"{told} exec {TOO_MUCH}", limits=limits)
    child = lab.config(f"{told} ({TOO_MUCH}) 2>/dev/null; echo killed; {told} exit 3", limits=limits)
    later = lab.config(f"{told} exec {TOO_MUCH}", limits=limits)
    for config in (later, main, child):
        await running(driver, config)
        await until(partial(has_said, driver, config.id, "ready"))
    await driver.kill(main.id, "USR1")
    info = await asyncio.wait_for(driver.wait(main.id), 60)
    assert (info.exit_code, info.oom_killed) == (137, await lab.knows_of_oom(main.id))
    await driver.kill(child.id, "USR1")
    await until(lambda: has_said(driver, child.id, "killed"))
    await until(lambda: lab.heard_of_oom(child.id))
    await driver.kill(child.id, "USR1")
    info = await asyncio.wait_for(driver.wait(child.id), 60)
    assert (info.exit_code, info.oom_killed) == (3, True)
    await driver.close()
    driver = lab.driver()
    await driver.adopt()
    await driver.kill(later.id, "USR1")
    info = await asyncio.wait_for(driver.wait(later.id), 60)
    assert (info.exit_code, info.oom_killed) == (137, await lab.knows_of_oom(later.id))


async def test_no_more_processes_than_the_limit(lab: Lab) -> None:
    script = "for i in $(seq 25); do sleep 100 & done; echo all of them"
    config = lab.config(script, limits=Limits(pids=20))
    if await lab.can(Ability.PIDS, config):
        assert await run(lab.driver(), config) == (2, [])


async def test_the_given_network_namespace_is_joined(lab: Lab) -> None:
    if not await lab.can(Ability.NETWORK):
        return
    driver = lab.driver()
    with network_namespace() as path:
        config = lab.config("ls /sys/class/net; hostname; sleep 100", netns_path=str(path), hostname="box")
        pid = (await driver.create(config), await driver.start(config.id))[1].pid
        await until(lambda: Path(f"/proc/{pid}/ns/net").stat().st_ino == path.stat().st_ino)

        async def has_spoken() -> bool:
            return await said(driver, config.id) == ["lo", "box"]

        await until(has_spoken)
        await driver.remove(config.id)
        low = lab.config("busybox nc -l -p 80 -w 1; cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
        assert (await run(driver, replace(low, netns_path=str(path), user="web")))[1] == ["0"]
    gone = lab.config("true", netns_path=str(path))
    with pytest.raises((TaskRejected, TaskFailed), match=str(path)):
        await running(driver, gone)


@contextmanager
def network_namespace() -> Iterator[Path]:
    """A network of nothing but a loopback."""
    name = f"swarmtest{token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield Path("/run/netns") / name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize(("permissions", "said"), [("rw", "opened"), ("r", "refused")])
async def test_a_device_is_there_with_the_permissions_granted(
    lab: Lab, tmp_path: Path, permissions: str, said: str
) -> None:
    if not await lab.can(Ability.DEVICES):
        return
    kmsg = tmp_path / "kmsg"  # may be opened for writing by root, and no container has it unasked
    os.mknod(kmsg, 0o20620, os.makedev(1, 11))
    script = "(: > /dev/mine) 2>/dev/null && echo opened || echo refused; ls -l /dev/mine | cut -c1"
    config = lab.config(script, devices=[HostDevice(str(kmsg), "/dev/mine", permissions)])
    assert await run(lab.driver(), config) == (0, [said, "c"])


async def test_the_nodes_null_device_stays_the_nodes(lab: Lab) -> None:
    """A user of a container who owned it could shut it to everybody on the node."""
    if Ability.USER not in lab.capabilities.abilities:
        pytest.skip("its containers have the users and the devices of the node")
    driver = lab.driver()
    config = lab.config("exec sleep 100", user="1000:1000")
    await driver.create(config)
    await driver.start(config.id)
    owners = [tuple(NULL.stat())[4:6]]
    command = await driver.exec(config.id, ExecConfig(command=["true"], user="1000:1000"))
    assert await command.wait() == 0
    owners.append(tuple(NULL.stat())[4:6])
    assert owners == [(0, 0), (0, 0)]
    await driver.remove(config.id)
