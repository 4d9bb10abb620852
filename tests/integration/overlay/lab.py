"""Nodes in namespaces on one bridge, each with the network of a node, and what managers would say."""

import contextlib
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

from swarm.agent.network import links, namespaces, vxlan
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.overlay import kernel
from swarm.agent.overlay.plan import differences, mesh_of, overlay_of
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.objects_pb2 import Cluster, OverlayKey, Subnet
from swarm.api.v1.overlay_pb2 import (
    OverlayChanges,
    OverlayEndpoint,
    OverlayNetwork,
    OverlayPeer,
    OverlayService,
)
from swarm.model.overlay_keys import shared_key
from tests.integration.network.lab import Agent, Attached

Kind = str  # tcp or udp
DEADLINE_S = 60.0
LINK_MTU = 1500
SO_RCVBUFFORCE = 33  # also beyond the limit of the machine: a reader may have to wait for its turn
_END = b"\n"  # of a request
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _ALWAYS = 10, 23, 2


@dataclass
class Net:
    """A network as a manager has it: routers are x.1-x.9 of the nodes, tasks are what tests say."""

    id: str
    vxlan_id: int
    subnets: list[str]
    internal: bool = False
    mtu: int = 0
    port: int = 4789
    secret: bytes = b""  # of an encrypted one: what the cluster's key of the day is
    nodes: set[int] = field(default_factory=set)
    tasks: dict[str, tuple[int, list[str]]] = field(default_factory=dict)  # task -> node, addresses
    services: list[OverlayService] = field(default_factory=list)
    serving: dict[str, str] = field(default_factory=dict)  # task -> its service

    def router(self, node: int) -> list[str]:
        return [subnet.split("/")[0].removesuffix("0") + str(node + 1) for subnet in self.subnets]


class Node(Agent):
    """One host with its agent."""

    def __init__(self, lab: "OverlayLab", number: int) -> None:
        self.number, self.lab = number, lab
        self.root = lab.root / f"node{number}"
        self.root.mkdir()
        self.node = self.root / "netns"  # as the lab of one node calls its namespace
        self.run_dir = self.root / "run"
        self.resolv_conf = lab.resolv_conf
        super().__init__(self)  # type: ignore[arg-type]

    @property
    def address(self) -> str:
        return self.lab.node_address(self.number)

    def router(self, net: Net) -> Path:
        return self.run_dir / "overlays" / net.id


