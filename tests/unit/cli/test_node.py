"""Changing a node that managers write to at the same time."""

from base64 import b64decode
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import TlsInfo
from swarm.cli.connect import Connection
from swarm.cli.node import ATTEMPTS_MAX, described, update_node
from swarm.clock import SECOND
from swarm.errors import StaleVersion
from swarm.security.certificates import create_root_ca
from swarm.security.roots import certificates_of, digest_of


class Control:
    """A node that somebody else writes to before each of the first `busy` updates."""

    def __init__(self, busy: int) -> None:
        self.busy = busy
        self.version = 1
        self.labels: dict[str, str] = {}

    def GetNode(self, request: c.GetNodeRequest) -> c.GetNodeResponse:
        node = Node(id=request.ref)
        node.meta.version.index = self.version
        return c.GetNodeResponse(node=node)

    def UpdateNode(self, request: c.UpdateNodeRequest) -> c.UpdateNodeResponse:
        if self.busy:
            self.busy -= 1
            self.version += 1
        if request.version != self.version:
            raise StaleVersion("update out of sequence")
        self.labels = dict(request.spec.annotations.labels)
        return c.UpdateNodeResponse(node=Node(id=request.id, spec=request.spec))


def label(spec) -> None:
    spec.annotations.labels["a"] = "b"


def test_a_change_is_made_again_when_a_manager_wrote_in_between():
    control = Control(busy=2)
    assert update_node(SimpleNamespace(control=control), "n1", label).id == "n1"
    assert control.labels == {"a": "b"}


def test_inspect_shows_the_root_that_a_node_has_its_certificate_of():
    root, new = (create_root_ca("c", SECOND) for _ in range(2))
    node, status = Node(id="n1"), c.RootStatus(root_pem=root.cert_pem)
    control = SimpleNamespace(GetCA=lambda _: c.GetCAResponse(status=status))
    view = described(Connection(control, None), node)
    assert "TLSInfo" not in view["Description"]  # of an older node: nobody is asked
    (certificate,) = certificates_of(root.cert_pem)
    digest = digest_of(certificate)
    node.description.tls_info.CopyFrom(TlsInfo(trust_digest=digest, issuer_digest=digest))
    shown = described(Connection(control, None), node)["Description"]["TLSInfo"]
    assert shown["TrustRoot"] == root.cert_pem.decode()
    assert b64decode(shown["CertIssuerSubject"]) == certificate.subject.public_bytes()
    key = load_der_public_key(b64decode(shown["CertIssuerPublicKey"]))
    assert key == certificate.public_key()
    status.root_pem = new.cert_pem  # it is not told more than digests of the one before
    assert described(Connection(control, None), node)["Description"]["TLSInfo"] == {}


def test_somebody_who_writes_all_the_time_is_told_of():
    with pytest.raises(StaleVersion):
        update_node(SimpleNamespace(control=Control(busy=ATTEMPTS_MAX)), "n1", label)
