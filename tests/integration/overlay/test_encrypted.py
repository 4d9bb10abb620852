"""Encrypted networks over three nodes: is anything on the wire in clear, and does anything get lost?"""

import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.overlay.layout import VXLAN_LINK
from tests.integration.overlay.lab import LINK_MTU, Net, Node, OverlayLab, flood, wait_for
from tests.integration.overlay.wire import device, kill_tunnel, layout, tunnel_processes, wire

pytestmark = pytest.mark.integration

CLEAR = b"x" * 40  # what `OverlayLab.ask` sends


@pytest.fixture(scope="module", params=["ipv4"])
def lab(request: pytest.FixtureRequest) -> Iterator[OverlayLab]:
    """Three nodes; with `ipv6` they reach each other by that only."""
    lab = OverlayLab(3, ipv6=request.param == "ipv6")
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def vault(lab: OverlayLab) -> Iterator[Net]:
    """An encrypted network; nothing is left of it, or of what carried it, afterwards."""
    yield lab.add(Net("vault", 4097, ["10.5.0.0/24"], secret=secrets.token_bytes(32)))
    for net in lab.nets.values():
        for task_id in list(net.tasks):
            lab.end(task_id)
    lab.nets.clear()
    lab.silent.clear()
    lab.tell()
    for node in lab.nodes:
        assert not namespaces.is_namespace(layout(node.run_dir).tunnel)
        assert not tunnel_processes(node.run_dir)


def in_clear(frames: list[bytes]) -> int:
    return sum(CLEAR in frame for frame in frames)


@pytest.mark.parametrize("lab", ["ipv4", "ipv6"], indirect=True)
def test_what_tasks_say_is_on_the_wire_in_plain_networks_and_not_in_encrypted_ones(
    lab: OverlayLab, vault: Net
) -> None:
    lab.add(Net("plain", 4098, ["10.6.0.0/24"]))
    places = [
        lab.task(f"task{number}", number, {"vault": [f"10.5.0.2{number}"], "plain": [f"10.6.0.2{number}"]})
        for number in range(3)
    ]
    for kind in ("tcp", "udp"):
        for subnet in ("10.5.0", "10.6.0"):
            lab.serve(places[0].netns, f"{subnet}.20", 80, kind)
    wait_for(lambda: lab.ping(places[1].netns, "10.5.0.20"), "an encrypted ping")
    for subnet, kind, seen in (
        ("10.6.0", "udp", True),
        ("10.6.0", "tcp", True),
        ("10.5.0", "udp", False),
        ("10.5.0", "tcp", False),
    ):
        with wire(lab.switch) as frames:
            for number in (1, 2):
                said = lab.ask(places[number].netns, f"{subnet}.20", 80, kind, size=400)
                assert said == f"{subnet}.2{number}"
        assert bool(in_clear(frames)) is seen, (subnet, kind, len(frames))
    # A packet of the largest size is not cut into pieces on its way.
    overhead = (80 + 70) if lab.ipv6 else (60 + 50)
    with netlink_in(lab.nodes[1].router(vault)) as router:
        link = links.find_link(router, VXLAN_LINK)
        assert link is not None
        assert link.mtu == LINK_MTU - overhead
    assert lab.ask(places[1].netns, "10.5.0.20", 80, "udp", size=LINK_MTU - overhead - 28) == "10.5.0.21"
    assert lab.faults() == []


def test_nothing_goes_to_a_node_whose_key_is_not_known(lab: OverlayLab, vault: Net) -> None:
    lab.silent.add(0)
    server = lab.task("server", 0, {"vault": ["10.5.0.30"]})
    client = lab.task("client", 1, {"vault": ["10.5.0.31"]})
    lab.serve(server.netns, "10.5.0.30", 80, "udp")
    with wire(lab.switch) as frames:
        assert not any(speaks(client.netns, "10.5.0.30") for _ in range(3))
    assert not in_clear(frames)
    lab.silent.clear()
    lab.tell()
    wait_for(lambda: speaks(client.netns, "10.5.0.30"), "the key")


