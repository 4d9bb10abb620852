"""What a node remembers of its cluster."""

from pathlib import Path

import pytest

from swarm.api.v1.types_pb2 import Peer
from swarm.errors import FailedPrecondition
from swarm.node.state import NodeState, forget_state, load_state, managers_of, save_state

STATE = NodeState("n1", "c1", "10.0.0.1:2377", "0.0.0.0:2377", (("m1", "10.0.0.2:2377"),))


def test_a_saved_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    save_state(path, STATE)
    assert load_state(path) == STATE
    assert load_state(path).peers == [Peer(node_id="m1", addr="10.0.0.2:2377")]  # type: ignore[union-attr]


def test_no_file_means_no_cluster(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    assert load_state(path) is None
    save_state(path, STATE)
    forget_state(path)
    forget_state(path)
    assert load_state(path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2}', "\xff"])
def test_a_damaged_file_is_an_error_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "node.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(FailedPrecondition, match=r"node\.json"):
        load_state(path)


def test_managers_are_kept_in_one_order_and_only_with_address() -> None:
    peers = [Peer(node_id="b", addr="2:2"), Peer(node_id="c"), Peer(node_id="a", addr="1:1")]
    assert managers_of(peers) == (("a", "1:1"), ("b", "2:2"))
