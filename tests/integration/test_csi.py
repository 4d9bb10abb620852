"""Cluster volumes: a real storage plugin on every node, real mounts, and what may go wrong between."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.dev.cluster import DevCluster
from tests.csi_plugin import loop_device
from tests.integration.conftest import Clusters
from tests.integration.operator import ROOT, Operator, wait_until

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
# The tool comes from a part of an image that is mounted.
SCRIPT = "/tools/busybox echo life >> /data/diary; exec sleep 100000"
ON_A_DEVICE = (
    'found=$(/tools/busybox head -c 5 /dev/raw | /tools/busybox tr -d "\\0");'
    " (echo alive > /dev/raw) 2>/dev/null && did=wrote || did=refused;"
    ' /tools/busybox stat -c "%F, found ($found), $did" /dev/raw; exec sleep 100000'
)
TOOLS = "type=image,source=hello:1,target=/tools,image-subpath=bin"


class Storage:
    """The storage that all nodes reach, and the plugins of the nodes."""

    def __init__(self, cluster: DevCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.plugins: dict[str, subprocess.Popen[str]] = {}

    def start(self, node: str) -> None:
        socket = self.cluster.plan.node(node).run / "csi" / "test.sock"
        socket.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.csi_plugin", str(socket), str(self.folder), f"csi-{node}"]
        command.append(f"zone={node}")
        plugin = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.plugins[node] = plugin
        assert plugin.stdout is not None
        assert plugin.stdout.readline() == "ready\n"

    def kill(self, node: str) -> None:
        plugin = self.plugins.pop(node)
        plugin.kill()
        plugin.wait()
        assert plugin.stdout is not None
        plugin.stdout.close()
        (self.cluster.plan.node(node).run / "csi" / "test.sock").unlink(missing_ok=True)

    def order(self, what: str, text: str = "") -> Path:
        path = self.folder / what
        path.write_text(text)
        return path

    def calls(self, *methods: str) -> list[dict[str, Any]]:
        log = self.folder / "calls.log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [one for one in lines if not methods or one["method"] in methods]

    def violations(self) -> str:
        log = self.folder / "violations.log"
        return log.read_text() if log.exists() else ""

    def volumes(self) -> list[Path]:
        return sorted((self.folder / "volumes").iterdir())


@pytest.fixture(scope="module")
def trio(clusters: Clusters) -> DevCluster:
    return clusters.up(3, 0)


@pytest.fixture(scope="module")
def storage(trio: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage(trio, tmp_path_factory.mktemp("storage"))
    for node in trio.plan.nodes:
        made.start(node.name)
    try:
        yield made
    finally:
        for node in list(made.plugins):
            made.kill(node)
        for image in made.folder.glob("volumes/*/image"):  # of tests that failed
            if device := loop_device(image):
                subprocess.run(["losetup", "-d", device], check=False)


@pytest.fixture(scope="module")
def person(trio: DevCluster, storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    operator = Operator(trio)
    operator.load_image(tmp_path_factory.mktemp("image"))
    wait_until(
        lambda: (
            all("CSIInfo" in inspect(operator, node.name)["Description"] for node in trio.plan.nodes) or None
        ),
        PATIENCE_S,
        "the plugins",
    )
    return operator


def inspect(person: Operator, node: str) -> dict[str, Any]:
    return json.loads(person("node", "inspect", node))[0]


def volume(person: Operator, name: str) -> dict[str, Any]:
    return json.loads(person("volume", "inspect", name))[0]


def create(person: Operator, name: str, *options: str) -> None:
    person("volume", "create", "--cluster", "-d", "csi.test", *options, name)
    wait_until(lambda: volume(person, name)["Status"] == "created" or None, PATIENCE_S, f"volume {name}")


def serve(
    person: Operator, name: str, source: str, *options: str, target: str = "/data", script: str = SCRIPT
) -> None:
    mount = f"type=cluster,source={source},target={target}"
    words = (
        "service",
        "create",
        "-d",
        "--name",
        name,
        "--mount",
        mount,
        "--mount",
        TOOLS,
        "--stop-grace-period",
        "1s",
    )
    person(*words, *options, "--entrypoint", "/bin/busybox sh -c", "hello:1", script)


def remove(person: Operator, name: str) -> None:
    """Remove a volume as soon as nobody has it, and wait until it is gone."""

    def is_gone() -> bool:
        person.try_("volume", "rm", name)
        return person.try_("volume", "inspect", name).returncode != 0

    wait_until(is_gone, PATIENCE_S, f"the end of volume {name}")


def wait_gone(person: Operator, name: str) -> None:
    def is_gone() -> bool | None:
        return person.try_("volume", "inspect", name).returncode != 0 or None

    wait_until(is_gone, PATIENCE_S, f"the end of volume {name}")


def mounts(cluster: DevCluster) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f"{cluster.plan.data}/" in line and "/cluster-volumes/" in line]


def leader(person: Operator) -> str:
    def found() -> list[str]:
        return [row["Hostname"] for row in person.rows("node", "ls") if row["ManagerStatus"] == "Leader"]

    return str(wait_until(found, PATIENCE_S, "a leader")[0])


def test_a_volume_is_made_brought_to_its_task_taken_elsewhere_and_removed(
    person: Operator, trio: DevCluster, storage: Storage
) -> None:
    first, second = (node.name for node in trio.plan.nodes[:2])
    create(person, "db", "--required-bytes", "1m", "--label", "tier=db")
    serve(person, "db", "db", "--constraint", f"node.hostname=={first}")
    person.wait_running("db", 1, PATIENCE_S)
    (data,) = storage.volumes()
    wait_until(lambda: (data / "diary").exists() or None, PATIENCE_S, "the first life")
    refused = person.try_("volume", "rm", "db")
    assert (refused.returncode, "is in use by db.1." in refused.stderr) == (1, True)

    person("service", "update", "-d", "--constraint-rm", f"node.hostname=={first}",
           "--constraint-add", f"node.hostname=={second}", "db")  # fmt: skip
    wait_until(lambda: (data / "diary").read_text() == "life\n" * 2 or None, PATIENCE_S, "the second life")
    assert volume(person, "db")["ClusterVolume"]["PublishStatus"][0]["Node"] == second

    person("service", "rm", "db")
    wait_until(lambda: volume(person, "db")["Status"] == "created" or None, PATIENCE_S, "it is free")
    assert mounts(trio) == []
    person("volume", "rm", "db")
    wait_gone(person, "db")
    assert storage.volumes() == []
    order = [one["method"] for one in storage.calls() if one["on"] in {"", f"csi-{first}"}]
    assert order[0] == "CreateVolume"
    assert order[-1] == "DeleteVolume"
    assert storage.violations() == ""


def test_a_task_waits_where_its_volume_can_be_reached_and_says_why(
    person: Operator, trio: DevCluster, storage: Storage
) -> None:
    far = trio.plan.nodes[2].name
    create(person, "far", "--topology-required", f"zone={far}", "--group", "spare")
    serve(person, "wrong", "far", "--constraint", f"node.hostname!={far}")

    def reason() -> str:
        return str(person.rows("service", "ps", "wrong", "--no-trunc")[0]["Error"])

    wait_until(lambda: "volume far is not reachable" in reason() or None, PATIENCE_S, "the reason")
    person("service", "rm", "wrong")
    serve(person, "right", "group:spare")
    assert [row["Node"] for row in person.wait_running("right", 1, PATIENCE_S)] == [far]
    person("volume", "update", "--availability", "drain", "far")
    wait_until(lambda: volume(person, "far")["Status"] == "created" or None, PATIENCE_S, "it is drained")
    person("service", "rm", "right")
    remove(person, "far")
    assert storage.violations() == ""


def test_what_a_plugin_fails_at_is_tried_again_and_told(
    person: Operator, trio: DevCluster, storage: Storage
) -> None:
    node = trio.plan.nodes[1].name
    fail = storage.order("fail-NodeStageVolume", "1000")
    create(person, "shy")
    serve(person, "shy", "shy", "--constraint", f"node.hostname=={node}")
    wait_until(lambda: "as you like" in volume(person, "shy")["Problem"] or None, PATIENCE_S, "the problem")
    storage.kill(node)  # and while it is away, nothing can be done
    fail.unlink()
    storage.start(node)
    person.wait_running("shy", 1, PATIENCE_S)
    wait_until(lambda: volume(person, "shy")["Problem"] == "" or None, PATIENCE_S, "no problem")
    storage.kill(node)
    person("service", "rm", "shy")
    person.try_("volume", "rm", "shy")
    storage.start(node)
    wait_until(lambda: not mounts(trio) or None, PATIENCE_S, "nothing mounted")
    remove(person, "shy")
    assert storage.violations() == ""


def made_by(person: Operator, name: str) -> dict[str, Any] | None:
    """A volume that is made; one that this manager has not heard of yet is not."""
    done = person.try_("volume", "inspect", name)
    found = json.loads(done.stdout)[0] if done.returncode == 0 else {"Status": "unknown"}
    return found if found["Status"] == "created" else None


def test_a_leader_that_dies_between_making_a_volume_and_noting_it_leaks_none(
    person: Operator, trio: DevCluster, storage: Storage
) -> None:
    hang = storage.order("hang-CreateVolume")
    before = len(storage.calls("CreateVolume"))
    person("volume", "create", "--cluster", "-d", "csi.test", "twice")
    wait_until(lambda: len(storage.calls("CreateVolume")) > before or None, PATIENCE_S, "the call")
    dead = leader(person)
    trio.kill(dead)
    try:
        hang.unlink()
        others = Operator(trio, next(node.name for node in trio.plan.nodes if node.name != dead))
        made = wait_until(
            lambda: made_by(others, "twice"),
            PATIENCE_S,
            "the volume",
        )
    finally:
        trio.start(dead)
    assert [path.name for path in storage.volumes()] == [made["ClusterVolume"]["Info"]["VolumeID"]]
    assert len(storage.calls("CreateVolume")) > before + 1
    remove(person, "twice")
    assert storage.volumes() == []
    assert storage.violations() == ""


def test_a_block_volume_is_a_device_in_its_containers_with_no_more_rights_than_the_mount_gives(
    person: Operator, trio: DevCluster, storage: Storage
) -> None:
    first, second = (f"node.hostname=={node.name}" for node in trio.plan.nodes[:2])
    create(person, "raw", "--type", "block", "--sharing", "all", "--required-bytes", "1m")
    assert "BlockVolume" in volume(person, "raw")["ClusterVolume"]["Spec"]["AccessMode"]
    for name, where, target, said in (
        ("writer", first, "/dev/raw", "block special file, found (), wrote"),
        ("reader", first, "/dev/raw,readonly", "block special file, found (alive), refused"),
    ):
        serve(person, name, "raw", "--constraint", where, target=target, script=ON_A_DEVICE)
        person.wait_running(name, 1, PATIENCE_S)
        wait_until(
            lambda n=name, s=said: s in person.try_("service", "logs", n).stdout or None, PATIENCE_S, said
        )
    person("service", "rm", "writer", "reader")
    wait_until(lambda: volume(person, "raw")["Status"] == "created" or None, PATIENCE_S, "it is free")
    (image,) = storage.folder.glob("volumes/*/image")
    assert (image.read_bytes()[:5], loop_device(image), mounts(trio)) == (b"alive", "", [])

    serve(person, "later", "raw", "--constraint", second, target="/dev/raw", script=ON_A_DEVICE)
    said = "found (alive), wrote"
    wait_until(
        lambda: said in person.try_("service", "logs", "later").stdout or None, PATIENCE_S, "its data"
    )
    person("service", "rm", "later")
    wait_until(lambda: volume(person, "raw")["Status"] == "created" or None, PATIENCE_S, "it is free again")
    person("volume", "rm", "raw")
    wait_gone(person, "raw")
    assert (storage.volumes(), storage.violations()) == ([], "")
