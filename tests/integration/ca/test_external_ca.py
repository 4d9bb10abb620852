"""A cluster whose nodes get their certificates from an external CA, with real TLS and real signatures."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509

from swarm.clock import SystemClock
from swarm.dev.cluster import DevCluster
from swarm.security.certificates import KeyedCertificate, create_root_ca
from swarm.security.roots import is_issued_by
from tests.integration.ca.conftest import certificate, wait_settled
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until
from tests.unit.security.cfssl import external_ca


def names(operator: Operator) -> set[str]:
    return {row["Hostname"] for row in operator.rows("node", "ls")}


def wait_refused(who: Operator, why: str, *arguments: str) -> None:
    """Type a command until it is refused for the right reason: the CA of a busy machine may be too slow."""

    def is_told() -> bool:
        done = who.try_(*arguments)
        assert done.returncode == 1
        return why in done.stderr

    wait_until(is_told, what=why)


@pytest.mark.timeout(600)
def test_nodes_join_renew_and_begin_anew_through_an_external_ca(clusters: Clusters, tmp_path: Path) -> None:
    cluster = clusters.up(2, 1)
    operator, worker = Operator(cluster), Operator(cluster, "worker-1")
    first = operator("ca")
    corp = create_root_ca("corp", SystemClock().now_ns())
    root_file = tmp_path / "corp.pem"
    root_file.write_bytes(corp.cert_pem)
    address = str(cluster.plan.host_address)
    with external_ca(tmp_path, corp, first.encode() + b"\n", address) as authority:
        given = f"protocol=cfssl,url={authority.url},cacert={root_file}"
        rotate = ("ca", "--rotate", "--ca-cert", str(root_file), "--external-ca", given)

        authority.fault = "cluster"
        wait_refused(operator, "cannot be used: its cluster id (O) is not", *rotate)
        assert operator("ca") == first
        assert "trust no other" in operator("ca", "--status")

        authority.fault = ""
        assert operator(*rotate) == corp.cert_pem.decode().strip()
        assert all(
            is_issued_by(certificate(node), x509.load_pem_x509_certificate(corp.cert_pem))
            for node in cluster.plan.nodes
        )
        assert any("swarm-manager" in client for client in authority.clients)

        worker("leave", "--force", timeout_s=120)
        wait_until(lambda: _gone(operator, "worker-1"), 60, "the worker to be missed")
        operator("node", "rm", "--force", "worker-1")
        join = (
            "join",
            "--token",
            operator("join-token", "-q", "worker"),
            cluster.node("manager-2").peer_addr,
        )
        for fault, why in [
            ("role", "its role (OU) is not swarm-worker"),
            ("refused", "policy says no"),
            ("html", "status 502"),
        ]:
            authority.fault = fault
            wait_refused(worker, why, *join)
            assert names(operator) == {"manager-1", "manager-2"}
        authority.fault = ""
        worker(*join)
        wait_until(lambda: names(operator) == {"manager-1", "manager-2", "worker-1"}, what="its name")

        words = tmp_path / "words"
        words.write_text("correct horse battery\n")
        sealed = ("--passphrase-file", str(words), str(tmp_path / "backup"))
        operator("backup", "create", *sealed)

        # Back to a root of the cluster's own, which the external CA has to sign once.
        own = operator("ca", "--rotate")
        assert own not in {first, corp.cert_pem.decode().strip()}
        wait_settled(operator)
        operator("ca", "--rotate", "-q")  # nobody needs the external CA any more
        worker("leave", "--force", timeout_s=120)
        _begun_anew(cluster, worker, sealed, corp, tmp_path)
        _once_is_enough(cluster, worker, sealed, tmp_path)
        _others_join(cluster, worker, corp)


def _begun_anew(
    cluster: DevCluster, alone: Operator, sealed: Sequence[str], corp: KeyedCertificate, folder: Path
) -> None:
    """All managers are lost: the CA's key makes one certificate, and the CA signs all others as before."""
    for name in ("manager-1", "manager-2"):
        cluster.kill(name)
    refused = alone.try_("restore", *sealed)
    assert refused.returncode == 1
    assert "give it with --ca-key" in refused.stderr
    key = folder / "corp.key"
    key.write_bytes(corp.key_pem)
    alone("restore", "--ca-key", str(key), *sealed)
    before = certificate(cluster.node("worker-1"))
    assert is_issued_by(before, x509.load_pem_x509_certificate(corp.cert_pem))
    wait_until(lambda: "new key" in alone.try_("ca", "--renew-node").stdout, 60, "the external CA")
    wait_until(lambda: certificate(cluster.node("worker-1")) != before, 60, "its certificate")
    for path in cluster.node("worker-1").state_dir.rglob("*"):
        assert not path.is_file() or corp.key_pem.splitlines()[1] not in path.read_bytes(), path


def _once_is_enough(cluster: DevCluster, restored: Operator, sealed: Sequence[str], folder: Path) -> None:
    """Who restores the same backup elsewhere is told of the manager that has done so, where a worker was."""
    shutil.rmtree(cluster.node("manager-2").state_dir)
    cluster.start("manager-2")
    twice = restored.on("manager-2").try_("restore", "--ca-key", str(folder / "corp.key"), *sealed)
    assert twice.returncode == 1
    assert f"still answer: {cluster.node('worker-1').peer_addr}." in twice.stderr, twice.stderr
    assert restored.on("manager-2")("info", "--format", "{{.ClusterID}}") == ""


def _others_join(cluster: DevCluster, restored: Operator, corp: KeyedCertificate) -> None:
    """New nodes of both roles get their certificates from the CA, through the manager that was restored."""
    shutil.rmtree(cluster.node("manager-1").state_dir)
    cluster.start("manager-1")
    addr = cluster.node("worker-1").peer_addr
    for name, role in (("manager-2", "manager"), ("manager-1", "worker")):
        token = restored("join-token", "-q", role)
        restored.on(name)("join", "--token", token, addr)
        shown = certificate(cluster.node(name))
        assert is_issued_by(shown, x509.load_pem_x509_certificate(corp.cert_pem))
    listed = ("node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}")
    wanted = {"manager-1 Ready", "manager-2 Ready Reachable", "worker-1 Ready Leader"}
    wait_until(lambda: wanted <= {line.strip() for line in restored(*listed).splitlines()}, 60, "the nodes")
    # Either of the managers has the CA sign.
    before = certificate(cluster.node("manager-1"))
    for name in ("manager-2", "manager-1"):
        wait_until(lambda at=name: "new key" in restored.on(at).try_("ca", "--renew-node").stdout, 60, name)
    wait_until(lambda: certificate(cluster.node("manager-1")) != before, 60, "its certificate")


def _gone(operator: Operator, name: str) -> bool:
    rows = operator.rows("node", "ls")
    return any(row["Hostname"] == name and row["Status"] != "Ready" for row in rows)
