"""CDI specifications: what they say, which of several counts, what is one device under two names."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.cdi.registry import read_registry
from swarm.runtime.cdi.spec import DeviceNode, Edits, Hook, HostMount, read_spec

YAML = """\
cdiVersion: 0.6.0
kind: nvidia.com/gpu
containerEdits:
  env: [DRIVER=1]
  deviceNodes:
    - path: /dev/nvidiactl
devices:
  - name: "0"
    containerEdits:
      deviceNodes:
        - {path: /dev/nvidia0, major: 195, minor: 0, fileMode: 438, permissions: rw, uid: 0, gid: 7}
      mounts:
        - {hostPath: /lib/a, containerPath: /lib/b, options: [ro, bind]}
      hooks:
        - {hookName: createContainer, path: /bin/hook, args: [hook, x], env: [A=b], timeout: 5}
      additionalGids: [0, 44]
  - name: GPU-a
    containerEdits:
      deviceNodes: [{path: /dev/nvidia0}]
"""


def a_spec(*names: str, kind: str = "v.com/c", **edits: Any) -> dict[str, Any]:
    return {
        "cdiVersion": "0.5.0",
        "kind": kind,
        "devices": [{"name": name, "containerEdits": edits} for name in names],
    }


def gpu(name: str, *files: str) -> dict[str, Any]:
    return {"name": name, "containerEdits": {"deviceNodes": [{"path": f"/dev/{one}"} for one in files]}}


def write(directory: Path, name: str, document: object) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_everything_in_a_specification_is_read(tmp_path: Path) -> None:
    write(tmp_path, "nvidia.yaml", YAML)
    registry = read_registry([tmp_path])
    assert registry.problems == ()
    assert registry.edits_for(["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-a"]) == Edits(
        env=("DRIVER=1",),  # once, however many of its devices there are
        device_nodes=(
            DeviceNode("/dev/nvidiactl", ""),
            DeviceNode("/dev/nvidia0", "", "", 195, 0, 0o666, "rw", 0, 7),
            DeviceNode("/dev/nvidia0", ""),
        ),
        mounts=(HostMount("/lib/a", "/lib/b", ("ro", "bind")),),
        hooks=(Hook("createContainer", "/bin/hook", ("hook", "x"), ("A=b",), 5),),
        additional_gids=(44,),
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"cdiVersion": "2.0.0"}, "cdiVersion"),
        ({"cdiVersion": None}, "cdiVersion of the specification is not a text"),
        ({"kind": "gpu"}, "is not VENDOR/CLASS"),
        ({"devices": []}, "no devices"),
        ({"devices": {}}, "devices of the specification is not a list"),
        ({"devices": [{"name": "a b"}]}, "not the name of a device"),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, "there twice"),
        ({"devices": ["a"]}, "not a table"),
        ({"containerEdits": []}, "not a table"),
        ({"containerEdits": {"env": ["A"]}}, "not NAME=VALUE"),
        ({"containerEdits": {"env": [1]}}, "not a text"),
        ({"containerEdits": {"deviceNodes": [{"path": "dev/a"}]}}, "not an absolute path"),
        ({"containerEdits": {"deviceNodes": [{"path": "/dev/a", "type": "x"}]}}, "not one of b, c, u, p"),
        ({"containerEdits": {"deviceNodes": [{"path": "/dev/a", "permissions": "z"}]}}, "not of r, w, m"),
        ({"containerEdits": {"deviceNodes": [{"path": "/dev/a", "major": -1}]}}, "at least 0"),
        ({"containerEdits": {"deviceNodes": [{"path": "/dev/a", "uid": True}]}}, "at least 0"),
        ({"containerEdits": {"mounts": [{"hostPath": "/a", "containerPath": "b"}]}}, "not an absolute path"),
        ({"containerEdits": {"hooks": [{"hookName": "never", "path": "/a"}]}}, "not one of prestart"),
    ],
)
def test_nonsense_is_refused_with_its_place(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        read_spec(a_spec("a") | change)


def test_a_later_directory_counts_more_and_two_files_beside_each_other_contradict(tmp_path: Path) -> None:
    first, second = tmp_path / "etc", tmp_path / "run"
    write(first, "a.json", a_spec("x", "y", env=["FROM=etc"]))
    write(second, "a.json", a_spec("x", env=["FROM=run"]))
    registry = read_registry([first, tmp_path / "missing", second])
    assert registry.edits_for(["v.com/c=x"]).env == ("FROM=run",)
    assert registry.edits_for(["v.com/c=y"]).env == ("FROM=etc",)
    write(second, "b.json", a_spec("x", "z", env=["FROM=other"]))
    registry = read_registry([first, second])
    assert sorted(registry.devices) == ["v.com/c=y", "v.com/c=z"]
    with pytest.raises(TaskRejected, match=r"b\.json: the device v.com/c=x stands in another file"):
        registry.edits_for(["v.com/c=x"])


def test_a_broken_file_takes_nothing_from_others(tmp_path: Path) -> None:
    write(tmp_path, "good.json", a_spec("x"))
    write(tmp_path, "broken.json", "{")
    write(tmp_path, "broken.yaml", "a: [")
    write(tmp_path, "bad.yaml", "cdiVersion: 0.5.0\n")
    write(tmp_path, "deep.json", "[" * 100_000)
    write(tmp_path, "binary.yaml", "").write_bytes(b"\xff\xfe\xff")
    write(tmp_path, "ignored.txt", "no specification")
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nothing")
    registry = read_registry([tmp_path])
    assert list(registry.devices) == ["v.com/c=x"]
    assert sorted(Path(one.partition(":")[0]).name for one in registry.problems) == [
        "bad.yaml", "binary.yaml", "broken.json", "broken.yaml", "dangling.json", "deep.json",
    ]  # fmt: skip


def test_a_missing_device_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, "a.json", a_spec("10", "2", "x"))
    with pytest.raises(TaskRejected) as caught:
        read_registry([tmp_path]).edits_for(["v.com/c=5"])
    assert str(caught.value) == ("no device v.com/c=5 on this node: it has v.com/c=2, v.com/c=10, v.com/c=x")
    with pytest.raises(TaskRejected, match="it has none"):
        read_registry([]).edits_for(["v.com/c=5"])


@pytest.mark.parametrize(
    ("devices", "parts"),
    [
        ([gpu("0", "a"), gpu("1", "b")], {"0": ("0",), "1": ("1",)}),
        ([gpu("GPU-x", "a"), gpu("0", "a")], {"0": ("0",), "GPU-x": ("0",)}),
        (
            [gpu("all", "a", "b"), gpu("0", "a"), gpu("1", "b"), gpu("GPU-x", "b")],
            {"0": ("0",), "1": ("1",), "GPU-x": ("1",), "all": ("0", "1")},
        ),
        # One device: `all` is another name for it.
        ([gpu("all", "a"), gpu("0", "a")], {"0": ("0",), "all": ("0",)}),
        # A file that all of them need makes them no less several.
        (
            [gpu("0", "k", "a"), gpu("1", "k", "b"), gpu("all", "k", "a", "b")],
            {"0": ("0",), "1": ("1",), "all": ("0", "1")},
        ),
        # Parts of a card, each with a file of its own beside the card's.
        (
            [gpu("0:0", "a", "c1"), gpu("0:1", "a", "c2"), gpu("all", "a", "c1", "c2")],
            {"0:0": ("0:0",), "0:1": ("0:1",), "all": ("0:0", "0:1")},
        ),
        # Without files nothing says that they are the same.
        ([gpu("a"), gpu("b")], {"a": ("a",), "b": ("b",)}),
    ],
)
def test_device_files_tell_what_is_one_whole_device(
    tmp_path: Path, devices: list[dict[str, Any]], parts: dict[str, tuple[str, ...]]
) -> None:
    write(tmp_path, "a.json", a_spec() | {"devices": devices})
    assert read_registry([tmp_path]).parts() == {f"v.com/c={name}": some for name, some in parts.items()}
