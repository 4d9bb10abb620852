"""Can Python work elsewhere in a manager starve Raft? Three managers over mutual TLS, with hogs beside them.

    python -m bench.raft_starvation [--seconds 6]

Designs: `thread` is the product's (Raft on a thread of its own, streams on the manager's event loop); `loop`
gives Raft an event loop of its own, on another thread; `process` puts Raft into a process of its own, which
the manager asks through a socket. Each is measured with nothing else to do, with one busy Python thread in
every manager, with that and one busy process per core, and with an event loop that is busy 100 ms at a time.
A client in the leader's process commits 200 bytes, four at a time. Columns: median and 99th percentile of a
commit, commits a second, and how often the leader changed, which should be never.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import secrets
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog

from swarm.api.status import ErrorInterceptor
from swarm.api.v1.raft_pb2 import JoinRaftRequest, RaftMember
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.clock import SystemClock
from swarm.errors import SwarmError
from swarm.ids import new_raft_id
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.node import RaftNode
from swarm.manager.raft.servicer import RaftServicer, add_to_server
from swarm.manager.store.proposer import FrozenState
from swarm.security.authorization import AuthorizationInterceptor, TlsCaller
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.keyring import KeySet, new_data_key
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials

MANAGERS = 3
DESIGNS = ("thread", "loop", "process")
LOADS = ("nothing", "busy thread", "busy thread + cores", "busy loop")
IN_FLIGHT = 4
ENTRY = bytes(200)
BUSY_SLICE_S = 0.1
PATIENCE_S = 30.0
_spawn = multiprocessing.get_context("spawn")


class Nothing:
    """A state machine without state: this is about agreeing."""

    def apply(self, index: int, entry: bytes) -> None: ...
    def restore(self, applied_index: int, records: Iterable[bytes]) -> None: ...
    def freeze(self) -> FrozenState:
        return FrozenState(0, lambda: iter(()))


# Hogs.


def work_for(seconds: float) -> None:
    """Compute as a scheduler does: dictionaries, strings, comparisons."""
    until = time.monotonic() + seconds
    numbers: dict[int, str] = {}
    while time.monotonic() < until:
        for number in range(200):
            numbers[number] = str(number * number)
        sorted(numbers.values())


def keep_core_busy(until: float) -> None:
    while time.monotonic() < until:
        pass


@contextlib.contextmanager
def hog(load: str, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Keep this process busy meanwhile."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            work_for(0.05)

    def occupy() -> None:
        work_for(BUSY_SLICE_S)
        if not stop.is_set():
            loop.call_soon(occupy)

    thread = threading.Thread(target=spin) if load.startswith("busy thread") else None
    if thread is not None:
        thread.start()
    if load == "busy loop":
        loop.call_soon(occupy)
    try:
        yield
    finally:
        stop.set()
        if thread is not None:
            thread.join()


# Raft, wherever it runs.


@dataclass(frozen=True)
class Setup:
    """What a manager needs to start; travels to its process."""

    directory: Path
    bundle: NodeBundle
    node_id: str
    port: int
    leader_port: int  # of the manager to join; 0: this is the first one


class Raft:
    """A member with its own server, on the event loop it was started on."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    async def start(self) -> None:
        setup = self._setup
        credentials = NodeCredentials(setup.directory / "none", setup.bundle)
        interceptors = [ErrorInterceptor(), AuthorizationInterceptor(TlsCaller(credentials, SystemClock()))]
        self.server = grpc.aio.server(interceptors=interceptors, options=SERVER_OPTIONS)
        servicer = RaftServicer()
        add_to_server(servicer, self.server)
        addr = f"127.0.0.1:{setup.port}"
        self.server.add_secure_port(addr, credentials.server_credentials())
        await self.server.start()
        raft_id, members = new_raft_id(), []
        if setup.leader_port:
            async with credentials.channel(f"127.0.0.1:{setup.leader_port}") as channel:
                answer = await RaftStub(channel).Join(JoinRaftRequest(addr=addr), timeout=PATIENCE_S)
            raft_id, members = answer.raft_id, list(answer.members)
        config = RaftConfig(
            directory=setup.directory,
            keys=KeySet((new_data_key(),)),
            cluster_id="bench",
            self_member=RaftMember(raft_id=raft_id, node_id=setup.node_id, addr=addr),
            members=members,
        )
        self.node = RaftNode(
            config, Nothing(), credentials.channel, lambda _: None, lambda reason: print("fatal:", reason)
        )
        await self.node.start()
        servicer.node = self.node

    async def ask(self, question: str) -> Any:
        """Answer what the benchmark wants to know; "propose" commits an entry."""
        if question == "propose":
            return await self.node.propose(ENTRY, 10.0)
        voters = sum(not member.learner for member in self.node.members)
        return self.node.is_leader, self.node.term, voters

    async def stop(self) -> None:
        await self.node.stop()
        await self.server.stop(0)


