"""Ports of all nodes, over four nodes with real namespaces: who answers, whom does the task see?"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address

import pytest

from swarm.agent.network import links, namespaces
from swarm.agent.network.plumbing import netlink_in
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayService
from swarm.api.v1.types_pb2 import PortConfig
from tests.integration.network.lab import Attached
from tests.integration.operator import wait_until
from tests.integration.overlay.lab import Net, OverlayLab, stream

pytestmark = pytest.mark.integration

CLIENT = "10.99.0.200"
WEB, DNS = 8080, 5353


class IngressLab(OverlayLab):
    """Nodes, a client beside them, and a service `web` whose tasks listen at port 80."""

    def __init__(self, count: int = 4) -> None:
        super().__init__(count)
        self.serving: set[str] = set()
        self.published: list[PortConfig] = []
        self.snat = False
        self.publish((WEB, PortConfig.PROTOCOL_TCP), (DNS, PortConfig.PROTOCOL_UDP))
        self.net = self.add(Net("ingress", 4096, ["10.0.0.0/16"]))
        self.net.nodes = set(range(len(self.nodes)))
        self.client = self.root / "client"
        namespaces.create(self.client)
        self.cleanups.callback(namespaces.remove, self.client)
        with netlink_in(self.switch) as switch, netlink_in(self.client) as inside:
            with self.client.open("rb") as fd:
                end = links.End("eth0", 2, namespace=fd.fileno())
                switch.run(links.veth(links.End("client", 200, up=True, master=2), end))
            inside.run(links.set_up(1), links.set_up(2), links.address(2, IPv4Address(CLIENT), 24))
        self.tell()

    def publish(self, *ports: tuple[int, int]) -> None:
        self.published = [
            PortConfig(published_port=port, target_port=80, protocol=protocol)  # type: ignore[arg-type]
            for port, protocol in ports
        ]

    def run(self, task_id: str, node: int, address: str) -> Attached:
        """Start a task of the service that answers with the client's address."""
        task = self.task(task_id, node, {"ingress": [address]})
        for kind in ("tcp", "udp"):
            self.serve(task.netns, "0.0.0.0", 80, kind)
        self.serving.add(task_id)
        self.tell()
        return task

    def _said(self, net: Net, number: int) -> OverlayChanges:
        said = super()._said(net, number)
        if net is not self.net:
            return said
        said.network.ingress = True
        for endpoint in said.endpoints:
            endpoint.service_id = "web"
            endpoint.serving = endpoint.task_id in self.serving
        said.services.append(
            OverlayService(service_id="web", name="web", ports=self.published, snat=self.snat)
        )
        return said


@pytest.fixture(scope="module")
def shared() -> Iterator[IngressLab]:
    """The nodes."""
    lab = IngressLab()
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def lab(shared: IngressLab) -> Iterator[IngressLab]:
    """The nodes, without tasks afterwards."""
    yield shared
    shared.snat = False
    shared.publish((WEB, PortConfig.PROTOCOL_TCP), (DNS, PortConfig.PROTOCOL_UDP))
    for task_id in list(shared.net.tasks):
        shared.serving.discard(task_id)
        shared.end(task_id)
        shared.net.nodes = set(range(len(shared.nodes)))
    shared.tell()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_every_node_answers_and_the_task_sees_the_client(lab: IngressLab, kind: str) -> None:
    lab.run("one", 1, "10.0.0.20")
    port = WEB if kind == "tcp" else DNS
    for node in lab.nodes:
        assert lab.ask(lab.client, node.address, port, kind) == CLIENT, f"by node {node.number}, {lab.snat}"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_the_task_sees_the_node_in_place_of_the_client_where_that_is_wanted(
    lab: IngressLab, kind: str
) -> None:
    lab.run("one", 1, "10.0.0.20")
    port = WEB if kind == "tcp" else DNS
    for lab.snat in (True, False, True):
        lab.tell()
        for node in lab.nodes:
            (router,) = lab._said(lab.net, node.number).network.router_addresses
            seen = router if lab.snat else CLIENT
            assert lab.ask(lab.client, node.address, port, kind) == seen, (
                f"by node {node.number}, {lab.snat}"
            )


