"""Rules of the router through which ports are published."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from swarm.agent.network import rules
from swarm.agent.network.layout import Layout
from swarm.agent.network.rules import EveryNodePort
from swarm.agent.overlay.ingress import Ingress, ingress_of, script
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayNetwork, OverlayPeer, OverlayService
from swarm.api.v1.types_pb2 import EndpointSpec, PortConfig

LAYOUT = Layout(Path("/run/swarm"), IPv4Network("172.30.0.0/16"))
ONE, TWO = IPv4Address("10.0.1.1"), IPv4Address("10.0.1.2")


def _task(task_id: str, address: str, *, serving: bool = True, service: str = "web") -> OverlayEndpoint:
    return OverlayEndpoint(task_id=task_id, addresses=[address], serving=serving, service_id=service)


def _state(*tasks: OverlayEndpoint, peers: int = 0) -> NetworkState:
    network = OverlayNetwork(id="i", ingress=True, router_addresses=["10.0.0.2"])
    network.subnets.append(Subnet(subnet="10.0.0.0/16"))
    ports = [
        PortConfig(published_port=8080, target_port=80),
        PortConfig(published_port=53, target_port=5353, protocol=PortConfig.PROTOCOL_UDP),
    ]
    found = NetworkState(network)
    found.endpoints.update({one.task_id: one for one in tasks})
    found.services["web"] = OverlayService(service_id="web", ports=ports)
    for number in range(peers):
        peer = OverlayPeer(node_id=f"n{number}", router_addresses=[f"10.0.0.{number + 3}"])
        found.peers[peer.node_id] = peer
    return found


def test_only_tasks_that_serve_are_led_to_and_their_order_does_not_matter() -> None:
    tasks = [_task("b", "10.0.1.2"), _task("a", "10.0.1.1"), _task("c", "10.0.1.3", serving=False)]
    found = ingress_of(_state(*tasks, _task("x", "10.0.1.4", service="other")))
    assert found.ports == {
        ("tcp", 8080): ((ONE, 80), (TWO, 80)),
        ("udp", 53): ((ONE, 5353), (TWO, 5353)),
    }


def test_every_other_router_has_a_mark_of_its_own_that_its_address_decides() -> None:
    found = ingress_of(_state(peers=2))
    assert found.routers == {
        "02:42:0a:00:00:03": (3, (IPv4Address("10.0.0.3"),)),
        "02:42:0a:00:00:04": (4, (IPv4Address("10.0.0.4"),)),
    }


def test_what_did_not_change_is_not_touched() -> None:
    before = ingress_of(_state(_task("a", "10.0.1.1"), peers=1))
    assert script(before, before) == ""
    ports = dict(before.ports)
    ports["tcp", 8080] = ((ONE, 80), (TWO, 80))
    text = script(before, replace(before, ports=ports))
    assert "udp" not in text
    assert "element" not in text
    assert "numgen inc mod 2 map { 0 : 10.0.1.1 . 80, 1 : 10.0.1.2 . 80 }" in text


def test_a_client_may_be_led_to_the_same_task_always() -> None:
    state = _state(_task("a", "10.0.1.1"), _task("b", "10.0.1.2"))
    before = ingress_of(state)
    state.services["web"] = OverlayService(
        service_id="web", ports=state.services["web"].ports, affinity=EndpointSpec.AFFINITY_CLIENT_IP
    )
    text = script(before, ingress_of(state))
    assert text.count("dnat ip to jhash ip saddr mod 2 seed 0x5eed map") == 2
    assert "numgen" not in text


def test_tasks_see_the_router_in_place_of_the_client_where_that_is_wanted_only() -> None:
    state = _state(_task("a", "10.0.1.1"))
    state.services["dns"] = OverlayService(
        service_id="dns", ports=[PortConfig(published_port=9, target_port=9)]
    )
    before = ingress_of(state)
    assert "ct mark 2147483648 snat ip to 10.0.0.2" in script(None, before)
    assert "mark set 2147483648" not in script(None, before)
    state.services["web"].snat = True
    text = script(before, ingress_of(state))
    assert re.findall(r"add rule ip swarm_ingress (\S+) ct mark set 2147483648", text) == [
        "tcp_8080",
        "udp_53",
    ]
    assert "tcp_9" not in text
    back = script(replace(before, hidden=frozenset(before.ports)), before)
    assert "mark" not in back
    assert "flush chain ip swarm_ingress tcp_8080" in back


def test_every_node_begins_with_another_task_but_a_client_of_its_own_task_meets_that_everywhere() -> None:
    state = _state(*(_task(f"t{n}", f"10.0.1.{n}") for n in (1, 2, 3)))
    orders = []
    for router in ("10.0.0.2", "10.0.0.3", "10.0.0.4"):
        state.network.router_addresses[:] = [router]
        text = script(None, ingress_of(state))
        orders.append(re.findall(r"\d : (\S+) \. 80\b", text))
    assert {order[0] for order in orders} == {"10.0.1.1", "10.0.1.2", "10.0.1.3"}
    for order in orders:  # the same circle, entered elsewhere
        start = order.index("10.0.1.1")
        assert order[start:] + order[:start] == ["10.0.1.1", "10.0.1.2", "10.0.1.3"]

    state.services["web"].affinity = EndpointSpec.AFFINITY_CLIENT_IP
    by_client = set()
    for router in ("10.0.0.2", "10.0.0.3", "10.0.0.4"):
        state.network.router_addresses[:] = [router]
        lines = script(None, ingress_of(state)).splitlines()
        by_client.add(tuple(line for line in lines if "jhash" in line))
    assert len(by_client) == 1


def test_another_address_of_the_router_is_another_order() -> None:
    state = _state(_task("a", "10.0.1.1"), _task("b", "10.0.1.2"))
    before = ingress_of(state)
    state.network.router_addresses[:] = ["10.0.0.3"]
    assert "0 : 10.0.1.2 . 80, 1 : 10.0.1.1 . 80" in script(before, ingress_of(state))


def test_a_port_without_a_task_leads_nowhere_but_stays_known() -> None:
    text = script(None, ingress_of(_state()))
    assert "dnat" not in text
    assert "tcp . 8080 : goto tcp_8080" in text


def test_a_port_that_is_published_no_more_leaves_nothing() -> None:
    before = ingress_of(_state(_task("a", "10.0.1.1"), peers=1))
    lines = script(before, Ingress(first=before.first, own=before.own)).splitlines()
    assert [re.sub("ip swarm_ingress ", "", line) for line in lines] == [
        "delete element ports { tcp . 8080 : goto tcp_8080, udp . 53 : goto udp_53 }",
        "delete element routers { 02:42:0a:00:00:03 : 3 }",
        "flush chain tcp_8080",
        "delete chain tcp_8080",
        "flush chain udp_53",
        "delete chain udp_53",
    ]


def test_clients_of_ipv6_are_led_to_addresses_of_ipv6_and_back_by_the_same_mark() -> None:
    state = _state(_task("a", "10.0.1.1"))
    state.network.subnets.append(Subnet(subnet="fd00:1::/64"))
    state.endpoints["a"].addresses.append("fd00:1::a")
    peer = OverlayPeer(node_id="n", router_addresses=["10.0.0.3", "fd00:1::3"])
    state.peers["n"] = peer
    found = ingress_of(state)
    assert found.routers == {
        "02:42:0a:00:00:03": (3, (IPv4Address("10.0.0.3"), IPv6Address("fd00:1::3"))),
    }
    text = script(None, found)
    assert "add rule ip6 swarm_ingress tcp_8080 meta l4proto tcp dnat ip6 to" in text
    assert "0 : fd00:1::a . 80" in text
    assert "0 : 10.0.1.1 . 80" in text
    assert text.count("02:42:0a:00:00:03 : 3") == 2


def test_a_port_at_some_addresses_is_led_here_from_those_only() -> None:
    state = _state(_task("a", "10.0.1.1"))
    state.services["web"].ports[0].host_ip = "192.0.2.0/24"
    ports = ingress_of(state).open
    assert EveryNodePort("tcp", 8080, "192.0.2.0/24") in ports
    assert EveryNodePort("udp", 53) in ports
    text = rules.publish_everywhere(LAYOUT, ports, anew=False, ipv6=False)
    assert (
        f"add element ip {LAYOUT.table} ingress_at {{ 192.0.2.0/24 . tcp . 8080 : 172.30.0.3 . 8080 }}"
        in text
    )
    assert f"add element ip {LAYOUT.table} ingress {{ udp . 53 : 172.30.0.3 . 53 }}" in text
    assert "192.0.2.0/24 . tcp . 8080" in rules.unpublish(LAYOUT, ports, ipv6=False)
