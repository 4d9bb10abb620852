"""Service Local: what people ask of the node in front of them."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from swarm.api.v1 import backup_pb2 as backup
from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import LocalServicer as LocalBase
from swarm.node.node import Node

Context = grpc.aio.ServicerContext[Any, Any]


class LocalServicer(LocalBase):
    """Raises SwarmErrors, which the error interceptor turns into statuses."""

    def __init__(self, node: Node) -> None:
        """Answer for `node`."""
        self._node = node

    async def Init(self, request: control.InitRequest, context: Context) -> control.InitResponse:
        """Start a cluster with this node."""
        return await self._node.init(request)

    async def Join(self, request: control.JoinRequest, context: Context) -> control.JoinResponse:
        """Join this node to a cluster."""
        return await self._node.join(request)

    async def Leave(self, request: control.LeaveRequest, context: Context) -> control.LeaveResponse:
        """Take this node out of its cluster."""
        await self._node.leave(force=request.force)
        return control.LeaveResponse()

    async def Unlock(self, request: control.UnlockRequest, context: Context) -> control.UnlockResponse:
        """Open this node with the unlock key."""
        await self._node.unlock(request.unlock_key)
        return control.UnlockResponse()

    async def Restore(
        self, request_iterator: AsyncIterator[backup.RestoreRequest], context: Context
    ) -> control.InitResponse:
        """Begin the cluster of a backup anew with this node."""
        from swarm.node.restoring import receive

        return await self._node.restore(*await receive(request_iterator))

    async def Rejoin(self, request: backup.RejoinRequest, context: Context) -> backup.RejoinResponse:
        """Tell this node where its managers are now."""
        return await self._node.rejoin(request)

    async def RenewCertificate(
        self, request: control.RenewCertificateRequest, context: Context
    ) -> control.RenewCertificateResponse:
        """Give this node a new key and certificate."""
        return await self._node.renew_certificate()

    async def Info(self, request: control.InfoRequest, context: Context) -> control.InfoResponse:
        """Say what this node is and knows."""
        return await self._node.info()
