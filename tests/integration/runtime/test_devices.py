"""Devices in real containers: the file is there, and the kernel allows what was granted and no more."""

import json
import os
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.oci.devices import CdiSettings
from tests.integration.runtime.labs import Lab, run

pytestmark = pytest.mark.integration

KMSG = os.makedev(1, 11)  # may be opened for writing by root, and no container has it unasked
OPEN = "(: > /dev/mine) 2>/dev/null && echo opened || echo refused; ls -l /dev/mine | cut -c1-10"


@pytest.fixture
def kmsg(tmp_path: Path) -> Path:
    path = tmp_path / "kmsg"
    os.mknod(path, 0o20620, KMSG)
    path.chmod(0o620)
    return path


async def test_a_cdi_device_brings_its_files_variables_and_mounts(
    oci_lab: Lab, kmsg: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "driver").write_text("works\n")
    edits = {
        "env": ["DRIVER=/opt/lib"],
        "deviceNodes": [{"path": "/dev/mine", "hostPath": str(kmsg)}],
        "mounts": [{"hostPath": str(library), "containerPath": "/opt/lib", "options": ["ro", "rbind"]}],
    }
    devices = [{"name": "x", "containerEdits": edits}, {"name": "y", "containerEdits": {"hooks": [_HOOK]}}]
    document = {"cdiVersion": "0.5.0", "kind": "test.swarm/thing", "devices": devices}
    (tmp_path / "thing.json").write_text(json.dumps(document))
    driver = oci_lab.driver()
    driver._cdi = CdiSettings((tmp_path,))  # type: ignore[union-attr]
    script = f"{OPEN}; cat $DRIVER/driver"
    config = oci_lab.config(script, cdi_devices=["test.swarm/thing=x"])
    assert await run(driver, config) == (0, ["opened", "crw--w----", "works"])
    for name, reason in (("y", "cdi_hooks = allow"), ("z", "no device test.swarm/thing=z on this node")):
        with pytest.raises(TaskRejected, match=reason):
            await driver.create(oci_lab.config("true", cdi_devices=[f"test.swarm/thing={name}"]))


_HOOK = {"hookName": "createContainer", "path": "/bin/true"}
