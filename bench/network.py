"""How quickly do packets, and changes of networks, go?

    python -m bench.network [--rounds N] [--seconds N] [--requests N] [--services N…] [--json]

Two hosts in network namespaces on one bridge, with the network of a node each, on one machine: throughput by
iperf3 and the time of one connection with one request and its answer, between the hosts themselves, between
tasks across hosts, through a virtual address, through a port of all nodes that leads to the other host,
between tasks of one host, and between containers of a dockerd of the benchmark's own on its bridge. All take
turns in each round. Then what one changed task costs in the rules of a node with so many services, and the
name server (`bench.names`). Needs root, iperf3, and docker.io for the comparison.

Docker's overlay is left out where the kernel has no ip_vs, without which swarm mode does not start.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import names
from swarm.agent.network import namespaces
from swarm.agent.overlay.balancer import Balancer
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayService
from tests.integration.dockerd import dockerd
from tests.integration.overlay.lab import Net
from tests.integration.overlay.test_ingress import WEB, IngressLab

SERVICES = (100, 1000, 5000)
REQUESTS, CHANGES = 300, 20
IPERF = 5201
TARGET = 80  # of tasks, see IngressLab
VIRTUAL = "10.5.0.2"
Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """From where to where: the client's namespace, whom it asks, and who answers."""

    name: str
    client: Path
    server: Path
    host: str  # as the client asks for it
    port: int = IPERF  # at `host`
    listens: int = IPERF  # at the server

    def throughput(self, seconds: float) -> float:
        """Return gigabits per second."""
        serving = ["iperf3", "-s", "-1", "-p", str(self.listens)]
        with namespaces.entered(self.server):
            server = subprocess.Popen(serving, stdout=subprocess.DEVNULL)
        try:
            asking = ["iperf3", "-c", self.host, "-p", str(self.port), "-t", str(seconds), "-J"]
            for _ in range(50):
                with namespaces.entered(self.client):
                    done = subprocess.run(asking, capture_output=True, text=True, check=False)
                said = json.loads(done.stdout)
                if "error" not in said:
                    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9
                time.sleep(0.1)  # it does not listen yet
            raise RuntimeError(f"{self.name}: {said['error']}")
        finally:
            server.kill()
            server.wait()

    def latency(self, requests: int) -> float:
        """Return the median microseconds of connecting, one request and its answer."""
        with namespaces.entered(self.server):
            listener = socket.create_server(("0.0.0.0", self.listens))
        took = []
        with listener:
            threading.Thread(target=_echo, args=(listener, requests), daemon=True).start()
            for _ in range(requests):
                with namespaces.entered(self.client), socket.socket() as client:
                    client.settimeout(10)
                    began = time.perf_counter()
                    client.connect((self.host, self.port))
                    client.sendall(b"x")
                    client.recv(1)
                    took.append(time.perf_counter() - began)
        return statistics.median(took) * 1e6


def _echo(listener: socket.socket, requests: int) -> None:
    with contextlib.suppress(OSError):
        for _ in range(requests):
            client, _ = listener.accept()
            with client:
                client.sendall(client.recv(1))


@contextlib.contextmanager
def hosts() -> Iterator[list[Way]]:
    """Build the hosts and yield the ways between them."""
    lab = IngressLab(2)
    try:
        shop = lab.add(Net("shop", 4097, ["10.5.0.0/24"]))
        tasks = {
            name: lab.task(name, node, {"shop": [address]})
            for name, node, address in (("a", 0, "10.5.0.10"), ("b", 1, "10.5.0.11"), ("c", 0, "10.5.0.12"))
        }
        shop.services = [OverlayService(service_id="s", name="s", virtual_addresses=[VIRTUAL])]
        shop.serving["b"] = "s"
        published = lab.task("web", 1, {"ingress": ["10.0.0.50"]})
        lab.serving.add("web")
        lab.tell()
        client, direct = tasks["a"].netns, lab.nodes[0]
        yield [
            Way("direct", direct.node, lab.nodes[1].node, lab.nodes[1].address),
            Way("overlay", client, tasks["b"].netns, "10.5.0.11"),
            Way("virtual address", client, tasks["b"].netns, VIRTUAL),
            Way("port of all nodes", lab.client, published.netns, direct.address, WEB, TARGET),
            Way("one host", client, tasks["c"].netns, "10.5.0.12"),
        ]
    finally:
        with contextlib.redirect_stdout(sys.stderr):  # it shows what its agents logged
            lab.close()


