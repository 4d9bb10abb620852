"""Managers in one process: real RaftNodes over real gRPC on loopback, with a list as state machine.

With `secure=True` they hold certificates and talk mutual TLS; without, a user agent says who calls.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc

from swarm.api.status import ErrorInterceptor
from swarm.api.v1.raft_pb2 import JoinRaftRequest, RaftMember
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.clock import SystemClock
from swarm.errors import NoQuorum, NotLeader, OutcomeUnknown
from swarm.ids import new_raft_id
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.links import Dial
from swarm.manager.raft.node import RaftNode, stored_raft_id
from swarm.manager.raft.servicer import RaftServicer, add_to_server
from swarm.manager.store.proposer import FrozenState
from swarm.security.authorization import AuthorizationInterceptor, TlsCaller
from swarm.security.certificates import (
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
)
from swarm.security.identity import Identity, Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials
from tests.unit.raft.keys import KEYS

CLUSTER = "cluster-1"

# A machine that stands still for a second holds no election. Where one is held it takes as long, though.
ELECTION_TIMEOUT_S = (2.0, 4.0)
# For tests in which the leader stays: without these a busy machine elects another one now and then.
STEADY = {"election_timeout_s": (5.0, 10.0)}
PATIENCE_S = 60.0  # with what succeeds in the end

Listening = tuple[grpc.aio.Server, RaftServicer, int, Dial]


class Register:
    """A state machine that remembers everything it was given."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.restored = 0

    @property
    def values(self) -> list[bytes]:
        return [entry for _, entry in self.entries]

    def apply(self, index: int, entry: bytes) -> None:
        assert not self.entries or index > self.entries[-1][0]
        self.entries.append((index, entry))

    def freeze(self) -> FrozenState:
        picture = list(self.entries)
        return FrozenState(
            picture[-1][0] if picture else 0,
            lambda: (struct.pack("<Q", index) + entry for index, entry in picture),
        )

    def restore(self, applied_index: int, records: Iterable[bytes]) -> None:
        self.restored += 1
        self.entries = [(struct.unpack_from("<Q", record)[0], record[8:]) for record in records]


def named_by_user_agent(context: Any) -> Identity:
    """Stands in for certificates: a test's channels name their node as user agent."""
    agent = dict(context.invocation_metadata())["user-agent"].split()[0]
    role, _, node_id = agent.partition("/")
    return Identity(node_id, Role.MANAGER if role == "manager" else Role.WORKER, CLUSTER)


def dial_as(node_id: str, role: str = "manager") -> Dial:
    """Return a dial function whose channels belong to a node."""
    options = (
        ("grpc.primary_user_agent", f"{role}/{node_id}"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
    )
    return lambda addr: grpc.aio.insecure_channel(addr, options=options)


@cache
def _root() -> KeyedCertificate:
    return create_root_ca(CLUSTER, SystemClock().now_ns())


def certified(
    node_id: str, role: Role = Role.MANAGER, root: KeyedCertificate | None = None
) -> NodeCredentials:
    """Return what a node of the cluster has; `root` is that of another one."""
    key, root = new_key_pem(), root or _root()
    certificate = issue_node_certificate(
        root, create_csr(key), node_id=node_id, role=role, cluster_id=CLUSTER, now_ns=SystemClock().now_ns()
    )
    return NodeCredentials(Path("/dev/null/identity"), NodeBundle(certificate, root.cert_pem, key))


@dataclass
class Manager:
    """One manager: its server lives on while its node is stopped and started."""

    node_id: str
    directory: Path
    server: grpc.aio.Server
    servicer: RaftServicer
    addr: str
    dial: Dial
    settings: dict[str, Any]
    register: Register = field(default_factory=Register)
    terms: list[int | None] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)
    removed: bool = False

    @property
    def node(self) -> RaftNode:
        assert self.servicer.node is not None
        return self.servicer.node

    async def start(self, raft_id: str = "", members: Iterable[RaftMember] = ()) -> None:
        """Start from the directory; `raft_id` and `members` matter only when it is empty."""
        self.register = Register()
        raft_id = stored_raft_id(self.directory, KEYS) or raft_id or new_raft_id()
        config = RaftConfig(
            directory=self.directory,
            keys=KEYS,
            cluster_id=CLUSTER,
            self_member=RaftMember(raft_id=raft_id, node_id=self.node_id, addr=self.addr),
            members=tuple(members),
            **{"election_timeout_s": ELECTION_TIMEOUT_S, "heartbeat_s": 0.05, **self.settings},
        )

        def gone() -> None:
            self.removed = True

        node = RaftNode(config, self.register, self.dial, self.terms.append, self.fatal.append, gone)
        await node.start()
        self.servicer.node = node

    async def stop(self) -> None:
        """Leave at once, without a word."""
        node, self.servicer.node = self.servicer.node, None
        if node is not None:
            await node.stop()

    async def join(self, leader: "Manager") -> None:
        """Join as a manager does."""
        channel = self.dial(leader.addr)
        try:
            answer = await RaftStub(channel).Join(JoinRaftRequest(addr=self.addr))
        finally:
            await channel.close()
        await self.start(answer.raft_id, answer.members)


