import os
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerConfig, Security, SELinuxLabel, Shared
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci import relabel as relabelling
from swarm.runtime.oci.abilities import Abilities
from swarm.runtime.oci.overlay import labelled
from swarm.runtime.oci.relabel import relabel, relabel_mounts
from swarm.runtime.oci.selinux import (
    LEVEL_FILE,
    Labels,
    Levels,
    Policy,
    described,
    free_level,
    is_labelled,
    make_labels,
    read_policy,
)
from swarm.runtime.oci.spec import Surroundings, build_spec, spec_warnings
from swarm.runtime.oci.users import User
from swarm.runtime.starter.rootfs import labelled as starters_options

CONFIG = ContainerConfig(id="task0123456789abcdef", image="app", image_digest="d", command=["run"])
POLICY = Policy()
LABELS = make_labels(SELinuxLabel(), POLICY, "s0:c1,c2")
AROUND = Surroundings(Path("/r"), "/c", User(0, 0, (), "/"), labels=LABELS)
IMAGE = ImageConfig(digest="d")


def _asked(**parts: str | bool) -> ContainerConfig:
    return replace(CONFIG, security=Security(selinux=SELinuxLabel(**parts)))  # type: ignore[arg-type]


def _kernel(directory: Path, enforce: str = "1") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "enforce").write_text(enforce)
    (directory / "context").touch()
    return directory


def test_a_node_without_selinux_has_no_policy(tmp_path: Path) -> None:
    assert read_policy(tmp_path, tmp_path) is None
    assert described(None) == "no"


def test_labels_are_those_that_the_policy_has_for_containers(tmp_path: Path) -> None:
    contexts = tmp_path / "mine/contexts"
    contexts.mkdir(parents=True)
    (tmp_path / "config").write_text("# x\nSELINUX=permissive\nSELINUXTYPE=mine\n")
    (contexts / "lxc_contexts").write_text('# c\nprocess = "u:r:box_t:s0"\nfile = "u:o:box_file_t:s0"\n')
    found = read_policy(_kernel(tmp_path / "kernel", "0"), tmp_path)
    assert found == Policy("u:r:box_t:s0", "u:o:box_file_t:s0", enforcing=False)
    assert described(found) == "permissive"


def test_without_a_file_of_the_policy_they_are_the_usual_ones(tmp_path: Path) -> None:
    assert read_policy(_kernel(tmp_path), tmp_path / "none") == Policy()


def test_a_container_has_the_usual_type_and_a_level_of_its_own() -> None:
    assert LABELS.process == "system_u:system_r:container_t:s0:c1,c2"
    assert LABELS.mount == "system_u:object_r:container_file_t:s0:c1,c2"
    assert LABELS.shared == "system_u:object_r:container_file_t:s0"


def test_what_is_asked_for_is_a_part_of_the_label() -> None:
    labels = make_labels(SELinuxLabel("u", "r", "web_t", "s0:c9"), POLICY, "")
    assert labels.process == "u:r:web_t:s0:c9"
    assert labels.mount == "u:object_r:container_file_t:s0:c9"


def test_a_policy_without_levels_gets_none() -> None:
    policy = Policy("u:r:box_t", "u:o:box_file_t")
    assert free_level(policy.process, (), random.Random(1)) == ""
    assert make_labels(SELinuxLabel(level="s0"), policy, "").process == "u:r:box_t"


def test_no_two_containers_have_the_same_level() -> None:
    def twice() -> SimpleNamespace:
        drawn = iter([[7, 3], [7, 3], [9, 1]])
        return SimpleNamespace(sample=lambda numbers, count: next(drawn))

    assert free_level(POLICY.process, {"s0:c3,c7"}, twice()) == "s0:c1,c9"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config",
    [
        _asked(disabled=True),
        replace(CONFIG, security=Security(privileged=True)),
        replace(CONFIG, shared=Shared(pid=True)),
        replace(CONFIG, shared=Shared(ipc=True)),
    ],
)
def test_who_has_the_run_of_the_node_has_no_label(config: ContainerConfig, tmp_path: Path) -> None:
    assert not is_labelled(config)
    assert Levels(tmp_path).take(config, POLICY, _kernel(tmp_path / "k")) is None


def test_a_level_stays_for_the_life_of_a_container(tmp_path: Path) -> None:
    kernel, containers = _kernel(tmp_path / "k"), tmp_path / "containers"
    first = Levels(containers).take(CONFIG, POLICY, kernel)
    assert first is not None
    (containers / CONFIG.id).mkdir(parents=True)
    (containers / CONFIG.id / LEVEL_FILE).write_text(first.level)
    assert Levels(containers).take(CONFIG, POLICY, kernel) == first, "another agent, the same container"
    other = Levels(containers).take(replace(CONFIG, id="other0123456789abcde"), POLICY, kernel)
    assert other is not None
    assert other.level != first.level


