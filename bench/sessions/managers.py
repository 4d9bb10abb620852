"""Managers for measurements of sessions: real dispatchers, mutual TLS, one in-memory log, one process.

Prints one line of JSON for every state a node takes and, at the end, how long each node was silent at most.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import structlog

from bench.sessions import credentials
from swarm.api.status import ErrorInterceptor
from swarm.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server, add_LeaderServicer_to_server
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NodeState
from swarm.clock import SystemClock
from swarm.manager.dispatcher.liveness import LivenessTable, heartbeat_period_ns
from swarm.manager.dispatcher.main import Dispatcher
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.security.identity import Identity, Role
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials

LOOK_S = 0.05


def caller(context: Any) -> Identity:
    """Return who calls, from the certificate alone."""
    name = context.auth_context()["x509_common_name"][0].decode()
    return Identity(node_id=name, role=Role.MANAGER, cluster_id=credentials.CLUSTER)


class Leadership:
    """The first manager leads for ever."""

    def __init__(self, members: tuple[RaftMember, ...], own: int) -> None:
        self.members = members
        self.is_leader = own == 0
        self.leader = members[0]
        self.term = 1

    def reachable(self, raft_id: str) -> bool:
        """Everybody reaches everybody."""
        return True

    async def barrier(self, timeout_s: float) -> int:
        """The log is in memory: there is nothing to wait for."""
        return 0


class Manager:
    """One manager: store, dispatcher, listener."""

    def __init__(self, folder: Path, members: tuple[RaftMember, ...], number: int) -> None:
        clock = SystemClock()
        self.node_id = members[number].node_id
        self.credentials: NodeCredentials = credentials.load(folder, self.node_id)
        self.store = Store(clock, self.node_id)
        self.dispatcher = Dispatcher(
            self.node_id,
            self.store,
            clock,
            Leadership(members, number),
            self.credentials.channel,
            caller=caller,
        )
        self._addr = members[number].addr

    async def start(self) -> None:
        """Listen."""
        self.server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=SERVER_OPTIONS)
        add_DispatcherServicer_to_server(self.dispatcher.servicer, self.server)
        add_LeaderServicer_to_server(self.dispatcher.leader_servicer, self.server)
        self.server.add_secure_port(self._addr, self.credentials.server_credentials())
        await self.server.start()


class Silences:
    """How long the leader heard nothing of each node, the longest of every window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.windows: list[float] = []
        self._longest: dict[str, float] = {}
        self._began_s = time.monotonic()

    def look(self, table: LivenessTable) -> None:
        """Take a sample."""
        now_s = time.monotonic()
        for node_id, silent_s in table.silences(now_s).items():
            self._longest[node_id] = max(self._longest.get(node_id, 0.0), silent_s)
        if now_s - self._began_s >= self._window_s:
            self._began_s = now_s
            self.windows += self._longest.values()
            self._longest.clear()


async def run(folder: Path, addrs: list[str], window_s: float, warm_up_s: float, seconds: float) -> None:
    """Serve for so long, then say what was seen."""
    node_ids = credentials.node_ids(folder)
    members = tuple(
        RaftMember(raft_id=f"r{number}", node_id=f"manager{number}", addr=addr)
        for number, addr in enumerate(addrs)
    )
    managers = [Manager(folder, members, number) for number in range(len(members))]
    proposer = LocalProposer(*(manager.store for manager in managers))
    leader = managers[0]
    leader.store.attach(proposer)
    await leader.store.update(
        lambda t: [t.create(Cluster(id="c")), *(t.create(Node(id=n)) for n in node_ids)]
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(manager.dispatcher.run()) for manager in managers]
        for manager in managers:
            await manager.start()
        tasks.append(group.create_task(leader.dispatcher.leader_loop().run()))
        tasks.append(group.create_task(tell_states(leader.store)))
        print(json.dumps({"serving": len(managers)}), flush=True)
        await asyncio.sleep(warm_up_s)
        print(json.dumps({"measuring": True}), flush=True)
        silences = Silences(window_s)
        cpu_s, began_s = cpu(), time.monotonic()
        while time.monotonic() - began_s < seconds:
            await asyncio.sleep(LOOK_S)
            silences.look(leader.dispatcher.leader_servicer.table)
        result = {
            "windows": [round(one, 2) for one in silences.windows],
            "cpu_s": cpu() - cpu_s,
            "seconds": time.monotonic() - began_s,
            "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "period_s": heartbeat_period_ns(leader.store.view.cluster, len(leader.store.view.nodes)) / 1e9,
            "sessions": [len(manager.dispatcher.sessions) for manager in managers],
        }
        print(json.dumps(result), flush=True)
        for task in tasks:
            task.cancel()
    for manager in managers:
        await manager.server.stop(0)


async def tell_states(store: Store) -> None:
    """Print what becomes of nodes."""
    states: dict[str, int] = {}
    with store.watch(Node) as watch:
        async for commit in watch:
            for event in commit.events:
                node = event.object
                if states.get(node.id) != node.status.state:
                    states[node.id] = node.status.state
                    line = {
                        "node": node.id,
                        "state": NodeState.Name(node.status.state),
                        "at": time.monotonic(),
                    }
                    print(json.dumps(line), flush=True)


def cpu() -> float:
    """Return the seconds of processor time this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("addrs", nargs="+")
    parser.add_argument("--window", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(run(given.folder, given.addrs, given.window, given.warm_up, given.seconds))
