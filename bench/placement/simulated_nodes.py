"""Thousands of nodes in one process, as another manager would hold their sessions.

`python -m bench.placement.simulated_nodes SOCKET NODES`. Every node joins with the token of workers and gets
a certificate of its own. Their sessions are reported to the leader as managers report theirs, by a manager
that is no member of the Raft group, and what is assigned to them is reported as running. So all that the
leader does for them is real; only the streams between agents and their manager are not there.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAStub
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.api.v1.dispatcher_pb2 import (
    ReportSessionsRequest,
    ReportTaskStatusesRequest,
    SessionState,
    TaskStatusUpdate,
)
from swarm.api.v1.dispatcher_pb2_grpc import LeaderStub
from swarm.api.v1.types_pb2 import NodeDescription, TaskStatus
from swarm.clock import SECOND, SystemClock
from swarm.manager.dispatcher.liveness import heartbeat_period_ns
from swarm.model import task_state
from swarm.security.bootstrap import TrustedManager, find_manager
from swarm.security.certificates import create_csr, new_key_pem
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import NodeCredentials
from swarm.security.tokens import parse_token

JOINING = 32  # at a time
SESSIONS_PER_REPORT = 2000  # of first reports: each has the description of its node
RETRY_S = 0.3
LOOK_S = 0.5  # how late a new leader may be noticed
UPDATES_PER_REPORT = 2000
NANO_CPUS, MEMORY_BYTES = 64_000_000_000, 256 << 30


class SimulatedNodes:
    """The nodes, and the manager that speaks for them."""

    def __init__(self, socket: str, node_ids: Sequence[str], credentials: NodeCredentials) -> None:
        self._control = ControlStub(grpc.aio.insecure_channel(socket))
        self._credentials = credentials
        self._addrs: itertools.cycle[str] = itertools.cycle(())
        self._leader: Any = None  # a LeaderStub
        self._node_ids = node_ids
        self._own = frozenset(node_ids)
        self._assigned: asyncio.Queue[control.WatchResponse] = asyncio.Queue()
        self.running = 0

    async def find(self) -> None:
        """Learn where the managers are."""
        answer = await self._control.GetJoinTokens(control.GetJoinTokensRequest())
        self._addrs = itertools.cycle(answer.manager_addrs)
        self._try_next()

    def _try_next(self) -> None:
        self._leader = LeaderStub(self._credentials.channel(next(self._addrs)))

    async def introduce(self) -> None:
        """Report every session for the first time."""
        for start in range(0, len(self._node_ids), SESSIONS_PER_REPORT):
            part = self._node_ids[start : start + SESSIONS_PER_REPORT]
            sessions = [_session(node_id, _description(node_id)) for node_id in part]
            await self._report(ReportSessionsRequest(sessions=sessions))

    async def stay(self) -> None:
        """Report every session, for ever: twice a period and to every new leader, as managers do."""
        request = ReportSessionsRequest(
            complete=True, sessions=[_session(node_id, None) for node_id in self._node_ids]
        )
        half_s = heartbeat_period_ns(None, len(self._node_ids)) / SECOND / 2
        while True:
            await self._report(request)
            until_s = time.monotonic() + half_s
            with contextlib.suppress(grpc.aio.AioRpcError):  # another one leads
                while time.monotonic() < until_s:
                    await self._leader.ReportSessions(ReportSessionsRequest(), timeout=5.0)
                    await asyncio.sleep(min(LOOK_S, half_s))

    async def _report(self, request: ReportSessionsRequest) -> None:
        while True:
            try:
                await self._leader.ReportSessions(request, timeout=5.0)
            except grpc.aio.AioRpcError:  # another one leads
                self._try_next()
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def watch(self) -> None:
        """Gather what is assigned."""
        request = control.WatchRequest(kinds=["task"])
        async for response in self._control.Watch(request):
            self._assigned.put_nowait(response)

    async def work(self) -> None:
        """Report what is assigned as running, much in one report when there is much."""
        waiting: dict[str, str] = {}
        while True:
            responses = [await self._assigned.get()]
            while not self._assigned.empty():
                responses.append(self._assigned.get_nowait())
            for task in (event.object.task for one in responses for event in one.events):
                if task.status.state == task_state.ASSIGNED and task.node_id in self._own:
                    waiting[task.id] = task.node_id
            while waiting:
                part = dict(itertools.islice(waiting.items(), UPDATES_PER_REPORT))
                await self._report_running(part)
                for task_id in part:
                    del waiting[task_id]

    async def _report_running(self, node_of: dict[str, str]) -> None:
        request = ReportTaskStatusesRequest()
        for task_id, node_id in node_of.items():
            status = TaskStatus(state=task_state.RUNNING, message="started")
            status.timestamp.GetCurrentTime()
            request.nodes.add(node_id=node_id, updates=[TaskStatusUpdate(task_id=task_id, status=status)])
        while True:
            try:
                await self._leader.ReportTaskStatuses(request, timeout=10.0)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(RETRY_S)
            else:
                self.running += len(node_of)
                return


def _description(node_id: str) -> NodeDescription:
    description = NodeDescription(hostname=f"simulated-{node_id}")
    description.platform.os, description.platform.architecture = "linux", "x86_64"
    description.resources.nano_cpus, description.resources.memory_bytes = NANO_CPUS, MEMORY_BYTES
    return description


def _session(node_id: str, description: NodeDescription | None) -> SessionState:
    return SessionState(
        node_id=node_id, session_id=node_id, connected=True, incarnation=1, description=description
    )


async def _ask(channel: grpc.aio.Channel, request: IssueCertificateRequest) -> IssueCertificateResponse:
    """Return a certificate; as agents do, ask again when the managers have no leader."""
    while True:
        try:
            return await NodeCAStub(channel).IssueCertificate(request, timeout=30.0)
        except grpc.aio.AioRpcError as error:
            print(error.details(), file=sys.stderr, flush=True)
            await asyncio.sleep(RETRY_S)


async def _join(manager: TrustedManager, count: int) -> list[tuple[str, NodeBundle]]:
    """Return the ids and certificates of so many new nodes."""
    found: list[tuple[str, NodeBundle]] = []
    numbers = iter(range(count))
    async with manager.channel() as channel:

        async def one_after_another() -> None:
            for _ in numbers:
                key = new_key_pem()
                request = IssueCertificateRequest(csr_pem=create_csr(key))
                answer = await _ask(channel, request)
                found.append((answer.node_id, NodeBundle(answer.cert_pem, answer.root_ca_pem, key)))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(JOINING, count)):
                group.create_task(one_after_another())
    return found


async def run(socket: str, count: int) -> None:
    """Join, say so, and stay until standard input ends."""
    began_s, clock = time.monotonic(), SystemClock()
    async with grpc.aio.insecure_channel(socket) as channel:
        tokens = await ControlStub(channel).GetJoinTokens(control.GetJoinTokensRequest())
    addr = tokens.manager_addrs[0]
    trusted = await find_manager(addr, parse_token(tokens.manager), clock.now_ns())
    ((_, bundle),) = await _join(trusted, 1)
    nodes = await _join(await find_manager(addr, parse_token(tokens.worker), clock.now_ns()), count)
    with tempfile.TemporaryDirectory() as folder:
        credentials = NodeCredentials.create(Path(folder) / "node.pem", bundle)
        simulated = SimulatedNodes(socket, [node_id for node_id, _ in nodes], credentials)
        await simulated.find()
        await simulated.introduce()
        print(json.dumps({"nodes": count, "seconds": time.monotonic() - began_s}), flush=True)
        jobs = [asyncio.create_task(job()) for job in (simulated.stay, simulated.watch, simulated.work)]
        end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait([*jobs, end], return_when=asyncio.FIRST_COMPLETED)
        for job in jobs:
            if job.done():
                job.result()
            job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*jobs)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