def _listen(node_id: str) -> Listening:
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor()], options=[("grpc.max_receive_message_length", 64 << 20)]
    )
    servicer = RaftServicer(find_caller=named_by_user_agent)
    add_to_server(servicer, server)
    return server, servicer, server.add_insecure_port("127.0.0.1:0"), dial_as(node_id)


class Group:
    """The managers of a test."""

    def __init__(self, directory: Path, *, secure: bool = False, **settings: Any) -> None:
        self._directory = directory
        self._secure = secure
        self._settings = settings
        self.managers: list[Manager] = []

    def _listen_secure(self, node_id: str) -> Listening:
        credentials = certified(node_id)
        authorization = AuthorizationInterceptor(TlsCaller(credentials, SystemClock()))
        server = grpc.aio.server(
            interceptors=[ErrorInterceptor(), authorization],
            options=SERVER_OPTIONS,
        )
        servicer = RaftServicer()
        add_to_server(servicer, server)
        port = server.add_secure_port("127.0.0.1:0", credentials.server_credentials())
        return server, servicer, port, credentials.channel

    async def listen(self, node_id: str) -> Manager:
        """Return a manager that serves, but takes no part yet."""
        server, servicer, port, dial = (self._listen_secure if self._secure else _listen)(node_id)
        await server.start()
        manager = Manager(
            node_id, self._directory / node_id, server, servicer, f"127.0.0.1:{port}", dial, self._settings
        )
        self.managers.append(manager)
        return manager

    async def first(self) -> Manager:
        manager = await self.listen("n1")
        await manager.start()
        await eventually(lambda: manager.node.is_leader)
        return manager

    async def grow(self, size: int) -> None:
        """Let managers join until there are `size` voters."""
        if not self.managers:
            await self.first()
        while len(self.managers) < size:
            manager = await self.listen(f"n{len(self.managers) + 1}")
            await manager.join(self.leader())
            await eventually(lambda: all(len(voters(m)) == len(self.managers) for m in self.running))

    @property
    def running(self) -> list[Manager]:
        return [manager for manager in self.managers if manager.servicer.node is not None]

    def leader(self) -> Manager:
        leaders = [manager for manager in self.running if manager.node.is_leader]
        return max(leaders, key=lambda manager: manager.node.term)

    async def settled(self) -> Manager:
        """Wait for a leader that everybody else follows, and return it."""

        def agreed() -> bool:
            leaders = {manager.node.leader.raft_id for manager in self.running if manager.node.leader}
            return len(leaders) == 1 and any(m.node.is_leader for m in self.running)

        await eventually(agreed)
        return self.leader()

    async def propose(self, value: bytes) -> int:
        """Propose as a client does: go where the leader is, again while it is not known, and look what
        became of a change of which that was not known. No value may be proposed twice.
        """
        async with asyncio.timeout(PATIENCE_S):
            while True:
                leader = await self.settled()
                try:
                    return await leader.node.propose(value, PATIENCE_S)
                except OutcomeUnknown:  # whoever leads next has it, or nobody ever will
                    entries = (await self.settled()).register.entries
                    indices = [index for index, entry in entries if entry == value]
                    if indices:
                        return indices[0]
                except (NotLeader, NoQuorum):
                    await asyncio.sleep(0.05)

    async def close(self) -> None:
        try:
            for manager in self.managers:
                await manager.stop()
        finally:  # a server that is left behind hangs the tests that follow
            for manager in self.managers:
                await manager.server.stop(None)


def voters(manager: Manager) -> set[str]:
    return {member.node_id for member in manager.node.members if not member.learner}


async def eventually(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def group(
    directory: Path, size: int, *, secure: bool = False, **settings: Any
) -> AsyncIterator[Group]:
    """Run a group of `size` managers."""
    managers = Group(directory, secure=secure, **settings)
    try:
        await managers.grow(size)
        yield managers
    finally:
        await managers.close()
