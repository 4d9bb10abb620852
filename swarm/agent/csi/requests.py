"""Doing what the leader's volume manager orders: its calls of a controller, and the volumes of this node."""

from swarm.agent.containers.conversation import Conversation
from swarm.agent.csi.plugins import CsiPlugins
from swarm.agent.csi.volumes import ClusterVolumes
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest

_VERBS = frozenset({"controller_call", "attach_volume", "detach_volume"})


def is_about_plugins(request: ContainerRequest) -> bool:
    """Whether a request is an order of the volume manager."""
    return request.WhichOneof("verb") in _VERBS


class CsiRequests:
    """Answers every kind of order; raises SwarmErrors, which the leader gets."""

    def __init__(self, plugins: CsiPlugins, volumes: ClusterVolumes) -> None:
        """`plugins` and `volumes` are those of this node."""
        self._plugins = plugins
        self._volumes = volumes

    async def answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        """Do what is ordered and say the last word."""
        match request.WhichOneof("verb"):
            case "controller_call":
                call = request.controller_call
                answer = await self._plugins.control(call.driver, call.method, call.request)
                await conversation.send(ContainerOutput(controller_answer=answer))
            case "attach_volume":
                await self._volumes.attach(request.attach_volume)
            case _:
                await self._volumes.detach(request.detach_volume.volume_id)
        await conversation.send(ContainerOutput(done=True))