@contextlib.contextmanager
def docker_bridge() -> Iterator[list[Way]]:
    """Yield the way between two containers on Docker's bridge; none without dockerd."""
    if shutil.which("dockerd") is None:
        yield []
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place, rootfs = Path(folder), Path(folder) / "rootfs.tar"
        with tarfile.open(rootfs, "w") as archive:
            archive.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
        host = place / "host"
        namespaces.create(host)
        stack.callback(namespaces.remove, host)
        with namespaces.entered(host):
            options = ("--bridge=", "--iptables=true", "--ip-forward=true", "--bip=172.31.250.1/24")
            docker = stack.enter_context(dockerd(place / "docker", *options))
            docker("import", str(rootfs), "busybox:1")
            for name in ("one", "two"):
                docker("run", "-d", "--name", name, "busybox:1", "/bin/busybox", "sleep", "10000")
            (one, two) = json.loads(docker("inspect", "one", "two"))
        inside = [Path(f"/proc/{box['State']['Pid']}/ns/net") for box in (one, two)]
        yield [Way("Docker's bridge", *inside, two["NetworkSettings"]["IPAddress"])]


def packets(rounds: int, seconds: float, requests: int) -> list[Row]:
    """Measure every way once a round."""
    with hosts() as ours, docker_bridge() as theirs:
        ways = [*ours, *theirs]
        speed: dict[str, list[float]] = {way.name: [] for way in ways}
        delay: dict[str, list[float]] = {way.name: [] for way in ways}
        for number in range(rounds):
            shift = number % len(ways)
            for way in (*ways[shift:], *ways[:shift]):
                speed[way.name].append(way.throughput(seconds))
                delay[way.name].append(way.latency(requests))
    return [
        {
            "way": name,
            "gbit_per_second": round(statistics.median(speed[name]), 2),
            "request_us": round(statistics.median(delay[name])),
            "speed beside direct": round(
                statistics.median(speed[name]) / statistics.median(speed["direct"]), 2
            ),
        }
        for name in speed
    ]


def update(services: int) -> Row:
    """Measure what all rules of a node cost, and one change of one task."""
    state, balancer = names.state_of(services), Balancer()
    with tempfile.TemporaryDirectory() as folder:
        router = Path(folder) / "router"
        namespaces.create(router)
        try:
            began = time.perf_counter()
            balancer.follow("n1", router, state.networks["n1"], check=True)
            everything_s, took = time.perf_counter() - began, []
            for n in range(CHANGES):
                one = names.endpoint(n % services, 0, serving=bool(n & 1))
                began = time.perf_counter()
                state.apply([OverlayChanges(network_id="n1", endpoints=[one])])
                balancer.follow("n1", router, state.networks["n1"], check=False)
                took.append(time.perf_counter() - began)
        finally:
            namespaces.remove(router)
    return {
        "services": services,
        "rules and entries": services * 2,  # a chain with one rule, and one entry of the map
        "all of them in s": round(everything_s, 3),
        "one task changes: median ms": round(statistics.median(took) * 1e3, 2),
        "longest ms": round(max(took) * 1e3, 2),
    }


def names_of(services: Sequence[int]) -> list[Row]:
    """Ask the name server of a node, and dnsmasq where it is installed."""
    return [asyncio.run(names.run(count, shutil.which("dnsmasq") or "")) for count in services]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--services", type=int, nargs="+", default=SERVICES)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = {
        "packets": packets(given.rounds, given.seconds, given.requests),
        "updates": [update(count) for count in given.services],
        "names": names_of(given.services),
    }
    if given.json:
        print(json.dumps(result))
        return
    for what, rows in result.items():
        for row in rows:
            print(f"{what:10} {row}")


if __name__ == "__main__":
    main()
