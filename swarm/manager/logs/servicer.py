"""Service Logs: agents publish to the manager of their session, managers ask each other."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from swarm.api.v1.logs_pb2 import LogSubscription, PublishLogsRequest, PublishLogsResponse, RelayLogsResponse
from swarm.api.v1.logs_pb2_grpc import LogsServicer as LogsServicerBase
from swarm.manager.logs.broker import LogBroker, relaying
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of


class LogsServicer(LogsServicerBase):
    """Serves what the broker of this manager does."""

    def __init__(self, broker: LogBroker, *, caller: Callable[[Any], Identity] = caller_of) -> None:
        """`caller` tells which node publishes."""
        self._broker = broker
        self._caller = caller

    async def Publish(
        self,
        request_iterator: AsyncIterator[PublishLogsRequest],
        context: grpc.aio.ServicerContext[PublishLogsRequest, PublishLogsResponse],
    ) -> PublishLogsResponse:
        """Take an agent's lines until it has no more."""
        await self._broker.publish(self._caller(context).node_id, request_iterator)
        return PublishLogsResponse()

    # Writes to the context instead of yielding.
    async def Relay(  # type: ignore[override]
        self,
        request: LogSubscription,
        context: grpc.aio.ServicerContext[LogSubscription, RelayLogsResponse],
    ) -> None:
        """Send what this manager's agents publish, until the asking manager hangs up."""
        async with relaying(self._broker, request) as events:
            async for event in events:
                await context.write(event)