def test_keys_change_without_loss_and_the_next_conversation_needs_the_new_one(
    lab: OverlayLab, vault: Net
) -> None:
    server = lab.task("server", 0, {"vault": ["10.5.0.40"]})
    client = lab.task("client", 1, {"vault": ["10.5.0.41"]})
    wait_for(lambda: lab.ping(client.netns, "10.5.0.40"), "the first ping")
    before = {peer.shared for node in lab.nodes[:2] for peer in device(node.run_dir).peers.values()}

    def rotate(sent: int) -> bool:
        if sent in (20, 60):
            vault.secret = secrets.token_bytes(32)
            lab.tell(sent // 60)  # one node hears of it before the other does
            lab.tell()
        return sent == 100

    assert flood(client.netns, "10.5.0.40", rotate) == (100, 100)
    after = {peer.shared for node in lab.nodes[:2] for peer in device(node.run_dir).peers.values()}
    assert len(after) == 1
    assert before.isdisjoint(after)
    kill(lab.nodes[0])
    wait_for(lambda: lab.ping(client.netns, "10.5.0.40"), "a ping under the new key")
    assert server.address


def test_a_tunnel_that_is_killed_comes_back_and_nothing_leaves_in_clear_meanwhile(
    lab: OverlayLab, vault: Net
) -> None:
    server = lab.task("server", 0, {"vault": ["10.5.0.50"]})
    client = lab.task("client", 2, {"vault": ["10.5.0.51"]})
    lab.serve(server.netns, "10.5.0.50", 80, "udp")
    wait_for(lambda: lab.ping(client.netns, "10.5.0.50"), "the first ping")
    kept = lab.nodes[2].call("tunnel_key")
    with wire(lab.switch) as frames:
        for node in (lab.nodes[2], lab.nodes[0]):
            kill(node)
            wait_for(lambda: speaks(client.netns, "10.5.0.50"), "an answer")
    assert not in_clear(frames)
    assert lab.nodes[2].call("tunnel_key") == kept
    assert lab.faults() == []


def test_an_agent_that_is_killed_interrupts_nothing_and_the_next_one_has_its_key(
    lab: OverlayLab, vault: Net
) -> None:
    lab.task("server", 0, {"vault": ["10.5.0.60"]})
    client = lab.task("client", 1, {"vault": ["10.5.0.61"]})
    wait_for(lambda: lab.ping(client.netns, "10.5.0.60"), "the first ping")
    kept = lab.nodes[1].call("tunnel_key")
    pids = [process.pid for process in tunnel_processes(lab.nodes[1].run_dir)]

    def restart(sent: int) -> bool:
        if sent == 20:
            lab.nodes[1].kill()
            lab.nodes[1].start()
            lab.tell(1)
        return sent == 60

    assert flood(client.netns, "10.5.0.60", restart) == (60, 60)
    assert lab.nodes[1].call("tunnel_key") == kept
    assert [process.pid for process in tunnel_processes(lab.nodes[1].run_dir)] == pids


def test_a_node_that_left_is_locked_out_as_soon_as_that_is_heard_of(lab: OverlayLab, vault: Net) -> None:
    lab.task("server", 0, {"vault": ["10.5.0.70"]})
    client = lab.task("client", 1, {"vault": ["10.5.0.71"]})
    wait_for(lambda: lab.ping(client.netns, "10.5.0.70"), "the first ping")
    gone = bytes.fromhex(lab.nodes[1].call("tunnel_key"))
    assert gone in device(lab.nodes[0].run_dir).peers
    lab.down.add(1)
    try:
        lab.tell()
        assert gone not in device(lab.nodes[0].run_dir).peers
        assert not lab.ping(client.netns, "10.5.0.70")
    finally:
        lab.down.clear()
        lab.tell()
    wait_for(lambda: lab.ping(client.netns, "10.5.0.70"), "the node to be back")


def speaks(where: Path, host: str) -> bool:
    """Send something that would be seen in clear; return whether it is answered soon."""
    with namespaces.entered(where):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client, suppress(OSError):
        client.settimeout(0.2)
        client.sendto(CLEAR, (host, 80))
        return bool(client.recv(100))
    return False


def kill(node: Node) -> None:
    if not kill_tunnel(node.run_dir):
        node.call("check")  # the kernel carries it: nobody notices before the next look
