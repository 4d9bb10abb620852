"""Certificates of as many nodes as a measurement needs, in one folder."""

from collections.abc import Sequence
from pathlib import Path

from swarm.clock import SystemClock
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle, save_bundle
from swarm.security.tls import NodeCredentials

CLUSTER = "bench"


def make(folder: Path, managers: int, workers: int) -> None:
    """Write the certificates of `manager0…` and `worker0…`."""
    now_ns = SystemClock().now_ns()
    root = create_root_ca(CLUSTER, now_ns)
    names = [(f"manager{number}", Role.MANAGER) for number in range(managers)]
    names += [(f"worker{number}", Role.WORKER) for number in range(workers)]
    for name, role in names:
        key = new_key_pem()
        certificate = issue_node_certificate(
            root, create_csr(key), node_id=name, role=role, cluster_id=CLUSTER, now_ns=now_ns
        )
        save_bundle(folder / name, NodeBundle(certificate, root.cert_pem, key))


def load(folder: Path, name: str) -> NodeCredentials:
    """Return the credentials of a node."""
    found = NodeCredentials.load(folder / name)
    assert found is not None, name
    return found


def node_ids(folder: Path) -> Sequence[str]:
    """Return the workers."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("worker"))
