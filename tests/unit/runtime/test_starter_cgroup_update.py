"""Other limits for a cgroup that is in use: all of them, or none; plain files stand for the kernel's."""

from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import Limits
from swarm.runtime.docker.request import changed
from swarm.runtime.oci.abilities import Abilities, Control
from swarm.runtime.oci.resources import changed_resources
from swarm.runtime.starter import cgroups

MIB = 1 << 20


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "memory": {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "134217728"},
        "pids": {"pids.max": "max"},
        "cpu": {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"},
    }
    for controller, values in files.items():
        folder = tmp_path / controller / "box"
        folder.mkdir(parents=True)
        for name, value in values.items():
            (folder / name).write_text(value)
    mounts = {controller: str(tmp_path / controller) for controller in files}
    monkeypatch.setattr(cgroups, "mounts", lambda: (mounts, ""))

    def write(path: str, value: str) -> None:
        """As the kernel: memory may never be more than memory and swap together, nor less than is in use."""
        folder = Path(path).parent
        new = (
            {name: int((folder / name).read_text()) for name in files["memory"]}
            if folder.parent.name == "memory"
            else {}
        )
        if new:
            new[Path(path).name] = int(value)
            if new["memory.limit_in_bytes"] > new["memory.memsw.limit_in_bytes"] or min(new.values()) < MIB:
                raise OSError(16, "busy", path)
        Path(path).write_text(value)

    monkeypatch.setattr(cgroups, "_write", write)
    return tmp_path


def read(root: Path, name: str) -> str:
    return (root / name.partition(".")[0] / "box" / name).read_text()


@pytest.mark.parametrize("limit", [16 * MIB, 256 * MIB])
def test_memory_is_lowered_and_raised_whichever_file_has_to_come_first(v1: Path, limit: int) -> None:
    cgroups.update("/box", changed_resources(Limits(memory_bytes=limit, pids=9), Limits(), Abilities()))
    assert read(v1, "memory.limit_in_bytes") == str(limit)
    assert read(v1, "memory.memsw.limit_in_bytes") == str(2 * limit)
    assert read(v1, "pids.max") == "9"


def test_what_the_kernel_refuses_leaves_all_as_it_was(v1: Path) -> None:
    resources = changed_resources(Limits(memory_bytes=1, nano_cpus=10**9), Limits(), Abilities())
    with pytest.raises(OSError, match="busy"):
        cgroups.update("/box", resources)
    assert read(v1, "memory.limit_in_bytes") == str(64 * MIB)
    assert read(v1, "cpu.cfs_quota_us") == "-1"


def test_a_limit_that_is_taken_away_is_written_as_none() -> None:
    before = Limits(memory_bytes=64 * MIB, pids=5, nano_cpus=10**9, cpu_shares=200)
    resources = changed_resources(Limits(pids=7), before, Abilities())
    assert resources == {
        "memory": {"limit": -1, "swap": -1},
        "cpu": {"quota": -1, "shares": 1024},
        "pids": {"limit": 7},
    }
    assert changed_resources(Limits(), Limits(), Abilities()) == {}
    assert changed(Limits(), before)["PidsLimit"] == -1


def test_a_bound_that_the_node_cannot_keep_is_refused() -> None:
    node = Abilities(controls=frozenset(Control) - {Control.PIDS})
    with pytest.raises(TaskRejected, match="cannot limit"):
        changed_resources(Limits(pids=7), Limits(), node)
