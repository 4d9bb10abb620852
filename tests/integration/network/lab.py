"""A node and the world around it, in two namespaces: outside 10.99.0.1 -- 10.99.0.2 node."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from swarm.agent.network import links, namespaces
from swarm.agent.network.netlink import Netlink
from swarm.errors import TaskRejected

OUTSIDE, NODE = "10.99.0.1", "10.99.0.2"
SUBNET = "172.30.0.0/16"


class Lab:
    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="swarm-net-", dir="/run"))
        self.run_dir = self.root / "run"
        self.resolv_conf = self.root / "node-resolv.conf"
        self.resolv_conf.write_text("nameserver 192.0.2.53\nsearch example.org\n")
        self.node, self.outside = self.root / "node", self.root / "outside"
        self._cleanups: list[Callable[[], None]] = []
        for path in (self.node, self.outside):
            namespaces.create(path)
        self._connect()
        self.agent = Agent(self)

    def _connect(self) -> None:
        with namespaces.entered(self.outside):
            outside = Netlink()
        with namespaces.entered(self.node):
            node = Netlink()
        with outside, node, self.node.open("rb") as fd:
            outside.run(
                links.veth(links.End("eth0", 3, up=True), links.End("eth0", 2, namespace=fd.fileno()))
            )
            outside.run(links.set_up(1), links.address(3, ip_address(OUTSIDE), 24))
            node.run(links.set_up(1), links.set_up(2), links.address(2, ip_address(NODE), 24))
            node.run(links.route(ip_network("0.0.0.0/0"), 2, ip_address(OUTSIDE)))

    def close(self) -> None:
        self.agent.stop()
        print(self.agent.log.read_text())
        for cleanup in reversed(self._cleanups):
            cleanup()
        folder = self.run_dir / "netns"
        for path in [*(folder.iterdir() if folder.is_dir() else ()), self.node, self.outside]:
            namespaces.remove(path)
        subprocess.run(["rm", "-rf", str(self.root)], check=True)

    def serve(self, where: Path, port: int, kind: str = "tcp", host: str = "0.0.0.0") -> None:
        """Answer everybody with the address they come from, until the lab closes."""
        with namespaces.entered(where):
            listener = socket.socket(
                socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
            )
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            if kind == "tcp":
                listener.listen()
        listener.settimeout(0.05)
        stopping = threading.Event()
        serve = _serve_tcp if kind == "tcp" else _serve_udp
        thread = threading.Thread(target=serve, args=(listener, stopping))
        thread.start()

        def stop() -> None:
            stopping.set()
            thread.join()
            listener.close()

        self._cleanups.append(stop)

    def ask(self, where: Path, host: str, port: int, kind: str = "tcp") -> str:
        """Return the address that the server saw, or the name of the error."""
        try:
            with self.connect(where, host, port, kind) as client:
                return talk(client)
        except OSError as error:
            return type(error).__name__

    def connect(self, where: Path, host: str, port: int, kind: str = "tcp") -> socket.socket:
        with namespaces.entered(where):
            client = socket.socket(
                socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
            )
        client.settimeout(60)
        try:
            client.connect((host, port))
        except OSError:
            client.close()
            raise
        return client


def talk(client: socket.socket) -> str:
    """Say hello and return the answer; a datagram may be lost on its way and is sent again."""
    if client.type == socket.SOCK_DGRAM:
        client.settimeout(0.5)
        for _ in range(5):
            client.send(b"hello")
            with contextlib.suppress(TimeoutError):
                return client.recv(100).decode()
        client.settimeout(60)
    client.send(b"hello")
    return client.recv(100).decode()


class Agent:
    """A process in the node's namespace that runs a RouterNetwork."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._process: subprocess.Popen[str] | None = None
        self.log = lab.root / "agent.log"

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("agent_process.py"))]
        command += [str(self._lab.run_dir), SUBNET, str(self._lab.resolv_conf)]
        with namespaces.entered(self._lab.node), self.log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            )
        self.call("setup")

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.wait(60)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._process = None

    def post(self, name: str, *arguments: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, list(arguments)]) + "\n")
        self._process.stdin.flush()

    def call(self, name: str, *arguments: Any) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        self.post(name, *arguments)
        line = self._process.stdout.readline()
        assert line, f"the agent died in {name}: see its log below"
        answer = json.loads(line)
        if "error" in answer:
            raise TaskRejected(answer["error"])
        return answer["result"]

    def attach(
        self, task_id: str, *ports: tuple[str, int, int], networks: Sequence[Sequence[Any]] = ()
    ) -> "Attached":
        return Attached(self.call("attach", task_id, ports, networks))


class Attached:
    def __init__(self, sandbox: dict[str, Any]) -> None:
        self.address: str = sandbox["address"]
        self.netns = Path(sandbox["netns_path"])
        self.resolv_conf = Path(sandbox["resolv_conf"])
        self.ports = [
            (port["protocol"], port["published_port"], port["target_port"]) for port in sandbox["ports"]
        ]


def _serve_tcp(listener: socket.socket, stopping: threading.Event) -> None:
    while not stopping.is_set():
        with contextlib.suppress(OSError):  # its time is over; the client or the network has gone
            client, peer = listener.accept()
            threading.Thread(target=_answer, args=(client, peer[0]), daemon=True).start()


def _answer(client: socket.socket, peer: str) -> None:
    with client:
        client.settimeout(600)
        try:
            while client.recv(100):
                client.sendall(peer.encode())
        except OSError:
            return


def _serve_udp(listener: socket.socket, stopping: threading.Event) -> None:
    while not stopping.is_set():
        with contextlib.suppress(OSError):
            _, peer = listener.recvfrom(100)
            listener.sendto(peer[0].encode(), peer)
