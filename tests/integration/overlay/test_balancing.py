"""Virtual addresses over four nodes: who is led where, while tasks come, drain and go."""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from swarm.agent.network import namespaces
from swarm.api.v1.overlay_pb2 import OverlayService
from swarm.api.v1.types_pb2 import EndpointSpec
from tests.integration.network.lab import Attached
from tests.integration.overlay.lab import Net, OverlayLab, stream

pytestmark = pytest.mark.integration

VIRTUAL = ("10.5.0.9", "fd05::9")
ASKS = 40


@pytest.fixture(scope="module")
def lab() -> Iterator[OverlayLab]:
    lab = OverlayLab()
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def shop(lab: OverlayLab) -> Iterator[Net]:
    net = lab.add(Net("shop", 4097, ["10.5.0.0/24", "fd05::/64"]))
    net.services = [OverlayService(service_id="web", name="web", virtual_addresses=VIRTUAL)]
    yield net
    for task_id in list(net.tasks):
        lab.end(task_id)
    lab.nets.clear()
    lab.tell()


def backend(lab: OverlayLab, net: Net, name: str, node: int, number: int) -> Attached:
    """Start a task of the service that answers with its name."""
    addresses = [f"10.5.0.{number}", f"fd05::{number}"]
    task = lab.task(name, node, {net.id: addresses})
    for address in addresses:
        for kind in ("tcp", "udp"):
            lab.serve(task.netns, address, 80, kind, says=name)
    serving(lab, net, name)
    return task


def serving(lab: OverlayLab, net: Net, *names: str) -> None:
    for name in names:
        net.serving[name] = "web"
    lab.tell()


def draining(lab: OverlayLab, net: Net, name: str) -> None:
    del net.serving[name]
    lab.tell()


def asked(
    lab: OverlayLab, client: Attached, address: str, kind: str = "tcp", times: int = ASKS
) -> Counter[str]:
    return Counter(lab.ask(client.netns, address, 80, kind) for _ in range(times))