class Asked(Protocol):
    """Raft as the manager sees it."""

    async def ask(self, question: str) -> Any: ...
    async def stop(self) -> None: ...


class OnOwnLoop:
    """Raft on an event loop of its own, in this process."""

    def __init__(self, setup: Setup) -> None:
        self._raft = Raft(setup)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    async def _there(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def start(self) -> None:
        self._thread.start()
        await self._there(self._raft.start())

    async def ask(self, question: str) -> Any:
        return await self._there(self._raft.ask(question))

    async def stop(self) -> None:
        await self._there(self._raft.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class InOwnProcess:
    """Raft in a process of its own, asked through a socket, a line a question."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._path = str(setup.directory.parent / f"{setup.node_id}.sock")
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0

    async def start(self) -> None:
        self._process = _spawn.Process(target=_serve_raft, args=(self._setup, self._path), daemon=False)
        self._process.start()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    reader, self._writer = await asyncio.open_unix_connection(self._path)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            number, problem, *values = line.decode().split("\t")
            waiting = self._waiting.pop(int(number))
            if problem:
                waiting.set_exception(SwarmError(problem))
            else:
                waiting.set_result([int(value) for value in values])

    async def ask(self, question: str) -> Any:
        self._asked += 1
        waiting = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        self._writer.write(f"{self._asked}\t{question}\t{ENTRY.hex()}\n".encode())
        return await waiting

    async def stop(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.close()
            await self._writer.wait_closed()
        await self._reading
        await asyncio.to_thread(self._process.join)


def _serve_raft(setup: Setup, path: str) -> None:
    _quiet()
    asyncio.run(_serve_raft_here(setup, path))


async def _serve_raft_here(setup: Setup, path: str) -> None:
    raft, gone = Raft(setup), asyncio.Event()
    await raft.start()

    async def answer(line: bytes, writer: asyncio.StreamWriter) -> None:
        number, question, _ = line.decode().split("\t")
        try:
            result = await raft.ask(question)
            values = result if isinstance(result, tuple) else (result,)
            text = "\t".join([number, "", *(str(int(value)) for value in values)])
        except SwarmError as error:
            text = f"{number}\t{error}"
        writer.write(f"{text}\n".encode())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(answer(line, writer))
        writer.close()
        gone.set()

    server = await asyncio.start_unix_server(serve, path)
    await gone.wait()
    server.close()
    await raft.stop()


# A manager: Raft, a client, and a hog.


def _manager(design: str, setup: Setup, pipe: "Connection[Any, Any]") -> None:
    _quiet()
    asyncio.run(_manage(design, setup, pipe))


async def _manage(design: str, setup: Setup, pipe: "Connection[Any, Any]") -> None:
    raft: Any = {"thread": Raft, "loop": OnOwnLoop, "process": InOwnProcess}[design](setup)
    await raft.start()
    pipe.send("ready")
    actions: dict[str, Callable[..., Awaitable[Any]]] = {"state": _state, "run": _run}
    while (order := await asyncio.to_thread(pipe.recv)) is not None:
        pipe.send(await actions[order[0]](raft, *order[1:]))
    await raft.stop()


async def _state(raft: Asked) -> tuple[int, ...]:
    return tuple(await raft.ask("state"))


async def _run(raft: Asked, load: str, seconds: float, commit: bool) -> list[float]:
    """Be busy for a while, and commit if this is the leader; returns how long each commit took."""
    until, took = time.monotonic() + seconds, list[float]()

    async def write() -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                await raft.ask("propose")
            except SwarmError:
                await asyncio.sleep(0.05)
            took.append(time.monotonic() - began)

    with hog(load, asyncio.get_running_loop()):
        if commit:
            await asyncio.gather(*(write() for _ in range(IN_FLIGHT)))
        await asyncio.sleep(max(0.0, until - time.monotonic()))
    return took


# The table.


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(MANAGERS)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Managers:
    """The three of them, of one design."""

    def __init__(self, design: str, directory: Path) -> None:
        self._pipes: list[Connection[Any, Any]] = []
        self._processes: list[Any] = []
        ports, now = _free_ports(), SystemClock().now_ns()
        root = create_root_ca("bench", now)
        for number, port in enumerate(ports):
            key, node_id = new_key_pem(), f"m{number}-{secrets.token_hex(2)}"
            certificate = issue_node_certificate(
                root, create_csr(key), node_id=node_id, role=Role.MANAGER, cluster_id="bench", now_ns=now
            )
            setup = Setup(
                directory / node_id, NodeBundle(certificate, root.cert_pem, key), node_id, port,
                ports[0] if number else 0,
            )  # fmt: skip
            ours, theirs = _spawn.Pipe()
            process = _spawn.Process(target=_manager, args=(design, setup, theirs), daemon=False)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
            assert ours.recv() == "ready"
            self._wait_for_voters(number + 1)

    def _wait_for_voters(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while any(voters != count for _, _, voters in self.states()) or not any(s[0] for s in self.states()):
            assert time.monotonic() < deadline, f"{count} managers did not agree: {self.states()}"
            time.sleep(0.05)

    def states(self) -> list[tuple[int, ...]]:
        """Return whether it leads, the term, and the number of voters, of each."""
        for pipe in self._pipes:
            pipe.send(("state",))
        return [pipe.recv() for pipe in self._pipes]

    def measure(self, load: str, seconds: float) -> tuple[list[float], int]:
        """Return how long the commits took, and how often the term changed meanwhile."""
        before = self.states()
        cores = [
            _spawn.Process(target=keep_core_busy, args=(time.monotonic() + seconds + 1.0,))
            for _ in range(os.cpu_count() or 1 if load.endswith("cores") else 0)
        ]
        for one in cores:
            one.start()
        time.sleep(1.0 if cores else 0.0)  # they have to import, too
        for pipe, (leads, _, _) in zip(self._pipes, before, strict=True):
            pipe.send(("run", load, seconds, bool(leads)))
        took = [one for pipe in self._pipes for one in pipe.recv()]
        for one in cores:
            one.join()
        after = self.states()
        return took, max(state[1] for state in after) - max(state[1] for state in before)

    def stop(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each cell is measured")
    parser.add_argument("--directory", help="where the logs go (a real disk)")
    parser.add_argument("designs", nargs="*", default=DESIGNS)
    options = parser.parse_args()
    _quiet()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # of the managers: closing is not worth a line
    print("design   beside it              p50 ms   p99 ms   max ms  commits/s  elections")
    for design in options.designs:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            managers = Managers(design, Path(directory))
            for load in LOADS:
                took, elections = managers.measure(load, options.seconds)
                cuts = statistics.quantiles(took, n=100) if len(took) > 1 else [float("nan")] * 99
                print(
                    f"{design:8} {load:20} {cuts[49] * 1000:8.1f} {cuts[98] * 1000:8.1f} "
                    f"{max(took, default=0) * 1000:8.1f} {len(took) / options.seconds:10.0f} {elections:10}",
                    flush=True,
                )
            managers.stop()


if __name__ == "__main__":
    main()
