"""Real dispatchers on loopback, real agents on fake runtimes; certificates replaced by a header."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc

from swarm.agent.fake_network import FakeNetwork
from swarm.agent.main import Agent
from swarm.api.status import ErrorInterceptor
from swarm.api.v1.containers_pb2_grpc import add_ContainersServicer_to_server
from swarm.api.v1.dispatcher_pb2 import NodeInfo
from swarm.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server, add_LeaderServicer_to_server
from swarm.api.v1.logs_pb2_grpc import add_LogsServicer_to_server
from swarm.api.v1.objects_pb2 import Cluster, Node, Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import SystemClock
from swarm.errors import NotLeader
from swarm.ids import new_id
from swarm.manager.containers.calls import ContainerCalls
from swarm.manager.containers.control import ContainerControl
from swarm.manager.containers.servicer import ContainersServicer
from swarm.manager.dispatcher.main import Dispatcher
from swarm.manager.logs.broker import LogBroker
from swarm.manager.logs.control import LogControl
from swarm.manager.logs.servicer import LogsServicer
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.model.task_state import ASSIGNED, RUNNING
from swarm.runtime.base import Capabilities
from swarm.runtime.fake import FakeDriver
from swarm.runtime.fake_images import FakeImages
from swarm.security.identity import Identity, Role

PERIOD_NS = 1_500_000_000  # on a slow machine shorter ones end by themselves


async def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Wait until `condition()` holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def caller(context: Any) -> Identity:
    metadata = dict(context.invocation_metadata() or ())
    return Identity(node_id=str(metadata.get("node-id", "")), role=Role.WORKER, cluster_id="c")


class NamedChannel:
    """A channel that names its node in every call."""

    def __init__(self, channel: grpc.aio.Channel, node_id: str) -> None:
        self._channel = channel
        self._metadata = (("node-id", node_id),)

    def __getattr__(self, name: str) -> Any:
        if not name.endswith(("_unary", "_stream")):
            return getattr(self._channel, name)
        make = getattr(self._channel, name)

        def named(*args: Any, **kwargs: Any) -> Any:
            call = make(*args, **kwargs)
            return lambda *a, **k: call(*a, metadata=self._metadata, **k)

        return named

    async def __aenter__(self) -> "NamedChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


class Leadership:
    """Who leads, as the test says; every manager of a lab shares one."""

    def __init__(self, lab: "Lab", manager: "Manager") -> None:
        self._lab = lab
        self._manager = manager
        self.cut_off = False

    @property
    def is_leader(self) -> bool:
        return self._lab.leader is self._manager

    @property
    def leader(self) -> RaftMember | None:
        return None if self.cut_off or self._lab.leader is None else self._lab.leader.member

    @property
    def term(self) -> int:
        return self._lab.term

    @property
    def members(self) -> tuple[RaftMember, ...]:
        return tuple(manager.member for manager in self._lab.managers)

    def reachable(self, raft_id: str) -> bool:
        return any(
            manager.member.raft_id == raft_id and manager.server is not None
            for manager in self._lab.managers
        )

    async def barrier(self, timeout_s: float) -> int:
        if not self.is_leader:
            raise NotLeader
        return self._manager.store.view.index


class Manager:
    def __init__(self, lab: "Lab", number: int) -> None:
        self.lab = lab
        self.node_id = f"manager{number}"
        self.member = RaftMember(raft_id=f"r{number}", node_id=self.node_id)
        self.store = Store(lab.clock, self.node_id)
        self.leadership = Leadership(lab, self)
        self.server: grpc.aio.Server | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def dial(self, addr: str) -> Any:
        return self.lab.dial_as(self.node_id)(addr, ())

    async def start(self, port: int = 0) -> None:
        self.dispatcher = Dispatcher(
            self.node_id, self.store, self.lab.clock, self.leadership, self.dial, caller=caller
        )
        self.broker = LogBroker(self.store, self.dispatcher.sessions)
        self.logs = LogControl(
            self.node_id,
            self.store,
            self.broker,
            lambda: self.leadership.members,
            self.dial,
            self.lab.clock,
        )
        self.calls = ContainerCalls(
            self.node_id, self.store, self.dispatcher.sessions, lambda: self.leadership.members, self.dial
        )
        containers = ContainersServicer(ContainerControl(self.store, self.calls), self.calls, caller=caller)
        self.server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        add_ContainersServicer_to_server(containers, self.server)
        add_DispatcherServicer_to_server(self.dispatcher.servicer, self.server)
        add_LeaderServicer_to_server(self.dispatcher.leader_servicer, self.server)
        add_LogsServicer_to_server(LogsServicer(self.broker, caller=caller), self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.member.addr = f"127.0.0.1:{self.port}"
        await self.server.start()
        self.tasks = [asyncio.create_task(self.dispatcher.run())]
        if self.leadership.is_leader:
            self.lead()

    def lead(self) -> None:
        self.tasks.append(asyncio.create_task(self.dispatcher.leader_loop().run()))

    async def stop(self) -> None:
        server, self.server = self.server, None
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        if server is not None:
            await server.stop(0)
        for result in results:
            if isinstance(result, Exception):
                raise result


class Lab:
    """Managers whose stores agree (one log), and the agents of some nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.managers: list[Manager] = []
        self.leader: Manager | None = None
        self.term = 1
        self.agents: dict[str, AgentHandle] = {}

    async def start(self, managers: int, nodes: Sequence[str]) -> None:
        self.managers = [Manager(self, number) for number in range(1, managers + 1)]
        self.proposer = LocalProposer(*(manager.store for manager in self.managers))
        self.leader = self.managers[0]
        self.leader.store.attach(self.proposer)
        cluster = Cluster(id="c")
        cluster.spec.heartbeat_period_ns = PERIOD_NS
        await self.write(cluster, *(Node(id=node) for node in nodes))
        for manager in self.managers:
            await manager.start()

    async def elect(self, manager: Manager) -> None:
        self.leader = manager
        self.term += 1
        manager.store.attach(self.proposer)
        manager.lead()

    async def write(self, *objects: Any) -> None:
        """Create or replace objects through the leader."""
        assert self.leader is not None

        def put(transaction: Any) -> None:
            for obj in objects:
                table = transaction.of(type(obj))
                current = table.get(obj.id)
                if current is None:
                    transaction.create(obj)
                else:
                    copy = type(obj)()
                    copy.CopyFrom(obj)
                    copy.meta.CopyFrom(current.meta)
                    transaction.update(copy)

        await self.leader.store.update(put, timeout_s=60.0)

    async def remove(self, kind: Any, object_id: str) -> None:
        assert self.leader is not None
        await self.leader.store.update(
            lambda transaction: transaction.remove(transaction.of(kind).get(object_id))
        )

    async def desire(self, task_id: str, state: int) -> None:
        task = self.task(task_id)
        task.desired_state = state  # type: ignore[assignment]
        await self.write(task)

    def task(self, task_id: str) -> Task:
        assert self.leader is not None
        copy = Task()
        found = self.leader.store.view.tasks.get(task_id)
        assert found is not None, f"no task {task_id}"
        copy.CopyFrom(found)
        return copy

    def node(self, node_id: str) -> Node:
        assert self.leader is not None
        found = self.leader.store.view.nodes.get(node_id)
        assert found is not None
        return found

    def dial_as(self, node_id: str) -> Callable[[str, Any], Any]:
        def dial(addr: str, options: Any) -> Any:
            channel = grpc.aio.insecure_channel(addr, options=[("grpc.use_local_subchannel_pool", 1)])
            return NamedChannel(channel, node_id)

        return dial

    async def agent(self, node_id: str, **parts: Any) -> "AgentHandle":
        handle = AgentHandle(self, node_id, **parts)
        self.agents[node_id] = handle
        await handle.start()
        return handle

    async def close(self) -> None:
        for handle in self.agents.values():
            await handle.stop()
            await handle.driver.close()
        for manager in self.managers:
            await manager.stop()


