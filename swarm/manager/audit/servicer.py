"""Service Audit: managers tell each other what they wrote down."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from swarm.api.v1.users_pb2 import ReadAuditRequest, ReadAuditResponse
from swarm.api.v1.users_pb2_grpc import AuditServicer as AuditBase
from swarm.manager.audit.reading import own
from swarm.manager.audit.trail import AuditTrail

Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(AuditBase):
    """Tells other managers what this one wrote down."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def Relay(self, request: ReadAuditRequest, context: Context) -> AsyncIterator[ReadAuditResponse]:
        """Send what is kept, then an empty message, and with `follow` what comes."""
        async for answer in own(self._trail, request):
            yield answer