def connected(client: Attached, address: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    with namespaces.entered(client.netns):
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    opened.settimeout(60)
    opened.connect((address, 80))
    return opened


def test_clients_on_every_node_are_led_to_all_tasks_by_every_protocol(lab: OverlayLab, shop: Net) -> None:
    for node in range(3):
        backend(lab, shop, f"web{node}", node, 20 + node)
    for node in (0, 3):
        client = lab.task(f"client{node}", node, {"shop": [f"10.5.0.{50 + node}", f"fd05::{50 + node}"]})
        for address in VIRTUAL:
            for kind in ("tcp", "udp"):
                assert asked(lab, client, address, kind).keys() == {"web0", "web1", "web2"}
        lab.wait_for_ping(client.netns, VIRTUAL[0])
    assert lab.faults() == []


def test_a_task_reaches_itself_by_the_address_of_its_service(lab: OverlayLab, shop: Net) -> None:
    only = backend(lab, shop, "only", 1, 20)
    for address in VIRTUAL:
        for kind in ("tcp", "udp"):
            assert asked(lab, only, address, kind, 5) == {"only": 5}


def test_a_task_sees_who_asks(lab: OverlayLab, shop: Net) -> None:
    task = lab.task("web", 0, {"shop": ["10.5.0.20", "fd05::20"]})
    lab.serve(task.netns, "10.5.0.20", 80)
    serving(lab, shop, "web")
    client = lab.task("client", 2, {"shop": ["10.5.0.50", "fd05::50"]})
    assert lab.ask(client.netns, VIRTUAL[0], 80) == "10.5.0.50"


def test_a_service_that_nobody_serves_refuses_at_once(lab: OverlayLab, shop: Net) -> None:
    client = lab.task("client", 2, {"shop": ["10.5.0.50", "fd05::50"]})
    backend(lab, shop, "web", 0, 20)
    draining(lab, shop, "web")
    for address in VIRTUAL:
        assert lab.ask(client.netns, address, 80) in {"Network is unreachable", "No route to host"}


def test_one_who_drains_keeps_whom_it_has_and_gets_nobody_new(lab: OverlayLab, shop: Net) -> None:
    client = lab.task("client", 2, {"shop": ["10.5.0.50", "fd05::50"]})
    backend(lab, shop, "old", 0, 20)
    with connected(client, VIRTUAL[0]) as tcp, connected(client, VIRTUAL[0], socket.SOCK_DGRAM) as udp:

        def is_with_old() -> bool:
            udp.send(b"hello\n")
            return udp.recv(100) == b"old"

        assert is_with_old()
        backend(lab, shop, "new", 1, 21)
        assert is_with_old()  # who says nothing for half a minute is a new client
        draining(lab, shop, "old")
        assert is_with_old()
        assert asked(lab, client, VIRTUAL[0]) == {"new": ASKS}
        tcp.sendall(b"still there?\n")
        assert tcp.recv(100) == b"old"
        assert is_with_old()


@pytest.mark.parametrize("address", VIRTUAL)
def test_whoever_talks_to_a_task_that_is_gone_is_led_elsewhere(
    lab: OverlayLab, shop: Net, address: str
) -> None:
    client = lab.task("client", 2, {"shop": ["10.5.0.50", "fd05::50"]})
    backend(lab, shop, "old", 0, 20)
    with connected(client, address) as tcp, connected(client, address, socket.SOCK_DGRAM) as udp:
        udp.send(b"hello\n")
        assert udp.recv(100) == b"old"
        backend(lab, shop, "new", 1, 21)
        del shop.serving["old"]
        lab.end("old")
        udp.send(b"hello\n")
        assert udp.recv(100) == b"new"
        tcp.sendall(b"still there?\n")
        with pytest.raises(ConnectionResetError):
            tcp.recv(100)


def test_no_request_is_lost_while_tasks_are_replaced_start_first(lab: OverlayLab, shop: Net) -> None:
    client = lab.task("client", 3, {"shop": ["10.5.0.50", "fd05::50"]})
    for node in range(3):
        backend(lab, shop, f"old{node}", node, 20 + node)
    for node in range(3):
        backend(lab, shop, f"new{node}", node, 30 + node)
        draining(lab, shop, f"old{node}")
        lab.end(f"old{node}")
        live = {f"new{one}" for one in range(node + 1)} | {f"old{one}" for one in range(node + 1, 3)}
        for address in VIRTUAL:
            assert asked(lab, client, address).keys() <= live


def test_a_client_meets_the_same_task_again_when_the_service_says_so(lab: OverlayLab, shop: Net) -> None:
    shop.services[0].affinity = EndpointSpec.AFFINITY_CLIENT_IP
    for node in range(3):
        backend(lab, shop, f"web{node}", node, 20 + node)
    met = set()
    for number in range(8):
        client = lab.task(
            f"c{number}", number % 4, {"shop": [f"10.5.0.{60 + number}", f"fd05::{60 + number}"]}
        )
        for address in VIRTUAL:
            (one,) = asked(lab, client, address, times=4)
            met.add(one)
    assert len(met) > 1


@pytest.mark.parametrize("address", VIRTUAL)
@pytest.mark.parametrize("killed", [2, 0], ids=["of-the-client", "of-the-task"])
def test_nothing_is_lost_while_an_agent_is_killed_and_starts_again(
    lab: OverlayLab, shop: Net, address: str, killed: int
) -> None:
    client = lab.task("client", 2, {"shop": ["10.5.0.50", "fd05::50"]})
    backend(lab, shop, "web", 0, 20)
    node, name, number = lab.nodes[killed], *(("client", 50) if killed == 2 else ("web", 20))
    steps: dict[int, Callable[[], object]] = {
        20: node.kill,
        40: node.start,
        60: lambda: lab.tell(killed),
        80: lambda: lab.attach(name, killed, {"shop": [f"10.5.0.{number}", f"fd05::{number}"]}),
        100: lambda: node.call("check"),
    }
    with contextlib.ExitStack() as stack:
        before = [stack.enter_context(connected(client, address)) for _ in steps]

        def restart(sent: int) -> bool:
            if sent in steps:
                steps[sent]()
                assert lab.ask(client.netns, address, 80) == "web", f"a new connection after {sent}"
                tcp = before.pop()
                tcp.sendall(b"still there?\n")
                assert tcp.recv(100) == b"web", f"one of before after {sent}"
            return sent == 120

        assert stream(client.netns, address, 80, restart) == (120, 120)
    assert before == []


def test_the_next_agent_puts_in_force_what_changed_meanwhile(lab: OverlayLab, shop: Net) -> None:
    client = lab.task("client", 2, {"shop": ["10.5.0.50", "fd05::50"]})
    backend(lab, shop, "old", 0, 20)
    with connected(client, VIRTUAL[0], socket.SOCK_DGRAM) as udp:
        udp.send(b"hello\n")
        assert udp.recv(100) == b"old"
        lab.nodes[2].stop()
        lab.down.add(2)
        backend(lab, shop, "new", 1, 21)
        del shop.serving["old"]
        lab.end("old")
        lab.down.discard(2)
        lab.nodes[2].start()
        lab.tell()
        assert asked(lab, client, VIRTUAL[0], times=5) == {"new": 5}
        udp.send(b"hello\n")
        assert udp.recv(100) == b"new"
