"""What people see of a rotation."""

import pytest

from swarm.api.v1.control_pb2 import RootStatus
from swarm.api.v1.objects_pb2 import Node
from swarm.cli.ca import expiry_ns, external_ca
from swarm.cli.ca_view import bars, hindrances, is_done, report, tls_status
from swarm.errors import InvalidArgument

DIGEST = bytes(32)


def state(issued: int, trusting: int, *, rotating: bool, waiting: int = 0) -> RootStatus:
    made = RootStatus(
        desired_digest=DIGEST, rotating=rotating, nodes=4, nodes_issued=issued, nodes_trusting=trusting
    )
    for number in range(waiting):
        made.waiting.add(
            node_id=f"id{number}", hostname=f"w{number}", reason="it is not connected: start it"
        )
    return made


def test_bars_fill_as_nodes_change() -> None:
    head, issued, trusting = bars(state(2, 0, rotating=True))
    assert head == f"desired root digest: sha256:{'00' * 32}"
    assert issued.endswith("2/4 nodes")
    assert issued.count("=") == 24
    assert trusting.endswith("0/4 nodes")
    full = bars(state(4, 4, rotating=False))
    assert all(line.count("=") == 49 and line.endswith("4/4 nodes") for line in full[1:])


def test_it_is_done_when_nobody_trusts_the_root_before() -> None:
    assert not is_done(state(4, 0, rotating=True))
    assert not is_done(state(4, 3, rotating=False))
    assert is_done(state(4, 4, rotating=False))


def test_nodes_that_are_away_are_named_and_many_are_counted() -> None:
    assert hindrances(state(3, 0, rotating=True, waiting=1)) == [
        "waiting for w0 (id0): it is not connected: start it"
    ]
    lines = hindrances(state(0, 0, rotating=True, waiting=8))
    assert len(lines) == 6
    assert lines[-1] == "waiting for 3 more nodes that are not connected"
    assert "trust no other" in report(state(4, 4, rotating=False))[1]


def test_the_tls_status_of_a_node() -> None:
    node = Node()
    wanted = state(4, 4, rotating=False)
    assert tls_status(node, wanted) == "Unknown"
    node.description.tls_info.issuer_digest = DIGEST
    node.description.tls_info.trust_digest = b"two roots"
    assert tls_status(node, wanted) == "Needs Rotation"
    node.description.tls_info.trust_digest = DIGEST
    assert tls_status(node, wanted) == "Ready"


def test_an_hour_is_the_least() -> None:
    assert expiry_ns("1h") == 3600 * 10**9
    with pytest.raises(InvalidArgument, match="one hour is the least"):
        expiry_ns("59m")


@pytest.mark.parametrize(
    "text", ["url=https://x", "protocol=acme,url=https://x", "protocol=cfssl", "protocol=cfssl,x=1"]
)
def test_an_external_ca_needs_protocol_and_url(text: str) -> None:
    with pytest.raises(InvalidArgument):
        external_ca(text)
    assert external_ca("protocol=cfssl,url=https://x").url == "https://x"
