"""A cluster with the hello image, and looks at its certificates."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping

import pytest
from cryptography import x509

from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from swarm.security.certificates import split_pem
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until


@pytest.fixture(scope="module")
def sight(cluster: DevCluster, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Sight:
    """Look at the machine below the cluster, which has the hello image."""
    operator.load_image(tmp_path_factory.mktemp("image"))
    return Sight(cluster, operator)


def certificate_file(node: Node) -> bytes:
    """What a node keeps of keys and certificates."""
    return (node.state_dir / "certificates" / "node.pem").read_bytes()


def certificate(node: Node) -> x509.Certificate:
    """The certificate that a node presents."""
    return x509.load_pem_x509_certificate(split_pem(certificate_file(node), "CERTIFICATE")[0])


def roots(node: Node) -> list[bytes]:
    """The roots that a node trusts."""
    found = split_pem(certificate_file(node), "CERTIFICATE")
    return [pem for pem in found if (one := x509.load_pem_x509_certificate(pem)).issuer == one.subject]


def started_at(operator: Operator, service: str) -> Mapping[str, str]:
    """When the container of each running task of a service started, by task id."""
    import json

    rows = operator.rows("service", "ps", service, "--no-trunc", "--filter", "desired-state=running")
    tasks = json.loads(operator("task", "inspect", *[row["ID"] for row in rows]))
    return {task["ID"]: task["Status"]["Timestamp"] for task in tasks}


def wait_settled(operator: Operator) -> None:
    """Wait until no rotation runs and every node trusts only the root that is.

    A node that could not renew its certificate, in an election for example, rests for up to half a minute.
    """
    wait_until(
        lambda: "trust no other" in operator.try_("ca", "--status").stdout, 120, "the rotation to be over"
    )


@contextlib.contextmanager
def stopped(cluster: DevCluster, name: str) -> Iterator[None]:
    """A node's daemon is killed within the block."""
    cluster.kill(name)
    try:
        yield
    finally:
        cluster.start(name)


def wait_noticed(operator: Operator, name: str) -> None:
    """Wait until the managers know that a node is not connected."""
    wait_until(
        lambda: any(
            row["Hostname"] == name and row["Status"] != "Ready" for row in operator.rows("node", "ls")
        ),
        what=f"{name} to be missed",
    )


def eventually(operator: Operator, *arguments: str) -> str:
    """Run a command again until it succeeds: there may be an election under way."""

    def succeeds() -> subprocess.CompletedProcess[str] | None:
        return done if (done := operator.try_(*arguments)).returncode == 0 else None

    return wait_until(succeeds, what=f"swarmctl {' '.join(arguments)}").stdout.strip()
