"""Managers in one process: real gRPC over loopback, one log without Raft."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc

from swarm.api.status import ErrorInterceptor
from swarm.api.v1.images_pb2_grpc import add_ImagesServicer_to_server
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.clock import SystemClock
from swarm.errors import NotLeader
from swarm.manager.images.main import ManagerImages
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.runtime.images.store import LocalImageStore
from swarm.security.identity import Identity, Role, acting_as


class FakeRaft:
    """Who leads is what the test says."""

    def __init__(self, cluster: "Cluster", node_id: str) -> None:
        self._cluster = cluster
        self._node_id = node_id

    @property
    def is_leader(self) -> bool:
        return self._cluster.leader_id == self._node_id

    @property
    def leader(self) -> RaftMember | None:
        return next((member for member in self.members if member.node_id == self._cluster.leader_id), None)

    @property
    def members(self) -> Sequence[RaftMember]:
        return [RaftMember(node_id=name, addr=node.addr) for name, node in self._cluster.managers.items()]

    async def barrier(self, timeout_s: float) -> int:
        if not self.is_leader:
            raise NotLeader
        return 0


class Manager:
    """One manager; `start` and `stop` its server, `replicate` in the background."""

    def __init__(self, cluster: "Cluster", node_id: str, directory: Path) -> None:
        self.node_id = node_id
        self.store = Store(SystemClock(), node_id)
        self.images = LocalImageStore(directory)
        self.raft = FakeRaft(cluster, node_id)
        self.parts = ManagerImages(self.store, self.images, node_id, self.raft, grpc.aio.insecure_channel)
        self.addr = "127.0.0.1:1"
        self._server: grpc.aio.Server | None = None
        self._replication: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(interceptors=[CallerInterceptor(self.node_id), ErrorInterceptor()])
        add_ImagesServicer_to_server(self.parts.servicer, self._server)
        self.addr = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    def replicate(self) -> None:
        self._replication = asyncio.create_task(self.parts.replicator.run())

    async def stop(self) -> None:
        if self._replication is not None:
            self._replication.cancel()
            await asyncio.gather(self._replication, return_exceptions=True)
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def close(self) -> None:
        await self.stop()
        await self.images.close()


class CallerInterceptor(grpc.aio.ServerInterceptor):
    """Without TLS nobody says who calls: in these tests it is always the manager m2."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id

    async def intercept_service(self, continuation, details):
        handler = await continuation(details)
        if not details.method.endswith("ReportHolder"):
            return handler
        inner = handler.unary_unary

        async def as_manager(request, context):
            with acting_as(Identity("m2", Role.MANAGER, "cluster")):
                return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            as_manager, handler.request_deserializer, handler.response_serializer
        )


class Cluster:
    """Managers m1, m2, …; m1 leads until told otherwise."""

    def __init__(self) -> None:
        self.managers: dict[str, Manager] = {}
        self.leader_id = ""

    def lead(self, node_id: str) -> None:
        """Let another manager write; all stores apply what it writes."""
        self.leader_id = node_id
        for name, manager in self.managers.items():
            stores = [manager.store, *(one.store for one in self.managers.values() if one is not manager)]
            manager.store.attach(LocalProposer(*stores) if name == node_id else RefusingProposer())


class RefusingProposer:
    async def propose(self, entry: bytes, timeout_s: float) -> int:
        raise NotLeader


@contextlib.asynccontextmanager
async def running_cluster(directory: Path, size: int = 2) -> AsyncIterator[Cluster]:
    cluster = Cluster()
    try:
        for number in range(1, size + 1):
            manager = Manager(cluster, f"m{number}", directory / f"m{number}")
            cluster.managers[manager.node_id] = manager
            await manager.start()
        cluster.lead("m1")
        yield cluster
    finally:
        for manager in cluster.managers.values():
            await manager.close()