def test_all_tasks_get_their_share_wherever_they_are(lab: IngressLab) -> None:
    places = {f"10.0.0.{30 + node}": node for node in range(3)}
    tasks = {}
    for address, node in places.items():
        tasks[address] = lab.task(f"task{node}", node, {"ingress": [address]})
        lab.serving.add(f"task{node}")
    lab.tell()
    answers = [_who(lab, tasks) for _ in range(9)]
    assert {one: answers.count(one) for one in places} == dict.fromkeys(places, 3)


def test_a_client_that_goes_from_node_to_node_meets_another_task_at_each(lab: IngressLab) -> None:
    tasks = {}
    for node in range(4):
        tasks[f"10.0.0.{30 + node}"] = lab.task(f"task{node}", node, {"ingress": [f"10.0.0.{30 + node}"]})
        lab.serving.add(f"task{node}")
    lab.tell()
    assert {_who(lab, tasks, node) for node in range(4)} == tasks.keys()


def _who(lab: IngressLab, tasks: dict[str, Attached], node: int = 3) -> str:
    """Return the address of the task that a connection of the client ends at."""
    with contextlib.ExitStack() as stack:
        listeners = {}
        for address, task in tasks.items():
            with namespaces.entered(task.netns):
                listener = stack.enter_context(socket.create_server((address, 80), reuse_port=True))
            listeners[listener] = address
        with namespaces.entered(lab.client):
            client = stack.enter_context(socket.socket())
        client.settimeout(60)
        client.connect((lab.nodes[node].address, WEB))
        (listener,), _, _ = select.select(listeners, (), (), 60)
        listener.accept()[0].close()
        return listeners[listener]


def test_the_node_itself_and_tasks_on_it_reach_its_ports(lab: IngressLab) -> None:
    lab.run("one", 1, "10.0.0.20")
    other = lab.attach("other", 2, {})
    try:
        assert lab.ask(lab.nodes[2].node, "127.0.0.1", WEB) != "Connection refused"
        assert lab.ask(lab.nodes[2].node, lab.nodes[2].address, WEB)[:3] in {"10.", "172"}
        assert lab.ask(other.netns, lab.nodes[2].address, WEB)[:3] in {"10.", "172"}
    finally:
        lab.nodes[2].call("detach", "other")


def test_without_a_task_that_serves_it_is_refused_at_once(lab: IngressLab) -> None:
    assert lab.ask(lab.client, lab.nodes[0].address, WEB) == os.strerror(111)
    lab.task("starting", 1, {"ingress": ["10.0.0.20"]})
    assert lab.ask(lab.client, lab.nodes[0].address, WEB) == os.strerror(111)


def test_a_port_that_is_published_no_more_is_free_and_another_one_works(lab: IngressLab) -> None:
    lab.run("one", 1, "10.0.0.20")
    lab.publish((9090, PortConfig.PROTOCOL_TCP))
    lab.tell()
    assert lab.ask(lab.client, lab.nodes[0].address, WEB) == os.strerror(111)
    assert lab.ask(lab.client, lab.nodes[0].address, 9090) == CLIENT


def test_a_connection_goes_on_while_its_task_drains_and_ends_with_it(lab: IngressLab) -> None:
    task = lab.task("one", 1, {"ingress": ["10.0.0.20"]})
    lab.serving.add("one")
    lab.tell()
    with namespaces.entered(task.netns):
        listener = socket.create_server(("10.0.0.20", 80))
    with namespaces.entered(lab.client):
        client = socket.socket()
    with listener, client:
        client.settimeout(60)
        client.connect((lab.nodes[3].address, WEB))
        server, _ = listener.accept()
        with server:
            lab.serving.discard("one")
            lab.tell()
            client.sendall(b"still there?")
            assert server.recv(100) == b"still there?"
            server.sendall(b"yes")
            assert client.recv(100) == b"yes"
            assert lab.ask(lab.client, lab.nodes[3].address, WEB) == os.strerror(111)
            lab.net.tasks.pop("one")
            lab.tell()
            client.sendall(b"and now?")
            with pytest.raises(ConnectionError):
                client.recv(100)
    lab.nodes[1].call("detach", "one")


