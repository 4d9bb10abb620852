"""What only real containers can do: file system, users, limits, namespaces."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ImageMount, Limits, LogQuery
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.probe import controllers
from tests.integration.runtime.labs import Lab, run, said, until

pytestmark = pytest.mark.integration
MIB = 1024 * 1024


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


async def test_a_long_log_is_rotated_and_read_as_one(oci_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.runtime.oci.log_rotation.MAX_FILE_BYTES", 200_000)
    monkeypatch.setattr("swarm.runtime.oci.log_rotation.INTERVAL_S", 0.02)
    driver = oci_lab.driver()
    config = oci_lab.config(
        "trap told=1 USR1; i=0; while [ $i -lt 6000 ]; do echo line $i; i=$((i+1)); done; "
        "until [ $told ]; do sleep 0.05; done; echo end"
    )
    await driver.create(config)
    await driver.start(config.id)
    following = asyncio.create_task(said(driver, config.id, LogQuery(follow=True)))
    await until((oci_lab.base / "state/containers" / config.id / "log.1").exists)
    await driver.kill(config.id, "USR1")
    lines = await asyncio.wait_for(following, 60)
    assert lines == [*(f"line {number}" for number in range(6000)), "end"]
    files = sorted(path.name for path in (oci_lab.base / "state/containers" / config.id).glob("log*"))
    assert files in (["log", "log.1"], ["log", "log.1", "log.2"])


def _needs(controller: str) -> None:
    if controller not in controllers(read_layout()):
        pytest.skip(f"this machine's cgroups cannot limit {controller}")
