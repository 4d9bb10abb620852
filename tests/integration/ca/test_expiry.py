"""Certificates that expired while nodes were off: managers come back by themselves, workers with a token."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from swarm.clock import SystemClock
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from swarm.security.certificates import create_root_ca, load_authority_key
from tests.integration.ca.conftest import certificate, certificate_file, stopped, wait_settled
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

HOUR = dt.timedelta(hours=1)


def expire(node: Node, root_key_pem: bytes) -> None:
    """Make it look as if the node had slept too long: the same certificate with dates that have passed."""
    known = certificate(node)
    builder = (
        x509.CertificateBuilder()
        .subject_name(known.subject)
        .issuer_name(known.issuer)
        .public_key(known.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(known.not_valid_before_utc - 3 * HOUR)
        .not_valid_after(dt.datetime.now(dt.UTC) - HOUR)
    )
    for extension in known.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    expired = builder.sign(load_authority_key(root_key_pem), hashes.SHA256())
    file = node.state_dir / "certificates" / "node.pem"
    pem, before = (one.public_bytes(Encoding.PEM) for one in (expired, known))
    content = certificate_file(node)
    assert before in content
    file.write_bytes(content.replace(before, pem))


def bring_own_root(operator: Operator, folder: Path) -> bytes:
    """Give the cluster a root whose key this test has; returns the key."""
    own = create_root_ca("corp", SystemClock().now_ns())
    (folder / "root.pem").write_bytes(own.cert_pem)
    (folder / "root.key").write_bytes(own.key_pem)
    operator("ca", "--rotate", "--ca-cert", str(folder / "root.pem"), "--ca-key", str(folder / "root.key"))
    wait_settled(operator)
    return own.key_pem


def ids(operator: Operator) -> dict[str, str]:
    return {row["Hostname"]: row["ID"] for row in operator.rows("node", "ls")}


def ready(operator: Operator, names: Sequence[str]) -> bool:
    done = operator.try_("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
    return not done.stderr and {f"{name} Ready" for name in names} <= set(done.stdout.splitlines())


def test_a_cluster_that_slept_longer_than_its_certificates_live_comes_back(
    operator: Operator, cluster: DevCluster, sight: Sight, tmp_path: Path
) -> None:
    key = bring_own_root(operator, tmp_path)
    operator("service", "create", "-d", "--name", "keep", "--mode", "global", "hello:1")
    operator.wait_running("keep", 5)
    before, pids = ids(operator), sight.pids("keep")
    on_workers = [row["ID"] for row in operator.running("keep") if row["Node"].startswith("worker")]
    managers = [node.name for node in cluster.plan.nodes if node.is_manager]
    for node in cluster.plan.nodes:
        cluster.kill(node.name)
        expire(node, key)
    for node in cluster.plan.nodes:
        cluster.start(node.name)

    wait_until(lambda: ready(operator, managers), 60, "the managers to be ready by themselves")
    # Nobody could tell the workers anything: they run what they ran.
    assert len(on_workers) == 2
    assert sight.alive([pids[task] for task in pids for short in on_workers if task.startswith(short)])

    worker = operator.on("worker-1")
    told = wait_until(
        lambda: text if "expired" in (text := worker("info")) else None,
        60,
        "the worker to say what is wrong",
    )
    assert "swarmctl join-token worker" in told
    assert "Swarm: error" in told
    assert "swarmctl join-token worker" in worker.try_("service", "ls").stderr
    token = operator("join-token", "-q", "worker")
    answer = worker("join", "--token", token, cluster.node("manager-2").peer_addr)
    assert "worker" in answer
    wait_until(lambda: ready(operator, [*managers, "worker-1"]), 60, "the worker to be ready")
    assert ids(operator) == before
    assert "expired" not in worker("info")

    manager_token = operator("join-token", "-q", "manager")  # a token of managers makes no manager of a node
    operator.on("worker-2")(
        "join", "--token", manager_token, cluster.node("manager-1").peer_addr, timeout_s=90
    )
    wait_until(lambda: ready(operator, list(before)), 60, "all nodes to be ready")
    assert [
        row["ManagerStatus"] for row in operator.rows("node", "ls") if row["Hostname"] == "worker-2"
    ] == [""]
    operator.wait_running("keep", 5, 60)


def test_a_manager_that_slept_too_long_renews_itself(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    key = bring_own_root(operator, tmp_path)
    before = ids(operator)
    with stopped(cluster, "manager-3"):
        expire(cluster.node("manager-3"), key)
    wait_until(lambda: ready(operator, list(before)), 60, "the manager to be ready")
    wait_until(
        lambda: "expired" not in operator.on("manager-3")("info"), 60, "the manager to be content again"
    )
    assert certificate(cluster.node("manager-3")).not_valid_after_utc > dt.datetime.now(dt.UTC)
    assert ids(operator) == before


def test_a_removed_node_does_not_come_back_with_an_expired_certificate(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    key = bring_own_root(operator, tmp_path)
    node_id = ids(operator)["worker-2"]
    cluster.kill("worker-2")
    operator("node", "rm", "--force", node_id)
    expire(cluster.node("worker-2"), key)
    cluster.start("worker-2")
    worker = operator.on("worker-2")
    wait_until(lambda: "expired" in worker("info"), 60, "the worker to say what is wrong")
    token = operator("join-token", "-q", "worker")
    refused = worker.try_("join", "--token", token, cluster.node("manager-1").peer_addr)
    assert refused.returncode == 1
    assert f"node {node_id} was removed from the cluster" in refused.stderr
    assert node_id not in ids(operator).values()
    worker("leave", "--force", timeout_s=120)
    worker("join", "--token", token, cluster.node("manager-1").peer_addr)
    wait_until(lambda: ids(operator)["worker-2"] != node_id, what="a node of another id under its name")
