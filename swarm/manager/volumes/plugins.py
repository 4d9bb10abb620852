"""Reaches plugins: their controllers through any node that has one, and the nodes themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import CsiPlugin, NodeState
from swarm.api.v1.volumes_pb2 import AttachVolume, ControllerCall, DetachVolume
from swarm.errors import FailedPrecondition, Unavailable
from swarm.manager.store.store import Store
from swarm.model.cluster_volumes import plugin_of

M = TypeVar("M", bound=Message)
# `ContainerCalls.converse`: what a node answers, its last word too.
Converse = Callable[[str, ContainerRequest], AsyncIterator[ContainerOutput]]

ANSWER_TIMEOUT_S = 60.0  # above what nodes give a plugin


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the controller of a plugin does, as far as any node says."""

    creates: bool
    publishes: bool


class PluginCalls:
    """Calls plugins; raises Unavailable (try again) and FailedPrecondition (what the plugin says)."""

    def __init__(self, store: Store, converse: Converse) -> None:
        """`converse` asks a node."""
        self._store = store
        self._converse = converse

    def abilities(self, driver: str) -> Abilities:
        """Return what a plugin can do; raises Unavailable while its controller is nowhere."""
        found = [plugin for _, plugin in self._plugins(driver)]
        if not found:
            raise Unavailable(f"no node that is up has the plugin {driver}")
        has_controller = any(one.has_controller for one in found)
        if has_controller and not any(one.controls for one in found):
            raise Unavailable(f"the controller of the plugin {driver} answers on no node that is up")
        return Abilities(any(one.creates for one in found), any(one.publishes for one in found))

    def node_name(self, driver: str, node_id: str) -> str:
        """Return what a plugin calls a node; raises Unavailable when it is not there."""
        node = self._store.view.nodes.get(node_id)
        plugin = plugin_of(node.description, driver) if node is not None else None
        if plugin is None:
            raise Unavailable(f"node {node_id} has no plugin {driver}")
        return plugin.node_id

    async def control(self, driver: str, request: Message, answer: type[M]) -> M:
        """Have a controller do something: on the first node where it can be asked."""
        method = type(request).DESCRIPTOR.name.removesuffix("Request")
        call = ControllerCall(driver=driver, method=method, request=request.SerializeToString())
        problem = Unavailable(f"no node that is up has the controller of the plugin {driver}")
        for node, plugin in self._plugins(driver):
            if not plugin.controls:
                continue
            try:
                said = await self._ask(node.id, ContainerRequest(controller_call=call))
                return answer.FromString(said.controller_answer)
            except Unavailable as error:
                problem = error
            except DecodeError as error:
                raise FailedPrecondition(f"plugin {driver}: its answer cannot be read") from error
        raise problem

    async def attach(self, node_id: str, order: AttachVolume) -> None:
        """Have a node stage and publish a volume."""
        await self._ask(node_id, ContainerRequest(attach_volume=order))

    async def detach(self, node_id: str, volume_id: str) -> None:
        """Have a node undo that."""
        await self._ask(node_id, ContainerRequest(detach_volume=DetachVolume(volume_id=volume_id)))

    def _plugins(self, driver: str) -> Iterator[tuple[Node, CsiPlugin]]:
        for node in sorted(self._store.view.nodes, key=lambda one: one.id):
            plugin = plugin_of(node.description, driver)
            if plugin is not None and node.status.state == NodeState.NODE_STATE_READY:
                yield node, plugin

    async def _ask(self, node_id: str, request: ContainerRequest) -> ContainerOutput:
        found = ContainerOutput()
        try:
            async with (
                asyncio.timeout(ANSWER_TIMEOUT_S),
                contextlib.aclosing(self._converse(node_id, request)) as outputs,  # type: ignore[type-var]
            ):
                async for output in outputs:
                    if not output.done:
                        found = output
        except TimeoutError:
            raise Unavailable(f"node {node_id} did not answer in {ANSWER_TIMEOUT_S:.0f} s") from None
        return found