class OverlayLab:
    """`count` nodes; `ipv6` when they reach each other by IPv6 only."""

    def __init__(self, count: int = 4, *, ipv6: bool = False, link_mtu: int = LINK_MTU) -> None:
        self.link_mtu = link_mtu
        self.root = Path(tempfile.mkdtemp(prefix="swarm-overlay-", dir="/run"))
        self.resolv_conf = self.root / "resolv.conf"
        self.resolv_conf.write_text("nameserver 192.0.2.53\n")
        self.ipv6 = ipv6
        self.nets: dict[str, Net] = {}
        self.down: set[int] = set()
        self.silent: set[int] = set()  # nodes that did not say their keys yet
        self.cleanups = contextlib.ExitStack()
        self.switch = self.root / "switch"
        namespaces.create(self.switch)
        with netlink_in(self.switch) as switch:
            switch.run(links.bridge("br0", 2))
        self.nodes = [Node(self, number) for number in range(count)]
        for node in self.nodes:
            self._plug(node)
            node.start()

    def node_address(self, number: int) -> str:
        return f"fd99::{number + 1}" if self.ipv6 else f"10.99.0.{number + 1}"

    def add(self, net: Net) -> Net:
        self.nets[net.id] = net
        return net

    def tell(self, *nodes: int) -> None:
        """Tell nodes, all without a word, what there is now."""
        for node in self.nodes:
            if node.number not in self.down and (not nodes or node.number in nodes):
                node.call("apply", *(one.SerializeToString().hex() for one in self.said_to(node.number)))

    def task(self, task_id: str, node: int, places: dict[str, list[str]]) -> Attached:
        """Start a task with addresses in networks, and tell everybody."""
        for net_id, addresses in places.items():
            self.nets[net_id].nodes.add(node)
            self.nets[net_id].tasks[task_id] = (node, addresses)
        self.tell()
        return self.attach(task_id, node, places)

    def attach(self, task_id: str, node: int, places: dict[str, list[str]], *ports: Any) -> Attached:
        return Attached(self.nodes[node].call("attach", task_id, ports, list(places.items())))

    def end(self, task_id: str) -> None:
        """End a task, and tell everybody."""
        for net in self.nets.values():
            node, _ = net.tasks.pop(task_id, (None, None))
            if node is not None:
                self.nodes[node].call("detach", task_id)
                if all(where != node for where, _ in net.tasks.values()):
                    net.nodes.discard(node)
        self.tell()

    def said_to(self, number: int) -> list[OverlayChanges]:
        return [self._said(net, number) for net in self.nets.values() if number in net.nodes]

    def _said(self, net: Net, number: int) -> OverlayChanges:
        return OverlayChanges(
            network_id=net.id,
            network=OverlayNetwork(
                id=net.id,
                name=net.id,
                vxlan_id=net.vxlan_id,
                subnets=[Subnet(subnet=subnet) for subnet in net.subnets],
                router_addresses=net.router(number),
                internal=net.internal,
                mtu=net.mtu,
                data_path_port=net.port,
                encrypted=bool(net.secret),
                node_address=self.node_address(number) if net.secret else "",
            ),
            peers=[self._peer(net, number, other) for other in sorted(net.nodes - {number} - self.down)],
            endpoints=[
                OverlayEndpoint(
                    task_id=task_id,
                    node_id=f"n{node}",
                    addresses=addresses,
                    service_id=net.serving.get(task_id, ""),
                    serving=task_id in net.serving,
                )
                for task_id, (node, addresses) in net.tasks.items()
            ],
            services=net.services,
        )

    def _peer(self, net: Net, number: int, other: int) -> OverlayPeer:
        peer = OverlayPeer(
            node_id=f"n{other}", address=self.node_address(other), router_addresses=net.router(other)
        )
        if net.secret and other not in self.silent:
            cluster = Cluster(overlay_key=OverlayKey(secret=net.secret))
            peer.tunnel_key = bytes.fromhex(self.nodes[other].call("tunnel_key"))
            peer.preshared_key = shared_key(cluster, f"n{number}", f"n{other}")
        return peer

    def faults(self) -> list[str]:
        """Compare every router with what its node was told, entry by entry."""
        found = []
        for node in self.nodes:
            state = OverlayState()
            state.apply(self.said_to(node.number), complete=True)
            there = {path.name for path in (node.run_dir / "overlays").glob("*")}
            if there != state.networks.keys():
                found.append(f"node {node.number} has routers {there}")
                continue
            for net_id, told in state.networks.items():
                path = node.router(self.nets[net_id])
                overlay = overlay_of(told)
                local = {
                    ip_address(address): kernel.router_link(task_id)
                    for task_id, (where, addresses) in self.nets[net_id].tasks.items()
                    if where == node.number
                    for address in addresses
                }
                wanted = mesh_of(told, overlay.path_family).without_routes(local)
                found += [f"{node.number} {one}" for one in differences(kernel.read(path), wanted)]
                if kernel.connected(path) != local:
                    found.append(f"node {node.number} leads to {kernel.connected(path)}, not to {local}")
        return found

    def close(self) -> None:
        self.cleanups.close()
        for node in self.nodes:
            node.stop()
            print(node.log.read_text())
        for node in self.nodes:
            for folder in (node.run_dir / "overlays", node.run_dir / "netns"):
                for path in folder.iterdir() if folder.is_dir() else ():
                    namespaces.remove(path)
            namespaces.remove(node.node)
        namespaces.remove(self.switch)
        subprocess.run(["rm", "-rf", str(self.root)], check=True)

    def _plug(self, node: Node) -> None:
        namespaces.create(node.node)
        with netlink_in(self.switch) as switch, netlink_in(node.node) as inside:
            with node.node.open("rb") as fd:
                port = links.End(f"p{node.number}", 100 + node.number, mtu=self.link_mtu, up=True, master=2)
                switch.run(links.veth(port, links.End("eth0", 2, mtu=self.link_mtu, namespace=fd.fileno())))
            inside.run(links.set_up(1), links.set_up(2))
            address = ip_address(node.address)
            if isinstance(address, IPv6Address):
                inside.run(vxlan.address6(2, address), links.route(ip_network("fd99::/64"), 2))
            else:
                inside.run(links.address(2, address, 24))

    # Traffic.

    def serve(self, where: Path, host: str, port: int, kind: Kind = "tcp", says: str = "") -> None:
        """Answer everybody with the address they come from, or with `says`, until the lab closes."""
        listener = _socket(where, host, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if kind == "tcp":
            listener.listen()
        stopping = threading.Event()
        thread = threading.Thread(target=_answer_all, args=(listener, stopping, says), daemon=True)
        thread.start()

        def stop() -> None:
            stopping.set()
            listener.close()

        self.cleanups.callback(stop)

    def ask(self, where: Path, host: str, port: int, kind: Kind = "tcp", size: int = 5) -> str:
        """Send `size` bytes; return the address that the server saw, or the name of the error."""
        with _socket(where, host, kind) as client:
            client.settimeout(60)
            _never_in_pieces(client)
            try:
                client.connect((host, port))
                client.sendall(b"x" * (size - 1) + _END)
                return client.recv(100).decode()
            except OSError as error:
                return os.strerror(error.errno) if error.errno else type(error).__name__

    def ping(self, where: Path, host: str) -> bool:
        return ping(where, host)

    def wait_for_ping(self, where: Path, host: str) -> None:
        """Return once `host` answers: the first packets may be lost while nodes still ask for each other."""
        wait_for(lambda: self.ping(where, host), f"an answer of {host}")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def serve_both(lab: OverlayLab, where: Path, host: str) -> None:
    for kind in ("tcp", "udp"):
        lab.serve(where, host, 80, kind)


def link_names(path: Path) -> set[str]:
    with netlink_in(path) as inside:
        return {link.name for link in links.list_links(inside)}


def ping(where: Path, host: str) -> bool:
    """Whether any of three packets is answered soon."""
    return flood(where, host, lambda sent: sent == 3, patience_s=3)[1] > 0


def flood(where: Path, host: str, until: Callable[[int], bool], patience_s: float = 60) -> tuple[int, int]:
    """Ping, a packet every 2 ms, `until` says of the number sent that it is enough.

    Return how many were sent, and how many were answered, the last of them `patience_s` later.
    """
    ipv6 = ":" in host
    family, protocol = (socket.AF_INET6, 58) if ipv6 else (socket.AF_INET, 1)
    with namespaces.entered(where):
        pinger = socket.socket(family, socket.SOCK_RAW, protocol)
    answered: set[int] = set()
    sent = 0
    with pinger:
        pinger.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
        pinger.connect((host, 0))
        while not until(sent):
            with contextlib.suppress(OSError):  # an error that the router told us of
                pinger.send(_echo(sent, ipv6))
            sent += 1
            _collect(pinger, ipv6, answered, 0.002)
        end, over = time.monotonic() + patience_s, False
        while len(answered) < sent and not over:
            over = time.monotonic() >= end  # and yet: what came while this process stood still is there
            _collect(pinger, ipv6, answered, 0.05)
    return sent, len(answered)


def stream(where: Path, host: str, port: int, until: Callable[[int], bool]) -> tuple[int, int]:
    """Send datagrams to who answers each, as `flood` does; return how many were sent and answered."""
    with _socket(where, host, "udp") as client:
        client.connect((host, port))
        client.settimeout(0.002)
        sent = answered = 0
        while not until(sent):
            client.send(b"%d\n" % sent)
            sent += 1
            answered += _received(client)
        client.settimeout(60)
        while answered < sent and _received(client):
            answered += 1
    return sent, answered


def _received(client: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return bool(client.recv(200))
    return False


def _echo(number: int, ipv6: bool) -> bytes:
    body = struct.pack("!HI", 77, number)
    if ipv6:  # the kernel fills in the checksum
        return struct.pack("!BBH", 128, 0, 0) + body
    words = struct.unpack("!5H", struct.pack("!BBH", 8, 0, 0) + body)
    total = sum(words)
    return struct.pack("!BBH", 8, 0, ~(total + (total >> 16)) & 0xFFFF) + body


def _collect(pinger: socket.socket, ipv6: bool, answered: set[int], wait_s: float) -> None:
    pinger.settimeout(wait_s)
    with contextlib.suppress(OSError):
        while True:
            packet = pinger.recv(200)[0 if ipv6 else 20 :]
            if packet[0] == (129 if ipv6 else 0):
                answered.add(struct.unpack_from("!I", packet, 6)[0])
            pinger.settimeout(0.0)


def _socket(where: Path, host: str, kind: Kind) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with namespaces.entered(where):
        return socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)


def _never_in_pieces(client: socket.socket) -> None:
    if client.family == socket.AF_INET6:
        client.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _ALWAYS)
    else:
        client.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _ALWAYS)


def _answer_all(listener: socket.socket, stopping: threading.Event, says: str) -> None:
    listener.settimeout(0.2)
    while not stopping.is_set():
        try:
            if listener.type == socket.SOCK_DGRAM:
                _, peer = listener.recvfrom(1 << 16)
                listener.sendto((says or peer[0]).encode(), peer)
            else:
                client, peer = listener.accept()
                answer = (says or peer[0]).encode()
                threading.Thread(target=_answer, args=(client, answer), daemon=True).start()
        except OSError:
            continue


def _answer(client: socket.socket, answer: bytes) -> None:
    with client, contextlib.suppress(OSError):
        client.settimeout(600)
        while not (said := client.recv(1 << 16)).endswith(_END):
            if not said:
                return
        client.sendall(answer)
