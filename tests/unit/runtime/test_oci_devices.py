"""What devices change in a config.json. /dev/null stands for a device: every machine has it."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, HostDevice
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.devices import CdiSettings, apply_edits, edits_for
from swarm.runtime.oci.spec import Surroundings, build_spec
from swarm.runtime.oci.users import User

IMAGE = ImageConfig(digest="d", entrypoint=["/entry"], env=["A=image"])
AROUND = Surroundings(
    rootfs=Path("/state/rootfs"),
    cgroup_path="/swarm/node/task",
    user=User(uid=5, gid=6, additional_gids=(7,), home="/"),
)
NULL = {"type": "c", "major": 1, "minor": 3}


def a_spec(settings: CdiSettings | None = None, **changes: Any) -> dict[str, Any]:
    config = ContainerConfig(id="task0123456789", image="app", image_digest="d", **changes)
    spec = build_spec(config, IMAGE, AROUND)
    apply_edits(spec, edits_for(config, settings or CdiSettings(())))
    json.dumps(spec)
    return spec


def cdi(folder: Path, **edits: Any) -> CdiSettings:
    document = {
        "cdiVersion": "0.5.0",
        "kind": "v.com/c",
        "devices": [{"name": "x", "containerEdits": edits}],
    }
    (folder / "v.json").write_text(json.dumps(document))
    return CdiSettings((folder,))


def rules(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return list(spec["linux"]["resources"]["devices"])


def test_a_container_without_devices_may_use_none() -> None:
    spec = a_spec()
    assert rules(spec) == [{"allow": False, "access": "rwm"}]
    assert "devices" not in spec["linux"]
    assert "hooks" not in spec


def test_a_device_of_the_node_is_made_and_allowed() -> None:
    spec = a_spec(devices=[HostDevice("/dev/null", "/dev/mine", "rw")])
    (made,) = spec["linux"]["devices"]
    assert made == {"path": "/dev/mine", **NULL, "fileMode": 0o666, "uid": 0, "gid": 0}
    assert rules(spec)[1:] == [{"allow": True, **NULL, "access": "rw"}]


def test_a_symbolic_link_is_followed_and_a_directory_gives_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "by-id").symlink_to("/dev/null")
    spec = a_spec(devices=[HostDevice(str(tmp_path / "by-id"), "/dev/mine")])
    assert rules(spec)[1:] == [{"allow": True, **NULL, "access": "rwm"}]
    with pytest.raises(TaskRejected, match="no device in the directory"):
        a_spec(devices=[HostDevice(str(tmp_path))])


def test_what_is_not_there_or_no_device_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(TaskRejected, match="no device /dev/no-such-device on this node: No such file"):
        a_spec(devices=[HostDevice("/dev/no-such-device")])
    (tmp_path / "file").touch()
    with pytest.raises(TaskRejected, match="file on this node is not a device"):
        a_spec(devices=[HostDevice(str(tmp_path / "file"))])
    with pytest.raises(TaskRejected, match=r"no device v\.com/c=y on this node: it has v\.com/c=x"):
        a_spec(cdi(tmp_path), cdi_devices=["v.com/c=y"])


def test_every_edit_of_a_cdi_specification_is_made(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    node = {"path": "/dev/mine", "hostPath": "/dev/null", "permissions": "r", "gid": 9}
    mount = {"hostPath": str(tmp_path / "lib"), "containerPath": "/usr/lib/x"}
    settings = cdi(
        tmp_path, env=["A=cdi", "B=2"], deviceNodes=[node], mounts=[mount], additionalGids=[7, 44]
    )
    spec = a_spec(
        settings,
        cdi_devices=["v.com/c=x"],
        mounts=[BindMount("/srv", "/usr/lib/x"), BindMount("/srv", "/srv")],
    )
    assert {"A=cdi", "B=2"} <= set(spec["process"]["env"])
    assert "A=image" not in spec["process"]["env"]
    assert spec["process"]["user"]["additionalGids"] == [7, 44]
    assert spec["linux"]["devices"] == [{"path": "/dev/mine", **NULL, "fileMode": 0o666, "uid": 0, "gid": 9}]
    assert rules(spec)[1:] == [{"allow": True, **NULL, "access": "r"}]
    assert [one["source"] for one in spec["mounts"] if one["destination"] == "/usr/lib/x"] == [
        str(tmp_path / "lib")
    ]
    assert any(one["destination"] == "/srv" for one in spec["mounts"])


def test_hooks_run_only_where_the_node_allows_it(tmp_path: Path) -> None:
    hook = {"hookName": "createContainer", "path": "/bin/hook", "args": ["hook"], "timeout": 3}
    settings = cdi(tmp_path, hooks=[hook])
    with pytest.raises(TaskRejected, match=r"v.com/c=x: .* wants to run /bin/hook .*cdi_hooks = allow"):
        a_spec(settings, cdi_devices=["v.com/c=x"])
    spec = a_spec(CdiSettings(settings.directories, hooks=True), cdi_devices=["v.com/c=x"])
    assert spec["hooks"] == {"createContainer": [{"path": "/bin/hook", "args": ["hook"], "timeout": 3}]}


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        ({"intelRdt": {"closID": "a"}}, "asks for intelRdt, unknown here"),
        ({"deviceNodes": [{"path": "/dev/no-such-device"}]}, "no device /dev/no-such-device"),
        ({"deviceNodes": [{"path": "/dev/null", "type": "b"}]}, "not the device that its CDI"),
        ({"mounts": [{"hostPath": "/no/such/path", "containerPath": "/a"}]}, "does not exist on this node"),
    ],
)
def test_what_this_node_cannot_do_is_refused(tmp_path: Path, edits: dict[str, Any], problem: str) -> None:
    with pytest.raises(TaskRejected, match=problem):
        a_spec(cdi(tmp_path, **edits), cdi_devices=["v.com/c=x"])


def test_numbers_in_the_specification_need_no_file_on_the_node(tmp_path: Path) -> None:
    node = {"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}
    spec = a_spec(cdi(tmp_path, deviceNodes=[node]), cdi_devices=["v.com/c=x"])
    assert spec["linux"]["devices"] == [{"path": "/dev/mine", **NULL, "fileMode": 0o600}]
