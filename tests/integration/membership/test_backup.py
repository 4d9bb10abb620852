"""All managers are lost for good: their cluster begins anew from a backup, and no container notices."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.membership.test_recovery import alive, managers, nodes, pids
from tests.integration.operator import SWARMCTL, Operator, wait_until

MANAGERS = ("manager-1", "manager-2", "manager-3")
WORKERS = ("worker-1", "worker-2")
NEW = "worker-3"  # a machine outside of the cluster by the time that it is needed
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    return clusters.up(3, 3)


@contextmanager
def _busy(operator: Operator) -> Iterator[None]:
    """Change something all the time."""
    done = threading.Event()

    def work() -> None:
        number = 0
        while not done.is_set():
            number += 1
            operator.try_("service", "update", "-d", "--label-add", f"n={number}", "keep")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def test_a_cluster_without_managers_begins_anew_from_a_backup(
    cluster: DevCluster, operator: Operator, tmp_path: Path
) -> None:
    operator.load_image(tmp_path)
    operator.on(NEW)("leave")
    operator("node", "rm", "--force", NEW)
    place = ["--constraint", "node.role==worker"]
    operator("service", "create", "-d", "--name", "keep", "--replicas", "4", *place, "hello:1")
    operator.wait_running("keep", 4)
    # The name moves on, and the service keeps the image of before.
    operator.load_image(tmp_path, "--message", "another")
    unlock_key = _key(operator("update", "--autolock=true"))
    before = pids(operator, "keep")
    ids = {name: row["ID"] for name, row in nodes(operator).items()}
    tokens = [operator("join-token", "-q", role) for role in ("worker", "manager")]
    file, words = _back_up(operator, tmp_path)
    _lose_them_and_restore(cluster, operator, file, words)

    alone = operator.on(NEW)
    assert [alone("join-token", "-q", role) for role in ("worker", "manager")] == tokens
    addr = json.loads(alone("info", "--format", "json"))["Address"]
    for name in WORKERS:
        operator.on(name)("node", "rejoin", addr, timeout_s=PATIENCE_S)
    for name in WORKERS:
        wait_until(lambda name=name: nodes(alone)[name]["Status"] == "Ready", PATIENCE_S, name)
        assert nodes(alone)[name]["ID"] == ids[name]
    assert managers(alone) == {NEW}
    wait_until(lambda: pids(alone, "keep") == before, PATIENCE_S, "the same containers")
    assert alive(before)
    alone("service", "scale", "-d", "keep=6")
    alone.wait_running("keep", 6, PATIENCE_S)
    assert before.items() <= pids(alone, "keep").items()
    _images_came_with_it(alone, tmp_path)
    _it_is_locked_with_the_key_of_before(cluster, alone, unlock_key)
    assert alive(before)


def _key(said: str) -> str:
    return next(word for word in said.split() if word.startswith("SWMKEY-"))


def _images_came_with_it(alone: Operator, folder: Path) -> None:
    """The only manager, on which no task ran, gives away both images: nobody else could have sent them."""
    digests = [row["Digest"] for row in alone.rows("image", "ls", "--digests")]
    assert len(digests) == 2
    for number, digest in enumerate(digests):
        saved = folder / f"saved{number}.tar"
        alone("image", "save", "-o", str(saved), digest)
        assert saved.stat().st_size > 0
    words = ["--passphrase-file", str(folder / "words")]
    again = alone("backup", "load-images", *words, str(folder / "backup"))
    assert again.count("Loaded image") == 2


def _it_is_locked_with_the_key_of_before(cluster: DevCluster, alone: Operator, key: str) -> None:
    cluster.kill(NEW)
    cluster.start(NEW)
    assert "locked" in alone.try_("node", "ls").stderr
    done = cluster.run(NEW, "sh", "-c", f"echo {key} | {' '.join(SWARMCTL)} unlock", timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    for name in (NEW, *WORKERS):
        wait_until(lambda name=name: _status(alone, name) == "Ready", PATIENCE_S, name)


def _status(operator: Operator, name: str) -> str:
    """How a manager sees a node; empty while it has no leader."""
    listed = operator.try_("node", "ls", "--format", "{{.Hostname}} {{.Status}}").stdout.splitlines()
    return dict(line.split() for line in listed).get(name, "")


def _back_up(operator: Operator, folder: Path) -> tuple[str, list[str]]:
    file, wrong = str(folder / "backup"), folder / "wrong"
    (folder / "words").write_text("correct horse battery\n")
    wrong.write_text("another one\n")
    words = ["--passphrase-file", str(folder / "words")]
    with _busy(operator):
        for name in MANAGERS[:2]:  # any of them will do
            operator.on(name)("backup", "create", *words, f"{file}-{name}")
    operator("backup", "create", "--images", *words, file)
    assert "is whole" in operator("backup", "verify", *words, file)
    shown = json.loads(operator("backup", "inspect", "--format", "json", file))
    assert shown["ClusterID"] == json.loads(operator("info", "--format", "json"))["ClusterID"]
    assert (shown["Objects"]["service"], shown["WithImages"]) == (1, True)
    bare = operator.try_("backup", "load-images", *words, f"{file}-{MANAGERS[0]}")
    assert "made without --images" in bare.stderr
    taken = operator.try_("backup", "create", *words, file)
    assert taken.returncode == 1
    assert "exists already" in taken.stderr
    closed = operator.try_("backup", "verify", "--passphrase-file", str(wrong), file)
    assert closed.returncode == 1
    assert "the passphrase or key is another one" in closed.stderr
    return file, words


def _lose_them_and_restore(cluster: DevCluster, operator: Operator, file: str, words: list[str]) -> None:
    alone = operator.on(NEW)
    member = operator.on("worker-1").try_("restore", *words, file)
    assert member.returncode == 1
    assert "is part of cluster" in member.stderr
    early = alone.try_("restore", *words, file)
    assert early.returncode == 1
    assert "still answer" in early.stderr
    assert json.loads(alone("info", "--format", "json"))["ClusterID"] == ""
    for name in MANAGERS:
        cluster.kill(name)
    said = alone("restore", *words, file, timeout_s=PATIENCE_S)
    assert "is the only manager of cluster" in said
    assert "images loaded: docker.io/library/hello:1, docker.io/library/hello@sha256:" in said
