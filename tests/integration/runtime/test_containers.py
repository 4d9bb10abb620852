"""What only real containers can do: file system, users, limits, namespaces."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ImageMount, Limits, TmpfsMount
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.probe import controllers
from tests.integration.runtime.conftest import Lab, run, said, until

pytestmark = pytest.mark.integration
MIB = 1024 * 1024


async def test_layers_lie_over_each_other_and_are_never_written(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    script = "cat /srv/layer; ls /srv; echo changed > /srv/layer; echo x > /new; cat /srv/layer"
    assert await run(driver, oci_lab.config(script)) == (0, ["top", "layer", "changed"])
    assert await run(driver, oci_lab.config("cat /srv/layer; ls /new 2>/dev/null")) == (1, ["top"])
    assert not (oci_lab.images.app[1] / "etc/hosts").exists()


async def test_an_image_of_many_layers(oci_lab: Lab, tmp_path: Path) -> None:
    layers = []
    for number in range(125):
        layer = tmp_path / f"layer-{number:03d}-{'x' * 60}"
        layer.mkdir()
        (layer / f"from-{number}").touch()
        layers.append(layer)
    images = oci_lab.images
    before, images.app = images.app, [*layers, *images.app]
    try:
        assert await run(oci_lab.driver(), oci_lab.config("ls / | grep -c from-")) == (0, ["125"])
    finally:
        images.app = before


async def test_layer_names_that_overlayfs_would_split(oci_lab: Lab, tmp_path: Path) -> None:
    odd = tmp_path / "a:b,c\\d"
    odd.mkdir()
    (odd / "odd").touch()
    images = oci_lab.images
    before, images.app = images.app, [odd, *images.app]
    try:
        assert await run(oci_lab.driver(), oci_lab.config("ls /odd")) == (0, ["/odd"])
    finally:
        images.app = before


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "uid=0(root) gid=0(root)"),
        ("web", "uid=1234(web) gid=2345(web) groups=3456(extra)"),
        ("web:0", "uid=1234(web) gid=0(root)"),
        ("1234:3456", "uid=1234(web) gid=3456(extra)"),
        ("4000", "uid=4000 gid=0(root)"),
    ],
)
async def test_users_by_number_and_by_name(oci_lab: Lab, user: str, expected: str) -> None:
    code, lines = await run(oci_lab.driver(), oci_lab.config("busybox id", user=user))
    assert code == 0
    groups = lines[0].replace("groups=2345(web),", "groups=").replace(" groups=0(root)", "")
    assert groups in {expected, f"{expected} groups=2345(web)"}


async def test_an_unknown_user_is_named(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    with pytest.raises(TaskRejected, match="nobody-here"):
        await driver.create(oci_lab.config("true", user="nobody-here"))
    assert oci_lab.leftovers() == []


async def test_the_users_files_are_never_read_outside_the_image(oci_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    outside = tmp_path.parent / f"outside-{token_hex(4)}"
    outside.write_text("intruder:x:0:0::/:/bin/sh\n")
    (tmp_path / "etc/passwd").symlink_to(f"../../../../..{outside}")
    os.mkfifo(tmp_path / "etc/group")
    images = oci_lab.images
    before, images.app = images.app, [tmp_path, *images.app]
    try:
        with pytest.raises(TaskRejected, match="intruder"):
            await oci_lab.driver().create(oci_lab.config("true", user="intruder"))
    finally:
        images.app = before
        outside.unlink()


async def test_working_directory_host_name_and_hosts(oci_lab: Lab) -> None:
    config = oci_lab.config(
        "pwd; hostname; cat /etc/hostname; grep box /etc/hosts",
        working_dir="/made/up",
        hostname="box",
        address="10.1.2.3",
    )
    assert await run(oci_lab.driver(), config) == (0, ["/made/up", "box", "box", "10.1.2.3\tbox"])


async def test_the_given_resolv_conf_is_the_containers(oci_lab: Lab, tmp_path: Path) -> None:
    servers = tmp_path / "resolv.conf"
    servers.write_text("nameserver 169.254.1.1\n")
    config = oci_lab.config("cat /etc/resolv.conf", resolv_conf=str(servers))
    assert await run(oci_lab.driver(), config) == (0, ["nameserver 169.254.1.1"])


async def test_binds_and_tmpfs(oci_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("from the node\n")
    (tmp_path / "single").write_text("one file\n")
    config = oci_lab.config(
        "cat /data/file /etc/single; echo new > /data/new || exit 1;"
        "echo no > /fixed/file && exit 2; ls /created; grep ' /scratch ' /proc/mounts | cut -d' ' -f3,4;"
        "stat -c %a /scratch",
        mounts=[
            BindMount(str(tmp_path / "data"), "/data"),
            BindMount(str(tmp_path / "data"), "/fixed", read_only=True),
            BindMount(str(tmp_path / "single"), "/etc/single", read_only=True),
            BindMount(str(tmp_path / "to/be/made"), "/created", create_source=True),
            TmpfsMount("/scratch", size_bytes=MIB, mode=0o750),
        ],
    )
    code, lines = await run(oci_lab.driver(), config)
    assert code == 0, lines
    assert lines[:2] == ["from the node", "one file"]
    kind, options = lines[2].split()
    assert kind == "tmpfs"
    assert {"rw", "nosuid", "nodev", "size=1024k"} <= set(options.split(","))
    assert lines[3] == "750"
    assert (tmp_path / "data/new").read_text() == "new\n"
    assert (tmp_path / "to/be/made").is_dir()


async def test_a_mount_inside_another_mount(oci_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("inside\n")
    config = oci_lab.config(
        "cat /outer/inner/in; ls /outer",
        mounts=[BindMount(str(tmp_path), "/outer/inner"), TmpfsMount("/outer")],
    )
    assert await run(oci_lab.driver(), config) == (0, ["inside", "inner"])


async def test_a_bind_below_nothing_but_the_container_ends_with_it(oci_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    driver = oci_lab.driver()
    config = oci_lab.config(
        "sleep", "100", mounts=[BindMount(str(tmp_path), "/data", propagation="rshared")]
    )
    await driver.create(config)
    await driver.start(config.id)
    await driver.remove(config.id)
    assert (tmp_path / "precious").read_text() == "kept"


async def test_an_image_is_a_read_only_mount_of_another(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = oci_lab.config(
        "cat /other/srv/layer /part/layer /file; ls /part; echo x > /part/layer; echo x > /other/x; exit 0",
        mounts=[
            ImageMount("app", "/other"),
            ImageMount("app", "/part", subpath="srv"),
            ImageMount("app", "/file", subpath="srv/layer"),
        ],
    )
    assert await run(driver, config) == (0, ["top", "top", "top", "layer"])
    assert (oci_lab.images.app[0] / "srv/layer").read_text() == "top\n"


async def test_a_part_of_a_volume_is_found_without_leaving_it(oci_lab: Lab, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "a/b").mkdir(parents=True)
    (volume / "a/b/file").write_text("in the volume\n")
    (volume / "etc").mkdir()
    (volume / "etc/passwd").write_text("the volume's own\n")
    (volume / "out").symlink_to("/etc")  # the volume's own etc, not the node's
    (volume / "up").symlink_to("../../../../../../../../root")
    driver = oci_lab.driver()
    config = oci_lab.config(
        "cat /part/file /out/passwd; echo new > /part/new",
        mounts=[
            BindMount(str(volume), "/part", subpath="a/b"),
            BindMount(str(volume), "/out", subpath="out"),
        ],
    )
    assert await run(driver, config) == (0, ["in the volume", "the volume's own"])
    assert (volume / "a/b/new").read_text() == "new\n"
    await driver.remove(config.id)
    for subpath in ("up", "missing"):
        config = oci_lab.config("true", mounts=[BindMount(str(volume), "/part", subpath=subpath)])
        with pytest.raises(TaskRejected, match=f"the volume mounted at /part has no {subpath}"):
            await driver.create(config)
        await driver.remove(config.id)
    assert (volume / "a/b/file").exists()
    assert str(oci_lab.base) not in "".join(
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/parts/" in line
    )


async def test_a_read_only_root_still_has_its_writable_mounts(oci_lab: Lab) -> None:
    config = oci_lab.config(
        "echo x > /file 2>/dev/null && exit 1; echo x > /tmp/file; cat /tmp/file",
        read_only=True,
        mounts=[TmpfsMount("/tmp")],
    )
    assert await run(oci_lab.driver(), config) == (0, ["x"])


async def test_a_container_is_shut_in(oci_lab: Lab) -> None:
    config = oci_lab.config(
        "echo $$; ls /proc | grep -c '^[0-9]*$';"
        "mount -t tmpfs x /tmp 2>/dev/null && echo mounted;"
        "echo 1 > /proc/sys/kernel/panic 2>/dev/null && echo sysctl;"
        "busybox unshare -n true 2>/dev/null && echo unshared;"
        "busybox chroot / true && echo chroot;"
        "cat /proc/kcore 2>/dev/null | head -c 1 | wc -c;"
        "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status"
    )
    _, lines = await run(oci_lab.driver(), config)
    assert lines[0] == "1"
    assert int(lines[1]) < 6
    assert lines[2:] == ["chroot", "0", "CapEff:\t00000000a80425fb", "NoNewPrivs:\t1", "Seccomp:\t2"]


async def test_a_terminal_when_asked_for(oci_lab: Lab) -> None:
    config = oci_lab.config("test -t 1 && echo terminal $TERM", tty=True)
    assert await run(oci_lab.driver(), config) == (0, ["terminal xterm\r"])


async def test_too_much_memory_is_out_of_memory(oci_lab: Lab) -> None:
    _needs("memory")
    driver = oci_lab.driver()
    config = oci_lab.config(
        "exec",
        limits=Limits(memory_bytes=16 * MIB),
        command=["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"],
    )
    await driver.create(config)
    await driver.start(config.id)
    info = await asyncio.wait_for(driver.wait(config.id), 20)
    assert (info.exit_code, info.oom_killed) == (137, True)


async def test_out_of_memory_is_known_after_adoption(oci_lab: Lab) -> None:
    _needs("memory")
    driver = oci_lab.driver()
    config = oci_lab.config(
        "sleep 0.2; exec dd if=/dev/zero of=/dev/null bs=64M count=1", limits=Limits(memory_bytes=16 * MIB)
    )
    await driver.create(config)
    await driver.start(config.id)
    await driver.close()
    driver = oci_lab.driver()
    await driver.adopt()
    assert (await asyncio.wait_for(driver.wait(config.id), 20)).oom_killed


async def test_a_plain_kill_is_not_out_of_memory(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = oci_lab.config("sleep", "100")
    await driver.create(config)
    await driver.start(config.id)
    await driver.kill(config.id, "KILL")
    info = await driver.wait(config.id)
    assert (info.exit_code, info.oom_killed) == (137, False)


async def test_limits_arrive_in_the_cgroup(oci_lab: Lab) -> None:
    for controller in ("memory", "cpu", "pids"):
        _needs(controller)
    driver = oci_lab.driver()
    # runc's half of a container has a handful of threads, which count until the command has replaced them.
    limits = Limits(nano_cpus=250_000_000, memory_bytes=32 * MIB, pids=20, memory_reservation_bytes=16 * MIB)
    config = oci_lab.config("for i in $(seq 19); do sleep 100 & done; wait", limits=limits)
    await driver.create(config)
    await driver.start(config.id)
    path = driver._cgroup(config.id).path.lstrip("/")  # type: ignore[union-attr]
    layout = read_layout()
    if layout.version == 1:
        assert (layout.mounts["cpu"] / path / "cpu.cfs_quota_us").read_text() == "25000\n"
        assert (layout.mounts["memory"] / path / "memory.limit_in_bytes").read_text() == f"{32 * MIB}\n"
        assert (layout.mounts["memory"] / path / "memory.soft_limit_in_bytes").read_text() == f"{16 * MIB}\n"
    else:
        assert layout.unified is not None
        assert (layout.unified / path / "cpu.max").read_text() == "25000 100000\n"
        assert (layout.unified / path / "memory.max").read_text() == f"{32 * MIB}\n"
        assert (layout.unified / path / "memory.low").read_text() == f"{16 * MIB}\n"

    async def full() -> bool:
        sample = await driver.sample(config.id)
        return sample is not None and sample.pids == 20

    await until(full)
    too_many = oci_lab.config(
        "for i in $(seq 25); do sleep 100 & done; echo all of them", limits=Limits(pids=20)
    )
    assert await run(driver, too_many) == (2, [])


async def test_a_shim_is_not_in_the_agents_cgroup(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = oci_lab.config("sleep", "100")
    await driver.create(config)
    shim = driver._containers[config.id].record.shim_pid
    layout = read_layout()
    mounted = {*layout.mounts, "" if layout.unified else None}
    own = dict(_cgroups("self"))
    for hierarchy, path in _cgroups(str(shim)):
        if hierarchy.split(",")[0] in mounted:
            assert path == own[hierarchy] == "/" or path.endswith("/shims")


def _cgroups(pid: str) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        yield hierarchy, path


async def test_the_given_network_namespace_is_joined(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    with _network_namespace() as path:
        config = oci_lab.config(
            "ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            netns_path=str(path),
            user="web",
        )
        assert await run(driver, config) == (0, ["lo", "0"])
        inode = path.stat().st_ino
        config = oci_lab.config("sleep", "100", netns_path=str(path))
        await driver.create(config)
        pid = (await driver.start(config.id)).pid
        assert Path(f"/proc/{pid}/ns/net").stat().st_ino == inode
        await driver.remove(config.id)
    with pytest.raises(TaskRejected, match=str(path)):
        await driver.create(oci_lab.config("true", netns_path=str(path)))


@contextmanager
def _network_namespace() -> Iterator[Path]:
    name = f"swarmtest{token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield Path("/run/netns") / name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


async def test_an_image_without_layers_or_command_is_refused_with_a_reason(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = replace(oci_lab.config("x"), image_digest="scratch", command=[])
    with pytest.raises(TaskRejected, match="what to run"):
        await driver.create(config)
    config = replace(oci_lab.config("x"), image_digest="scratch", command=["/nothing"])
    with pytest.raises(TaskRejected, match="/nothing"):
        await driver.create(config)
    assert oci_lab.leftovers() == []


async def test_a_long_log_is_rotated_and_read_as_one(oci_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.runtime.oci.driver.MAX_FILE_BYTES", 200_000)
    monkeypatch.setattr("swarm.runtime.supervision.TEND_INTERVAL_S", 0.02)
    driver = oci_lab.driver()
    config = oci_lab.config(
        "i=0; while [ $i -lt 6000 ]; do echo line $i; i=$((i+1)); done; sleep 0.3; echo end"
    )
    await driver.create(config)
    await driver.start(config.id)
    lines = await asyncio.wait_for(_follow(driver, config.id), 60)
    assert lines == [*(f"line {number}" for number in range(6000)), "end"]
    files = sorted(path.name for path in (oci_lab.base / "state/containers" / config.id).glob("log*"))
    assert files in (["log", "log.1"], ["log", "log.1", "log.2"])


async def _follow(driver, container_id: str) -> list[str]:  # type: ignore[no-untyped-def]
    from swarm.runtime.base import LogQuery

    return await said(driver, container_id, LogQuery(follow=True))


async def test_two_drivers_side_by_side_do_not_meet(oci_lab: Lab, tmp_path: Path) -> None:
    first = oci_lab.driver()
    other = Lab(oci_lab.kind, tmp_path, oci_lab.images)
    other.cgroup_parent = oci_lab.cgroup_parent
    second = other.driver()
    config = oci_lab.config("sleep", "100")
    try:
        await asyncio.gather(first.create(config), second.create(config))
        infos = await asyncio.gather(first.start(config.id), second.start(config.id))
        assert infos[0].pid != infos[1].pid
        await second.cleanup()
        info = await first.inspect(config.id)
        assert info is not None
        assert info.pid == infos[0].pid
        assert Path(f"/proc/{info.pid}").exists()
    finally:
        await other.driver().cleanup()


def _needs(controller: str) -> None:
    if controller not in controllers(read_layout()):
        pytest.skip(f"this machine's cgroups cannot limit {controller}")
