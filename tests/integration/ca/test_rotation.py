"""`swarmctl ca --rotate` while services run: nobody is cut off, no container touched, nothing old stays."""

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography import x509

from swarm.clock import SystemClock
from swarm.dev.cluster import DevCluster
from swarm.security.certificates import create_root_ca
from swarm.security.roots import is_issued_by
from tests.integration.ca.conftest import (
    certificate,
    eventually,
    roots,
    started_at,
    stopped,
    wait_noticed,
    wait_settled,
)
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until


@pytest.fixture(scope="module", autouse=True)
def _service(operator: Operator, sight: Sight) -> None:
    operator("service", "create", "-d", "--name", "keep", "--mode", "global", "hello:1")
    operator.wait_running("keep", 5)


def issuers(cluster: DevCluster, root_pem: str) -> list[bool]:
    root = x509.load_pem_x509_certificate(root_pem.encode())
    return [is_issued_by(certificate(node), root) for node in cluster.plan.nodes]


def tls_states(operator: Operator) -> set[str]:
    return {row["TLSStatus"] for row in operator.rows("node", "ls")}


def test_a_rotation_changes_every_certificate_and_no_container(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    pids, times = sight.pids("keep"), started_at(operator, "keep")
    before, token = operator("ca"), operator("join-token", "-q", "worker")
    after = operator("ca", "--rotate")
    assert "BEGIN CERTIFICATE" in after
    assert after == operator("ca") != before
    assert issuers(cluster, after) == [True] * 5
    assert issuers(cluster, before) == [False] * 5
    for node in cluster.plan.nodes:
        assert [pem.decode().strip() for pem in roots(node)] == [after]
    # What nodes that change managers say of themselves may cross on its way to the leader.
    wait_until(lambda: tls_states(operator) == {"Ready"}, what="all nodes to be shown as ready")
    assert operator("join-token", "-q", "worker") != token
    operator("service", "update", "-d", "--label-add", "after=rotation", "keep")  # the cluster still works
    assert (sight.pids("keep"), started_at(operator, "keep")) == (pids, times)
    assert "trust no other" in operator("ca", "--status")


def test_a_rotation_waits_for_a_node_that_is_down_and_says_so(
    operator: Operator, cluster: DevCluster
) -> None:
    before = operator("ca")
    with stopped(cluster, "worker-2"):
        wait_noticed(operator, "worker-2")
        operator("ca", "--rotate", "-d")
        wait_until(
            lambda: "4/5" in operator("ca", "--status").split("CA certificates")[0],
            60,
            "all others to change",
        )
        told = operator("ca", "--status")
        assert "waiting for worker-2" in told
        assert "start it again, or remove it (swarmctl node rm --force)" in told
        assert operator("ca") == before  # tokens still carry it
        states = {row["Hostname"]: row["TLSStatus"] for row in operator.rows("node", "ls")}
        assert states["worker-2"] == states["manager-1"] == "Needs Rotation"
        # Another one on top: the newest counts.
        operator("ca", "--rotate", "-d", "--cert-expiry", "48h")
    wait_settled(operator)
    after = operator("ca")
    assert after != before
    assert issuers(cluster, after) == [True] * 5
    lifetime = certificate(cluster.node("worker-1")).not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert 46 < lifetime.total_seconds() / 3600 < 49


def test_a_rotation_survives_the_death_of_the_leader(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    before = operator("ca")
    with stopped(cluster, "worker-1"):
        wait_noticed(operator, "worker-1")
        operator("ca", "--rotate", "-d")
        leader = sight.leader().name
        with stopped(cluster, leader):
            assert "waiting for worker-1" in eventually(operator, "ca", "--status")
    wait_settled(operator)
    after = eventually(operator, "ca")
    assert after != before
    assert issuers(cluster, after) == [True] * 5
    operator.wait_running("keep", 5)


def test_removing_a_node_lets_the_rotation_finish_and_it_can_join_anew(
    operator: Operator, cluster: DevCluster
) -> None:
    before = operator("ca")
    cluster.kill("worker-2")
    wait_noticed(operator, "worker-2")
    operator("ca", "--rotate", "-d")
    node_id = next(row["ID"] for row in operator.rows("node", "ls") if row["Hostname"] == "worker-2")
    operator("node", "rm", "--force", node_id)
    wait_settled(operator)
    assert operator("ca") != before
    cluster.start("worker-2")
    there = operator.on("worker-2")
    there("leave", "--force", timeout_s=120)
    # A node can join while the root is changing: with the token of that moment.
    with stopped(cluster, "worker-1"):
        wait_noticed(operator, "worker-1")
        operator("ca", "--rotate", "-d")
        token = operator("join-token", "-q", "worker")
        there("join", "--token", token, cluster.node("manager-1").peer_addr)
        assert operator("join-token", "-q", "worker") == token
    wait_settled(operator)
    assert issuers(cluster, operator("ca")) == [True] * 5
    refused = operator.on("worker-2").try_("join", "--token", token, cluster.node("manager-1").peer_addr)
    assert "part of cluster" in refused.stderr
    operator.wait_running("keep", 5)


def test_a_root_of_ones_own_is_checked_before_anything_changes(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    before = operator("ca")
    own = create_root_ca("corp", SystemClock().now_ns())
    other = create_root_ca("corp", SystemClock().now_ns())
    cert, key, wrong = tmp_path / "root.pem", tmp_path / "root.key", tmp_path / "wrong.key"
    cert.write_bytes(own.cert_pem)
    key.write_bytes(own.key_pem)
    wrong.write_bytes(other.key_pem)
    for given, why in [
        (("--ca-cert", str(cert), "--ca-key", str(wrong)), "not the key of the CA certificate"),
        (("--ca-cert", str(key), "--ca-key", str(key)), "must be one PEM certificate"),
        (("--ca-cert", str(tmp_path / "none"), "--ca-key", str(key)), "cannot read"),
        (("--ca-cert", str(cert)), "needs --ca-key"),
        (("--ca-key", str(key)), "needs --ca-cert"),
        (("--cert-expiry", "59m"), "one hour is the least"),
        (("--external-ca", "protocol=cfssl"), "url=URL is missing"),
    ]:
        refused = operator.try_("ca", "--rotate", *given)
        assert refused.returncode != 0
        assert why in refused.stderr
        assert "PRIVATE" not in refused.stderr
    assert operator("ca") == before
    assert (
        operator("ca", "--rotate", "--ca-cert", str(cert), "--ca-key", str(key))
        == own.cert_pem.decode().strip()
    )
    assert issuers(cluster, own.cert_pem.decode()) == [True] * 5
    shown = json.dumps(json.loads(operator("node", "inspect", "worker-1")))
    assert "PRIVATE" not in shown