def test_a_label_that_the_policy_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()  # whoever writes to it gets an error, as from the kernel
    with pytest.raises(TaskRejected, match=r"has no label system_u:system_r:none_t:s0"):
        Levels(tmp_path).take(_asked(type="none_t"), POLICY, tmp_path)


def test_the_runtime_is_given_both_labels() -> None:
    spec = build_spec(CONFIG, IMAGE, AROUND)
    assert spec["process"]["selinuxLabel"] == LABELS.process
    assert spec["linux"]["mountLabel"] == LABELS.mount
    assert not any(one["destination"] == "/sys/fs/selinux" for one in spec["mounts"])


def test_nested_labels_need_the_kernels_files_and_mounts_without_a_label() -> None:
    around = replace(AROUND, labels=make_labels(SELinuxLabel(nested=True), POLICY, "s0:c1,c2"))
    spec = build_spec(CONFIG, IMAGE, around)
    assert spec["process"]["selinuxLabel"] == LABELS.process
    assert "mountLabel" not in spec["linux"]
    assert spec["mounts"][-1]["source"] == "/sys/fs/selinux"


def test_without_selinux_the_options_mean_nothing_and_a_warning_says_so() -> None:
    config = _asked(type="web_t")
    spec = build_spec(config, IMAGE, replace(AROUND, labels=None))
    assert "selinuxLabel" not in spec["process"]
    assert "mountLabel" not in spec["linux"]
    assert [one for one in spec_warnings(config, Abilities()) if "no SELinux" in one]
    assert not [one for one in spec_warnings(config, Abilities(selinux=POLICY)) if "SELinux" in one]
    assert not [one for one in spec_warnings(_asked(disabled=True), Abilities()) if "SELinux" in one]


def test_all_files_of_a_mount_have_the_label() -> None:
    assert labelled("lowerdir=/a", "u:o:t:s0:c1,c2") == 'lowerdir=/a,context="u:o:t:s0:c1,c2"'
    assert labelled("lowerdir=/a", "") == "lowerdir=/a"


def test_our_starter_labels_what_it_makes_in_memory() -> None:
    entry = {"type": "tmpfs", "options": ["ro"]}
    assert starters_options(entry, "u:o:t:s0:c1,c2") == ["ro", 'context="u:o:t:s0:c1,c2"']
    assert starters_options({"type": "proc"}, "l") == []
    assert starters_options(entry, "") == ["ro"]


class _Files:
    """Labels of files, as a kernel with SELinux would keep them; in the order in which they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.labels: dict[str, str] = {}
        monkeypatch.setattr(relabelling, "read_label", lambda path: self.labels.get(path, ""))
        monkeypatch.setattr(relabelling, "write_label", self.labels.__setitem__)


def test_relabelling_takes_the_root_last_and_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _Files(monkeypatch)
    outside, root = tmp_path / "outside", tmp_path / "root"
    for path in (outside, root, root / "deep"):
        path.mkdir()
    (root / "deep/file").touch()
    (outside / "theirs").touch()
    (root / "link").symlink_to(outside)
    relabel(root, "l")
    assert list(files.labels)[-1] == str(root)
    assert set(files.labels) == {str(root / name) for name in ("", "deep", "deep/file", "link")}
    files.labels = {str(root): "l"}
    relabel(root, "l")
    assert list(files.labels) == [str(root)], "it was done already"


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/", "/var/../home"])
def test_the_nodes_own_directories_are_not_relabelled(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _Files(monkeypatch)
    with pytest.raises(TaskRejected, match="the node's"):
        relabel(Path(path), "l")
    assert not files.labels


def test_a_shared_and_an_own_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _Files(monkeypatch)
    for name in ("all", "mine", "none"):
        (tmp_path / name).mkdir()
    mounts = [
        BindMount(str(tmp_path / "all"), "/a", relabel="z"),
        BindMount(str(tmp_path / "mine"), "/m", relabel="Z"),
        BindMount(str(tmp_path / "none"), "/n"),
    ]
    relabel_mounts(replace(CONFIG, mounts=mounts), Labels("p", "own", "shared"))
    assert files.labels == {str(tmp_path / "all"): "shared", str(tmp_path / "mine"): "own"}


def test_the_kernel_keeps_the_label(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with suppress(OSError):  # where nobody, or not this user, may give labels
        os.setxattr(tmp_path, relabelling.ATTRIBUTE, b"u:o:t:s0\0")
        relabel(tmp_path, "u:o:other:s0")
        assert relabelling.read_label(str(tmp_path / "file")) == "u:o:other:s0"