class AgentHandle:
    """An agent that can be killed and started again on the same runtime."""

    def __init__(
        self, lab: Lab, node_id: str, driver: FakeDriver | None = None, images: FakeImages | None = None
    ) -> None:
        self.lab = lab
        self.node_id = node_id
        self.driver = driver or FakeDriver()
        self.images = images or FakeImages()
        self.network = FakeNetwork()
        self.infos: list[NodeInfo] = []
        self.removed = False
        self.running: asyncio.Task[None] | None = None
        self.settings: Any = SimpleNamespace(
            agent_dir=lab.folder / node_id,
            volumes_dir=lab.folder / node_id / "volumes",
            plain_dir=lab.folder / node_id / "plain",
            state_dir=lab.folder / node_id,
            images_dir=lab.folder / node_id,
            containers_dir=lab.folder / node_id,
            node_subnet="172.30.0.0/16",
            data_path_addr="",
            disk_soft_percent=85,
            disk_hard_percent=95,
            csi_dir=lab.folder / node_id / "csi",
            cluster_volumes_dir=lab.folder / node_id / "cluster-volumes",
            run_dir=lab.folder / "run" / node_id,
            hostname=f"host-{node_id}",
            engine_labels={"disk": "ssd"},
            node_generic_resource=(),
        )

    def _on_removed(self) -> None:
        self.removed = True

    def managers(self) -> list[Peer]:
        if self.infos:
            return list(self.infos[-1].managers)
        return [Peer(node_id=one.node_id, addr=one.member.addr) for one in self.lab.managers]

    async def start(self) -> None:
        self.agent = Agent(
            self.settings,
            self.node_id,
            None,  # type: ignore[arg-type]
            self.managers,
            self.driver,
            self.images,
            self.network,
            self.lab.clock,
            self.infos.append,
            self._on_removed,
            capabilities=Capabilities(driver="fake", isolated=False),
            dial=self.lab.dial_as(self.node_id),
        )
        self.running = asyncio.create_task(self.agent.run())

    async def stop(self) -> None:
        """End the agent as a killed process would: nothing is tidied up on the node."""
        running, self.running = self.running, None
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def a_task(node_id: str, **fields: Any) -> Task:
    """An assigned task of a service `web`."""
    task = Task(id=new_id(), service_id="service-web", slot=1, node_id=node_id, desired_state=RUNNING)
    task.service_annotations.name = "web"
    task.spec.container.image = "web:1"
    task.status.state = ASSIGNED
    task.MergeFrom(Task(**fields))
    return task


@contextlib.asynccontextmanager
async def a_lab(folder: Path, managers: int = 1, nodes: Sequence[str] = ("n1",)) -> AsyncIterator[Lab]:
    lab = Lab(folder)
    try:
        await lab.start(managers, nodes)
        yield lab
    finally:
        await lab.close()
