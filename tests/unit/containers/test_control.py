"""What people may not ask of nodes."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput, ContainerQuestion, ContainerRequest
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.plain_pb2 import FollowEvents, PlainEvent
from swarm.api.v1.volumes_pb2 import AttachVolume, ControllerCall, DetachVolume
from swarm.errors import NotPermitted, Unavailable
from swarm.manager.containers.calls import ContainerCalls
from swarm.manager.containers.control import ContainerControl
from swarm.manager.store.testing import store_with
from swarm.security.identity import Identity, Role


@pytest.mark.parametrize(
    "request_",
    [
        ContainerRequest(controller_call=ControllerCall(method="DeleteVolume")),
        ContainerRequest(attach_volume=AttachVolume(volume_id="v")),
        ContainerRequest(detach_volume=DetachVolume(volume_id="v")),
    ],
)
async def test_the_orders_of_the_volume_manager_are_not_for_people(request_: ContainerRequest) -> None:
    async def asking() -> AsyncIterator[ContainerInput]:
        yield ContainerInput(question=ContainerQuestion(request=request_))

    control = ContainerControl(store_with(), cast("ContainerCalls", None))
    with pytest.raises(NotPermitted, match="volume manager only"):
        async for _ in control.converse(asking(), Identity("", Role.OPERATOR, "c1"), viewing=False):
            pass


class Nodes:
    """`told` has its events written down; `silent` cannot be heard."""

    def __init__(self) -> None:
        self.asked: dict[str, FollowEvents] = {}

    async def converse(self, node_id: str, request: ContainerRequest) -> AsyncIterator[ContainerOutput]:
        self.asked[node_id] = request.events
        if node_id == "silent":
            raise Unavailable("it is away")
        yield ContainerOutput(node_id=node_id, event=PlainEvent(action="die"))
        yield ContainerOutput(node_id=node_id, done=True)

    def name(self, node_id: str) -> str:
        return f"node {node_id}"


@pytest.mark.parametrize(("scope", "heard"), [((), True), (("team=red",), False)])
async def test_events_of_the_past_are_asked_for_once_where_each_node_was(
    scope: tuple[str, ...], heard: bool
) -> None:
    async def asking() -> AsyncIterator[ContainerInput]:
        events = FollowEvents(since_ns=5, cursors={"told": "a.7"})
        yield ContainerInput(question=ContainerQuestion(request=ContainerRequest(events=events)))

    nodes = Nodes()
    control = ContainerControl(store_with(Node(id="told"), Node(id="silent")), cast("ContainerCalls", nodes))
    who = Identity("", Role.VIEWER, "c1", scope=scope)
    answers = [one async for one in control.converse(asking(), who, viewing=True)]
    assert answers.pop().done
    said = sorted(one.notice or one.event.action for one in answers)
    assert said == (
        ["die", "node silent: it is away: its events of containers are missing here"] if heard else []
    )
    places = {node_id: (asked.after, asked.since_ns) for node_id, asked in nodes.asked.items()}
    assert places == ({"told": ("a.7", 5), "silent": ("", 5)} if heard else {})
