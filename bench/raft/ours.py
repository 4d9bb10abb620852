"""Our RaftNode in three processes: encrypted journal, synced before anything is promised, mutual TLS."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import structlog

from bench.raft.children import measure, members
from bench.raft.load import Load, Sample, drive
from bench.raft.ports import free_ports
from swarm.api.status import ErrorInterceptor
from swarm.api.v1.raft_pb2 import JoinRaftRequest, RaftMember
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.clock import SystemClock
from swarm.ids import new_id, new_raft_id
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.node import RaftNode
from swarm.manager.raft.servicer import RaftServicer, add_to_server
from swarm.manager.store.proposer import FrozenState, StateMachine
from swarm.security.authorization import AuthorizationInterceptor, TlsCaller
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle, save_bundle
from swarm.security.keyring import KeySet, new_data_key
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials

MEMBERS = 3
TIMEOUT_S = 10.0
CLUSTER = "bench"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Callable[[Load], Sample]]:
    """Run a group; yields what puts a load on it."""
    configs = _configs(folder)
    with members("bench.raft.ours", configs, folder) as children:
        for child in children:  # one after another: each joins the group of those before
            child.ask("start")
        children[0].ask("wait for all")
        yield lambda load: measure(children, load)


def _configs(folder: Path) -> list[dict[str, Any]]:
    now_ns = SystemClock().now_ns()
    root = create_root_ca(CLUSTER, now_ns)
    ports = free_ports(MEMBERS)
    for number in range(MEMBERS):
        key = new_key_pem()
        certificate = issue_node_certificate(
            root,
            create_csr(key),
            node_id=new_id(),
            role=Role.MANAGER,
            cluster_id=CLUSTER,
            now_ns=now_ns,
        )
        save_bundle(folder / f"{number}.pem", NodeBundle(certificate, root.cert_pem, key))
    return [
        {
            "directory": str(folder / f"log-{number}"),
            "credentials": str(folder / f"{number}.pem"),
            "addr": f"127.0.0.1:{port}",
            "first": "" if number == 0 else f"127.0.0.1:{ports[0]}",
        }
        for number, port in enumerate(ports)
    ]


# A member.


class Count(StateMachine):
    """Counts the commands."""

    def __init__(self) -> None:
        self.index = 0
        self.count = 0

    def apply(self, index: int, entry: bytes) -> None:
        self.index = index
        self.count += 1

    def freeze(self) -> FrozenState:
        count = self.count
        return FrozenState(self.index, lambda: iter([str(count).encode()]))

    def restore(self, applied_index: int, records: Iterable[bytes]) -> None:
        self.index = applied_index
        self.count = sum(int(record) for record in records)


class Member:
    """One process of the group."""

    def __init__(self, config: dict[str, str]) -> None:
        self._config = config
        credentials = NodeCredentials.load(Path(config["credentials"]))
        assert credentials is not None
        self._credentials = credentials
        self._servicer = RaftServicer()

    async def serve(self) -> grpc.aio.Server:
        """Answer others from now on."""
        authorization = AuthorizationInterceptor(TlsCaller(self._credentials, SystemClock()))
        server = grpc.aio.server(interceptors=[ErrorInterceptor(), authorization], options=SERVER_OPTIONS)
        add_to_server(self._servicer, server)
        server.add_secure_port(self._config["addr"], self._credentials.server_credentials())
        await server.start()
        return server

    async def answer(self, question: Any) -> object:
        """Do what the parent asks for."""
        if question == "start":
            await self._start()
        elif question == "wait for all":
            while sum(not member.learner for member in self._node.members) < MEMBERS:
                await asyncio.sleep(0.01)
        elif self._node.is_leader:
            sample = await drive(lambda payload: self._node.propose(payload, TIMEOUT_S), Load(**question))
            return asdict(sample)
        return None

    @property
    def _node(self) -> RaftNode:
        assert self._servicer.node is not None
        return self._servicer.node

    async def _start(self) -> None:
        raft_id, others = new_raft_id(), []
        if self._config["first"]:
            raft_id, others = await self._join()
        node_id = self._credentials.identity.node_id
        config = RaftConfig(
            directory=Path(self._config["directory"]),
            cluster_id=CLUSTER,
            self_member=RaftMember(raft_id=raft_id, node_id=node_id, addr=self._config["addr"]),
            keys=KeySet((new_data_key(),)),
            members=others,
        )
        node = RaftNode(config, Count(), self._credentials.channel, lambda _: None, _end)
        await node.start()
        self._servicer.node = node
        while node.leader is None:
            await asyncio.sleep(0.01)

    async def _join(self) -> tuple[str, list[RaftMember]]:
        async with self._credentials.channel(self._config["first"]) as channel:
            while True:
                try:
                    answer = await RaftStub(channel).Join(
                        JoinRaftRequest(addr=self._config["addr"]), timeout=TIMEOUT_S
                    )
                except grpc.aio.AioRpcError as error:
                    # The one before is being promoted, which is a change of its own.
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(0.1)
                else:
                    return answer.raft_id, list(answer.members)


def _end(reason: str) -> None:
    print(reason, file=sys.stderr, flush=True)
    os._exit(1)


async def _main() -> None:
    member = Member(json.loads(sys.argv[1]))
    server = await member.serve()
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await member.answer(json.loads(line))), flush=True)
    await server.stop(None)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(_main())
