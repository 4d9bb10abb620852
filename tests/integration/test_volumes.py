"""Data that stays: real containers on real nodes, replaced, moved, and with their agent killed."""

import json
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until
from tests.volume_plugin import serving

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
# Each life writes a line into its own volume, which is filled with the image's /bin on first use.
DIARY = "echo life >> /bin/diary; echo lives $(wc -l < /bin/diary); touch /scratch/x; exec sleep 100000"


@pytest.fixture(scope="module")
def trio(clusters: Clusters) -> DevCluster:
    return clusters.up(1, 2)


@pytest.fixture(scope="module")
def person(trio: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    operator = Operator(trio)
    operator("update", "--dispatcher-heartbeat", "60s")  # a node that starts again is not taken for dead
    operator.load_image(tmp_path_factory.mktemp("image"))
    return operator


def volumes(cluster: DevCluster, node: str) -> dict[str, Path]:
    """The volumes on a node's disk, by name."""
    return {
        path.name: path / "_data" for path in (cluster.plan.node(node).data / "state/volumes").glob("[!.]*")
    }


def volume_mounts(cluster: DevCluster) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f"{cluster.plan.data}/" in line.split(" ")[4] and "/volumes/" in line]


def kill_container(person: Operator, row: dict[str, Any]) -> None:
    (task,) = json.loads(person("task", "inspect", row["ID"]))
    pid = int(task["Status"]["ContainerStatus"]["PID"])
    assert b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert pid > 1
    os.kill(pid, signal.SIGKILL)


def places(person: Operator) -> dict[str, str]:
    return {row["Name"]: row["Node"] for row in person.wait_running("db", 2, PATIENCE_S)}


def wait_lives(cluster: DevCluster, where: dict[str, str], wanted: dict[str, int]) -> None:
    def lives() -> dict[str, int]:
        found = {}
        for name, node in where.items():
            diary = volumes(cluster, node).get(f"db-{name.rpartition('.')[2]}", Path("/nothing")) / "diary"
            found[name] = diary.read_text().count("life") if diary.exists() else 0
        return found

    wait_until(lambda: lives() == wanted or None, PATIENCE_S, f"{wanted}")


def test_each_slot_finds_its_data_again_whatever_becomes_of_its_tasks(
    person: Operator, trio: DevCluster
) -> None:
    person(
        "service", "create", "-d", "--name", "db", "--replicas", "2", "--constraint", "node.role==worker",
        "--stop-signal", "SIGKILL", "--restart-delay", "0s", "--update-monitor", "1s",
        "--mount", "src=db-{{.Task.Slot}},dst=/bin",
        "--mount", "type=volume,dst=/scratch",
        "--mount", "type=volume,src=memory,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs",
        "--entrypoint", "/bin/busybox sh -c", "hello:1", DIARY,
    )  # fmt: skip
    first = places(person)
    assert set(first.values()) == {"worker-1", "worker-2"}
    wait_lives(trio, first, {"db.1": 1, "db.2": 1})
    assert (volumes(trio, first["db.1"])["db-1"] / "busybox").stat().st_mode & 0o111  # of the image
    assert len(volume_mounts(trio)) == 2  # the memory, once on each node
    listed = {
        (row["Name"], row["Node"], row["Users"].rpartition(".")[0]) for row in person.rows("volume", "ls")
    }
    assert {("db-1", first["db.1"], "db.1"), ("db-2", first["db.2"], "db.2")} < listed
    refused = person.try_("volume", "rm", "db-1")
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert "db.1" in refused.stderr
    # A task that ends, and an update: both slots come back to where they were.
    (row,) = (row for row in person.running("db") if row["Name"] == "db.1")
    kill_container(person, row)
    wait_lives(trio, first, {"db.1": 2, "db.2": 1})
    person("service", "update", "--force", "--env-add", "X=1", "db", timeout_s=120.0)
    assert places(person) == first
    wait_lives(trio, first, {"db.1": 3, "db.2": 2})
    # An agent that is killed: its container goes on with its volumes, and is known again.
    trio.kill(first["db.2"])
    trio.start(first["db.2"])
    person("service", "scale", "-d", "db=1")
    person.wait_running("db", 1, PATIENCE_S)
    wait_until(lambda: len(volume_mounts(trio)) == 1 or None, PATIENCE_S, "one mount")
    # A node that is drained is left, and the task says what it left behind.
    person("node", "update", "--availability", "drain", first["db.1"])
    wait_until(lambda: places_of_one(person) == first["db.2"] or None, PATIENCE_S, "the other node")
    (row,) = person.wait_running("db", 1, PATIENCE_S)
    assert "where its data is: it is drained" in person("task", "history", row["ID"])
    person("node", "update", "--availability", "active", first["db.1"])
    person("service", "rm", "db")
    wait_until(lambda: not volume_mounts(trio) or None, PATIENCE_S, "no mount")
    for node in first.values():
        wait_until(
            lambda node=node: not [name for name in volumes(trio, node) if len(name) == 64],
            PATIENCE_S,
            "the end of those without a name",
        )
        assert "memory" in volumes(trio, node)
    assert (volumes(trio, first["db.1"])["db-1"] / "diary").exists()
    wait_unused(person)
    person("volume", "rm", "db-1", "db-2", "memory")
    assert not {"db-1", "db-2", "memory"} & set(person("volume", "ls", "-q").split())


