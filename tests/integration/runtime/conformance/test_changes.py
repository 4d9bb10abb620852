"""What a container changed of its image's files, with every driver that can; the others say no."""

import io
import tarfile
from collections.abc import AsyncIterator

import pytest

from swarm.errors import FailedPrecondition
from swarm.runtime.abilities import Ability
from swarm.runtime.base import TmpfsMount
from swarm.runtime.images.tarreader import TarReader
from tests.integration.runtime.labs import Driver, Lab, has_said, until

pytestmark = pytest.mark.integration

CHANGES = (
    "echo new > /srv/layer; echo new > /srv/added; busybox rm -r /etc/group; "
    "mkdir -p /tmp/a/b; echo x > /tmp/a/b/c; busybox ln /srv/added /srv/again; "
    "busybox ln -s /etc/shadow /srv/link; echo mine > /mnt/mounted; echo ready; while :; do sleep 1; done"
)


async def _whole(chunks: AsyncIterator[bytes]) -> dict[str, tarfile.TarInfo]:
    tar, found = TarReader(io.BytesIO(b"".join([chunk async for chunk in chunks]))), {}
    while (entry := tar.next()) is not None:
        found[entry.name] = entry
    return found


async def _changed(driver: Driver, container_id: str) -> dict[str, str]:
    return {one.path: one.kind.value async for one in driver.changes(container_id)}


async def test_changes_exports_and_layers_tell_the_same_also_after_the_end(lab: Lab) -> None:
    driver = lab.driver()
    can = await lab.can(Ability.COPY)
    mounts = [TmpfsMount("/mnt")] if can else []
    script = CHANGES if can else "echo ready; while :; do sleep 1; done"
    config = lab.config(script, mounts=mounts)
    await driver.create(config)
    await driver.start(config.id)
    await until(lambda: has_said(driver, config.id, "ready"))
    if not can:
        for stream in (driver.changes, driver.export, driver.layer):
            with pytest.raises(FailedPrecondition, match="this node"):
                await anext(stream(config.id))  # type: ignore[operator]
        await driver.remove(config.id)
        return
    for ended in (False, True):
        if ended:
            await driver.stop(config.id, 0.1)
        changed = await _changed(driver, config.id)
        assert {
            path: changed.get(path) for path in ("/srv/layer", "/srv/added", "/etc/group", "/tmp/a/b/c")
        } == {
            "/srv/layer": "C",
            "/srv/added": "A",
            "/etc/group": "D",
            "/tmp/a/b/c": "A",
        }
        assert not [path for path in changed if path.startswith(("/mnt/", "/proc/", "/sys/", "/bin"))]
        layer = await _whole(driver.layer(config.id))
        assert layer["etc/.wh.group"].size == 0
        assert {layer["srv/added"].type, layer["srv/again"].type} == {tarfile.REGTYPE, tarfile.LNKTYPE}
        assert layer["srv/link"].linkname == "/etc/shadow"
        assert (layer["srv/layer"].uid, "bin/busybox" in layer, "mnt/mounted" in layer) == (0, False, False)
        export = await _whole(driver.export(config.id))
        assert {"bin/busybox", "srv/layer", "tmp/a/b/c"} <= export.keys()
        assert not {"etc/group", "srv/removed", "mnt/mounted"} & export.keys()
        assert not [name for name in export if name.startswith(("proc/", "sys/"))]
        assert await driver.disk_bytes(config.id, output=False) > 0
    await driver.remove(config.id)


async def test_a_reader_that_leaves_keeps_nobody_from_removing_the_container(lab: Lab) -> None:
    if not await lab.can(Ability.COPY):
        return
    driver = lab.driver()
    config = lab.lasting()
    await driver.create(config)
    await driver.start(config.id)
    stream = driver.export(config.id)
    await anext(stream)
    await driver.remove(config.id)
    await stream.aclose()  # type: ignore[attr-defined]
