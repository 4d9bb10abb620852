"""What people may not ask of nodes."""

from collections.abc import AsyncIterator
from typing import cast

import pytest

from swarm.api.v1.containers_pb2 import ContainerInput, ContainerQuestion, ContainerRequest
from swarm.api.v1.volumes_pb2 import AttachVolume, ControllerCall, DetachVolume
from swarm.errors import NotPermitted
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