def wait_unused(person: Operator) -> None:
    """Wait until the nodes have let go of what tasks had."""
    wait_until(lambda: not any(row["Users"] for row in person.rows("volume", "ls")), PATIENCE_S, "no users")


def places_of_one(person: Operator) -> str:
    rows = person.running("db")
    return str(rows[0]["Node"]) if len(rows) == 1 else ""


def test_volumes_are_made_looked_at_and_removed_on_any_node(person: Operator) -> None:
    assert person("volume", "create", "--label", "a=b", "--node", "worker-2", "spare") == "spare"
    assert person("volume", "ls", "-q", "--filter", "label=a=b") == "spare"
    (page,) = json.loads(person("volume", "inspect", "spare"))
    assert (page["Node"], page["Labels"], page["Users"]) == ("worker-2", {"a": "b"}, [])
    assert Path(page["Mountpoint"]).is_dir()
    assert person("volume", "create", "everywhere") == "everywhere"
    assert len(person.rows("volume", "ls", "--filter", "name=everywhere")) == 3
    removed = person("volume", "prune", "--all", "--force", "--filter", "label=a").splitlines()
    assert removed[:3] == ["Deleted Volumes:", "spare", ""]
    assert removed[3].startswith("Total reclaimed space: ")
    assert person("volume", "rm", "everywhere") == "everywhere"
    missing = person.try_("volume", "rm", "everywhere")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no node asked has a volume everywhere" in missing.stderr


def test_a_plugin_of_the_node_provides_volumes(person: Operator, tmp_path: Path) -> None:
    name, there = f"swarm-test-{secrets.token_hex(4)}", tmp_path / "there"
    mount = f"type=volume,src=far,dst=/bin,volume-driver={name}"
    with serving(Path(f"/run/docker/plugins/{name}.sock"), there) as plugin:
        person(
            "service", "create", "-d", "--name", "far", "--stop-signal", "SIGKILL", "--mount", mount,
            "--entrypoint", "/bin/busybox sh -c", "hello:1", DIARY.replace("touch /scratch/x;", ""),
        )  # fmt: skip
        person.wait_running("far", 1, PATIENCE_S)
        wait_until(lambda: (there / "far/diary").exists() or None, PATIENCE_S, "its diary")
        assert (there / "far/busybox").exists()  # filled with what the image has
        assert [len(users) for users in plugin.users.values()] == [1]
        person("service", "rm", "far")
        wait_until(lambda: plugin.users == {"far": set()} or None, PATIENCE_S, "the end of the mount")
        assert person("volume", "ls", "--format", "{{.Driver}}", "--filter", "name=far") == name
        wait_unused(person)
        assert person("volume", "rm", "far") == "far"
        assert not (there / "far").exists()


def test_what_cannot_be_mounted_rejects_the_task_with_the_reason(person: Operator, trio: DevCluster) -> None:
    person(
        "service", "create", "-d", "--name", "bad", "--restart-condition", "none", "--mount",
        "type=volume,src=bad,dst=/d,volume-opt=type=ext4,volume-opt=device=/dev/nothing", "hello:1",
    )  # fmt: skip
    rows = wait_until(
        lambda: [r for r in person.rows("service", "ps", "bad") if r["CurrentState"].startswith("Rejected")],
        PATIENCE_S,
        "the rejection",
    )
    assert "cannot mount the volume bad" in rows[0]["Error"]
    person("service", "rm", "bad")
