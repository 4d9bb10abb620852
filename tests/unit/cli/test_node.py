"""Changing a node that managers write to at the same time."""

from types import SimpleNamespace

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node
from swarm.cli.node import ATTEMPTS_MAX, update_node
from swarm.errors import StaleVersion


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


def test_somebody_who_writes_all_the_time_is_told_of():
    with pytest.raises(StaleVersion):
        update_node(SimpleNamespace(control=Control(busy=ATTEMPTS_MAX)), "n1", label)
