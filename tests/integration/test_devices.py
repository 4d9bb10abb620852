"""GPUs and devices of real nodes, as somebody sees them who types swarmctl."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until

pytestmark = pytest.mark.integration

CDI = """\
cdiVersion: 0.6.0
kind: nvidia.com/gpu
devices:
  - {name: "0", containerEdits: {deviceNodes: [{path: /dev/gpu0, hostPath: FOLDER/gpu0}]}}
  - {name: "1", containerEdits: {deviceNodes: [{path: /dev/gpu1, hostPath: FOLDER/gpu1}]}}
  - name: all
    containerEdits:
      deviceNodes: [{path: /dev/gpu0, hostPath: FOLDER/gpu0}, {path: /dev/gpu1, hostPath: FOLDER/gpu1}]
"""


@pytest.fixture(scope="module")
def person(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Somebody at a node that has two GPUs."""
    folder = tmp_path_factory.mktemp("d")
    (folder / "cdi").mkdir()
    (folder / "cdi" / "nvidia.yaml").write_text(CDI.replace("FOLDER", str(folder)))
    for name in ("gpu0", "gpu1"):
        os.mknod(folder / name, 0o20666, os.makedev(1, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWARM_CDI_DIRS", str(folder / "cdi"))
        operator = Operator(clusters.up(1, 0))
        operator.load_image(folder)
        yield operator


def gpus_in(person: Operator, row: dict[str, Any]) -> list[str]:
    """The GPUs that the container of a task has."""
    (task,) = json.loads(person("task", "inspect", row["ID"]))
    root = Path(f"/proc/{task['Status']['ContainerStatus']['PID']}/root/dev")
    return sorted(one.name for one in root.glob("gpu*") if stat.S_ISCHR(one.stat().st_mode))


def errors(person: Operator, service: str) -> list[str]:
    rows = person.rows("service", "ps", "--no-trunc", service)
    return [row["Error"] for row in rows]


def test_a_whole_gpu_goes_to_one_task_and_is_free_again(person: Operator) -> None:
    person("service", "create", "-d", "--name", "learn", "--replicas", "3", "--gpus", "1", "hello:1")
    rows = person.wait_running("learn", 2)
    assert sorted(gpus_in(person, row) for row in rows) == [["gpu0"], ["gpu1"]]
    wait_until(lambda: any("insufficient resources on 1 node" in one for one in errors(person, "learn")))
    person("service", "rm", "learn")
    person("service", "create", "-d", "--name", "all", "--gpus", "all", "hello:1")
    (row,) = person.wait_running("all", 1)
    assert gpus_in(person, row) == ["gpu0", "gpu1"]


def test_a_device_that_is_missing_is_named_before_a_node_is_chosen_and_after(person: Operator) -> None:
    person("service", "create", "-d", "--name", "odd", "--device", "nvidia.com/gpu=9", "hello:1")
    wait_until(lambda: any("(no device nvidia.com/gpu=9 on 1 node)" in one for one in errors(person, "odd")))
    person("service", "update", "-d", "--device-rm", "nvidia.com/gpu=9", "--device-add", "/dev/none", "odd")
    wait_until(lambda: any("no device /dev/none on this node" in one for one in errors(person, "odd")))
    (service,) = json.loads(person("service", "inspect", "odd"))
    assert service["Spec"]["TaskTemplate"]["ContainerSpec"]["Devices"] == [
        {"PathOnHost": "/dev/none", "PathInContainer": "/dev/none", "CgroupPermissions": "rwm"}
    ]
    person(
        "service", "update", "-d", "--device-rm", "/dev/none", "--device-add", "/dev/full:/dev/mine:r", "odd"
    )
    person.wait_running("odd", 1)
