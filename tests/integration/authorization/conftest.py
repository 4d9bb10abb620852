"""Three managers on this machine, whose root the tests hold, so that they can issue any certificate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc
import pytest

from swarm.api.v1 import control_pb2 as control
from swarm.clock import SystemClock
from swarm.security.certificates import (
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    issue_user_certificate,
    new_key_pem,
)
from swarm.security.identity import NODES, Role
from swarm.security.keyfiles import NodeBundle
from tests.integration.swarmd import Daemon, daemons, wait_for
from tests.unit.security.listener import PATIENT


@dataclass(frozen=True)
class Cluster:
    """Daemons by name, and the authority behind them."""

    managers: dict[str, Daemon]
    root: KeyedCertificate
    cluster_id: str
    worker_token: str

    def certificate(
        self, role: Role, name: str = "somebody", root: KeyedCertificate | None = None
    ) -> NodeBundle:
        """A fresh certificate, signed by the cluster's root or another one."""
        key, about = (
            new_key_pem(),
            {"role": role, "cluster_id": self.cluster_id, "now_ns": SystemClock().now_ns()},
        )
        root = root or self.root
        if role in NODES:
            cert = issue_node_certificate(root, create_csr(key), node_id=name, **about)
        else:
            cert = issue_user_certificate(root, create_csr(key), user=name, **about)
        return NodeBundle(cert, self.root.cert_pem, key)

    def channel(self, at: str, who: NodeBundle, options: Sequence[tuple[str, int]] = ()) -> grpc.Channel:
        """A connection to a manager's port as somebody."""
        credentials = grpc.ssl_channel_credentials(who.root_ca_pem, who.key_pem, who.cert_pem)
        return grpc.secure_channel(self.managers[at].addr, credentials, options=(*PATIENT, *options))

    def leader(self) -> str:
        """The name of the manager that leads now."""
        addr = wait_for(self._leader_addr)
        return next(name for name, daemon in self.managers.items() if daemon.addr == addr)

    def _leader_addr(self) -> str:
        seen = {daemon.info().leader_addr for daemon in self.managers.values() if daemon.is_running}
        return seen.pop() if len(seen) == 1 else ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three managers that run plain processes."""
    clock = SystemClock()
    root = create_root_ca("given", clock.now_ns())
    with daemons(tmp_path_factory.mktemp("swarm"), "m1", "m2", "m3") as managers:
        request = control.InitRequest(ca_cert_pem=root.cert_pem, ca_key_pem=root.key_pem)
        first = managers["m1"].local("Init", request)
        for name in ("m2", "m3"):
            managers[name].join(first.manager_token, managers["m1"].addr)
        made = Cluster(managers, root, first.cluster_id, first.worker_token)
        wait_for(lambda: len(managers["m1"].info().managers) == 3)
        yield made
