"""How quickly do names come? `python -m bench.names [--json] [--services N] [--dnsmasq PATH]`.

The name server of a node, as a process of its own on loopback, asked by this process over UDP from one and
from 32 sockets, each of which waits for its answer before it asks again; beside it dnsmasq with the same
names, when there is one. Asker and server share the machine's cores: the rates are of both together.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from swarm.agent.overlay.state import OverlayState
from swarm.agent.resolver.base import Client
from swarm.agent.resolver.process import ProcessResolver
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayEndpoint, OverlayNetwork, OverlayService

HERE = Path("/proc/self/ns/net")
RUN_S = 2.0
TASKS = 3  # of each service
SOCKETS = (1, 32)
CHANGES = 50

Row = dict[str, Any]


def state_of(services: int) -> OverlayState:
    """Return a network with so many services, each with a virtual address and some tasks."""
    state = OverlayState()
    changes = OverlayChanges(
        network_id="n1",
        network=OverlayNetwork(id="n1", name="shop", subnets=[Subnet(subnet="10.0.0.0/8")]),
        services=[
            OverlayService(service_id=f"s{n}", name=f"web{n}", virtual_addresses=[_address(n, 1)])
            for n in range(services)
        ],
        endpoints=[endpoint(n, slot) for n in range(services) for slot in range(TASKS)],
    )
    state.apply([changes], complete=True)
    return state


def endpoint(service: int, slot: int, *, serving: bool = True) -> OverlayEndpoint:
    return OverlayEndpoint(
        task_id=f"t{service}x{slot}",
        service_id=f"s{service}",
        name=f"web{service}.{slot}.t{service}x{slot}",
        addresses=[_address(service, slot + 2)],
        serving=serving,
    )


def _address(service: int, last: int) -> str:
    return f"10.{service >> 8}.{service & 255}.{last}"


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return b"\x00\x00\x01\x00\x00\x01\0\0\0\0\0\0" + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\x01"


async def measure(port: int, services: int, sockets: int) -> Row:
    """Ask for services and for their tasks, until the time is over."""
    prepared = [
        question(name, kind)
        for n in random.sample(range(services), min(200, services))
        for name, kind in ((f"web{n}", 1), (f"tasks.web{n}", 1))
    ]
    loop, took = asyncio.get_running_loop(), list[float]()

    async def ask() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect(("127.0.0.1", port))
            while time.perf_counter() < end:
                began = time.perf_counter()
                await loop.sock_sendall(asking, random.choice(prepared))
                answer = await loop.sock_recv(asking, 4096)
                assert answer[3] & 15 == 0, f"code {answer[3] & 15}"
                took.append(time.perf_counter() - began)

    end = time.perf_counter() + RUN_S
    await asyncio.gather(*(ask() for _ in range(sockets)))
    took.sort()
    return {
        "sockets": sockets,
        "per_second": round(len(took) / RUN_S),
        "median_us": round(statistics.median(took) * 1e6),
        "p99_us": round(took[len(took) * 99 // 100] * 1e6),
    }


@contextlib.asynccontextmanager
async def our_own(state: OverlayState, port: int) -> AsyncIterator[ProcessResolver]:
    with tempfile.TemporaryDirectory() as folder:
        resolver = ProcessResolver(Path(folder), HERE, "127.0.0.1", lambda _: HERE, port)
        try:
            await resolver.apply(state, ())
            await resolver.attach(Client("bench", "127.0.0.1", ("n1",)))
            await resolver.start()
            yield resolver
        finally:
            await resolver.teardown()


@contextlib.contextmanager
def dnsmasq(program: str, services: int, port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        hosts = Path(folder) / "hosts"
        lines = []
        for n in range(services):
            lines.append(f"{_address(n, 1)} web{n}\n")
            lines += [f"{_address(n, slot + 2)} tasks.web{n}\n" for slot in range(TASKS)]
        hosts.write_text("".join(lines))
        hosts.chmod(0o644)
        options = [
            "--no-daemon",
            "--no-resolv",
            "--local=//",
            "--no-hosts",
            "--local-ttl=1",
            "--conf-file=/dev/null",
        ]
        where = [
            f"--port={port}",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            f"--addn-hosts={hosts}",
        ]
        with subprocess.Popen([program, *options, *where], stderr=subprocess.DEVNULL) as process:
            try:
                time.sleep(1)
                yield
            finally:
                process.kill()


async def changes(resolver: ProcessResolver, state: OverlayState, services: int) -> Row:
    """Measure how long it takes until a change of one task is in force."""
    took = []
    for n in range(CHANGES):
        one = OverlayChanges(network_id="n1", endpoints=[endpoint(n % services, 0, serving=bool(n & 1))])
        began = time.perf_counter()
        await resolver.apply(state, state.apply([one]))
        took.append(time.perf_counter() - began)
    return {"one task changes": {"median_us": round(statistics.median(took) * 1e6)}}


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def run(services: int, program: str) -> Row:
    port = free_port()
    state = state_of(services)
    result: Row = {"services": services}
    async with our_own(state, port) as resolver:
        result["swarm"] = [await measure(port, services, sockets) for sockets in SOCKETS]
        result |= await changes(resolver, state, services)
        began = time.perf_counter()
        resolver._state = None  # as after a restart
        await resolver.apply(state, ())
        result["everything told in s"] = round(time.perf_counter() - began, 3)
        assert resolver._link is not None
        result["resident_kb"] = resident_kb(resolver._link.pid)
    if program:
        port = free_port()
        with dnsmasq(program, services, port):
            result["dnsmasq"] = [await measure(port, services, sockets) for sockets in SOCKETS]
    return result


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--dnsmasq", default=shutil.which("dnsmasq") or "")
    given = parser.parse_args()
    result = asyncio.run(run(given.services, given.dnsmasq))
    if given.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        for row in value if isinstance(value, list) else [value]:
            print(f"{name:24} {row}")


if __name__ == "__main__":
    main()
