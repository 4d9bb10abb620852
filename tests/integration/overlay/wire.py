"""What is on the wire between nodes, and what carries their encrypted networks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from swarm.agent.network import links, namespaces
from swarm.agent.network.layout import Layout
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.tunnel.carrier import MARK, choose
from swarm.agent.tunnel.plan import Device
from swarm.runtime.processes import Process, carriers, kill_and_wait
from tests.integration.network.lab import SUBNET
from tests.integration.overlay.lab import SO_RCVBUFFORCE

_EVERYTHING = 0x0003


def layout(run_dir: Path) -> Layout:
    return Layout(run_dir.absolute(), IPv4Network(SUBNET))


def tunnel_processes(run_dir: Path) -> list[Process]:
    return carriers(f"{MARK}={layout(run_dir).tunnel}")


def device(run_dir: Path) -> Device:
    """What the tunnel of a node is; raises OSError when there is none."""
    place = layout(run_dir)
    carrier, why = choose(place.router, place.tunnel, place.tunnel_link)
    assert carrier is not None, why
    return carrier.read()


def kill_tunnel(run_dir: Path) -> bool:
    """Kill the process that carries the tunnel; where the kernel does, remove its link and return False."""
    found = tunnel_processes(run_dir)
    for process in found:
        kill_and_wait(process, 5)
        process.close()
    if not found:
        place = layout(run_dir)
        with netlink_in(place.tunnel) as inside:
            link = links.find_link(inside, place.tunnel_link)
            assert link is not None
            inside.run(links.delete_link(link.index))
    return bool(found)


@contextmanager
def wire(where: Path) -> Iterator[list[bytes]]:
    """Collect every frame that passes through a namespace."""
    frames: list[bytes] = []
    with namespaces.entered(where):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    tap.settimeout(0.2)
    stopping = threading.Event()

    def listen() -> None:
        while True:
            if stopping.is_set():
                tap.settimeout(0)  # what has come by now, and not what goes on coming
            try:
                frames.append(tap.recv(1 << 16))
            except TimeoutError:
                continue
            except BlockingIOError:
                return

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield frames
    finally:
        stopping.set()
        thread.join()
        tap.close()
