"""Service Containers: people ask, nodes answer, managers pass calls on."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from swarm.api.v1.containers_pb2 import (
    ContainerInput,
    ContainerOutput,
    DeliverRequest,
    DeliverResponse,
)
from swarm.api.v1.containers_pb2_grpc import ContainersServicer as ContainersServicerBase
from swarm.manager.containers.calls import ContainerCalls
from swarm.manager.containers.control import ContainerControl
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of

Context = grpc.aio.ServicerContext[Any, Any]


class ContainersServicer(ContainersServicerBase):
    """Serves what the conversations of this manager need."""

    def __init__(
        self,
        control: ContainerControl,
        calls: ContainerCalls,
        *,
        caller: Callable[[Any], Identity] = caller_of,
    ) -> None:
        """`caller` tells who is at the other end."""
        self._control = control
        self._calls = calls
        self._caller = caller

    def end_streams(self) -> None:
        """End what would go on for ever, because this manager stops."""
        self._calls.end_all()

    async def View(
        self, request_iterator: AsyncIterator[ContainerInput], context: Context
    ) -> AsyncIterator[ContainerOutput]:
        """Answer what changes nothing."""
        who = self._caller(context)
        async for output in self._control.converse(request_iterator, who, viewing=True):
            yield output

    async def Operate(
        self, request_iterator: AsyncIterator[ContainerInput], context: Context
    ) -> AsyncIterator[ContainerOutput]:
        """Do what is asked."""
        who = self._caller(context)
        async for output in self._control.converse(request_iterator, who, viewing=False):
            yield output

    # Writes to the context instead of yielding.
    async def Answer(  # type: ignore[override]
        self, request_iterator: AsyncIterator[ContainerOutput], context: Context
    ) -> None:
        """Join a node with whoever called it."""
        await self._calls.answer(self._caller(context).node_id, request_iterator, context.write)

    async def Deliver(self, request: DeliverRequest, context: Context) -> DeliverResponse:
        """Pass a call on if the node's session is here."""
        return DeliverResponse(delivered=self._calls.deliver(request.node_id, request.call))