def test_datagrams_of_a_client_go_on_to_a_task_that_drains_and_to_another_when_it_has_gone(
    lab: IngressLab,
) -> None:
    task = lab.task("old", 1, {"ingress": ["10.0.0.20"]})
    lab.serve(task.netns, "0.0.0.0", 80, "udp", says="old")
    lab.serving.add("old")
    lab.tell()
    with namespaces.entered(lab.client):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def ask() -> bytes:
        client.send(b"hello\n")
        return client.recv(100)

    with client:
        client.settimeout(60)
        client.connect((lab.nodes[3].address, DNS))
        assert ask() == b"old"
        other = lab.task("new", 2, {"ingress": ["10.0.0.21"]})
        lab.serve(other.netns, "0.0.0.0", 80, "udp", says="new")
        lab.serving.add("new")
        lab.serving.discard("old")
        lab.tell()
        assert [ask() for _ in range(3)] == [b"old"] * 3
        lab.net.tasks.pop("old")
        lab.tell()
        assert ask() == b"new"
    lab.nodes[1].call("detach", "old")


@pytest.mark.parametrize("killed", [3, 1], ids=["of-the-client", "of-the-task"])
def test_nothing_is_lost_while_an_agent_is_killed_and_starts_again(lab: IngressLab, killed: int) -> None:
    lab.run("one", 1, "10.0.0.20")
    entry, node = lab.nodes[3].address, lab.nodes[killed]
    steps: dict[int, Callable[[], object]] = {
        20: node.kill,
        40: node.start,
        60: lambda: lab.tell(killed),
        80: lambda: lab.attach("one", 1, {"ingress": ["10.0.0.20"]}),
        100: lambda: node.call("check"),
    }
    with contextlib.ExitStack() as stack:
        before = [stack.enter_context(_connected(lab, entry)) for _ in steps]

        def restart(sent: int) -> bool:
            if sent in steps:
                steps[sent]()
                assert lab.ask(lab.client, entry, WEB) == CLIENT, f"a new connection after {sent}"
                client = before.pop()
                client.sendall(b"still there?\n")
                assert client.recv(100).decode() == CLIENT, f"one of before after {sent}"
            return sent == 120

        assert stream(lab.client, entry, DNS, restart) == (120, 120)
    assert before == []


@pytest.mark.parametrize("killed", [3, 1], ids=["of-the-client", "of-the-task"])
def test_nobody_who_comes_anew_is_refused_while_an_agent_is_killed_and_starts_again(
    lab: IngressLab, killed: int
) -> None:
    lab.run("one", 1, "10.0.0.20")
    entry, node = lab.nodes[3].address, lab.nodes[killed]
    lost: list[str] = []
    met = 0
    over = threading.Event()

    def come() -> None:
        nonlocal met
        while not over.is_set():
            try:
                with _connected(lab, entry) as client:
                    client.sendall(b"anew\n")
                    met += client.recv(100).decode() == CLIENT
            except OSError as error:
                lost.append(str(error))

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come)
        try:
            for step in (node.kill, node.start, lambda: lab.tell(killed), lambda: node.call("check")):
                before = met
                step()
                wait_until(lambda before=before: met > before + 5 or lost, what="more clients")
        finally:
            over.set()
        coming.result()
    assert lost == []


def _connected(lab: IngressLab, host: str) -> socket.socket:
    with namespaces.entered(lab.client):
        client = socket.socket()
    client.settimeout(60)
    client.connect((host, WEB))
    return client


def test_what_fits_on_the_wire_but_not_into_the_tunnel_arrives(lab: IngressLab) -> None:
    lab.run("one", 1, "10.0.0.20")
    assert lab.ask(lab.client, lab.nodes[3].address, WEB, "tcp", size=100_000) == CLIENT
