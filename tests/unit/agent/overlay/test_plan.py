from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.overlay.plan import (
    Change,
    Mesh,
    differences,
    mesh_of,
    overlay_of,
    path_of,
    router_mac,
)
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayNetwork, OverlayPeer

SHOP = OverlayNetwork(
    id="shop",
    vxlan_id=4097,
    subnets=[Subnet(subnet="10.5.0.0/24"), Subnet(subnet="fd05::/64")],
    router_addresses=["10.5.0.1", "fd05::1"],
)


def state(*peers: OverlayPeer, endpoints: tuple[OverlayEndpoint, ...] = ()) -> NetworkState:
    return NetworkState(SHOP, {one.node_id: one for one in peers}, {one.task_id: one for one in endpoints})


def peer(number: int, address: str = "") -> OverlayPeer:
    return OverlayPeer(
        node_id=f"n{number}",
        address=address or f"192.0.2.{number}",
        router_addresses=[f"10.5.0.{number}", f"fd05::{number}"],
    )


def task(name: str, node: int, *addresses: str) -> OverlayEndpoint:
    return OverlayEndpoint(task_id=name, node_id=f"n{node}", addresses=addresses)


def mac(*addresses: str) -> str:
    return router_mac([ip_address(address) for address in addresses])


def test_one_entry_of_each_family_per_node_and_one_route_per_address_of_a_task() -> None:
    mesh = mesh_of(state(peer(2), peer(3), endpoints=(task("t", 3, "10.5.0.9", "fd05::9"),)), 4)
    assert mesh.forwarding == {
        "02:42:0a:05:00:02": ip_address("192.0.2.2"),
        "02:42:0a:05:00:03": ip_address("192.0.2.3"),
    }
    assert mesh.neighbours == {
        ip_address("10.5.0.2"): "02:42:0a:05:00:02",
        ip_address("fd05::2"): "02:42:0a:05:00:02",
        ip_address("10.5.0.3"): "02:42:0a:05:00:03",
        ip_address("fd05::3"): "02:42:0a:05:00:03",
    }
    assert mesh.routes == {
        ip_address("10.5.0.9"): ip_address("10.5.0.3"),
        ip_address("fd05::9"): ip_address("fd05::3"),
    }


def test_tasks_of_nodes_that_nothing_is_heard_of_have_no_route() -> None:
    assert mesh_of(state(peer(2), endpoints=(task("t", 3, "10.5.0.9"),)), 4).routes == {}


def test_what_is_no_address_costs_only_itself() -> None:
    broken = OverlayPeer(node_id="n4", address="somewhere", router_addresses=["10.5.0.4"])
    nameless = OverlayPeer(node_id="n5", address="192.0.2.5")
    mesh = mesh_of(state(peer(2), broken, nameless, endpoints=(task("t", 2, "x", "10.5.0.9"),)), 4)
    assert set(mesh.forwarding.values()) == {ip_address("192.0.2.2")}
    assert mesh.routes == {ip_address("10.5.0.9"): ip_address("10.5.0.2")}


def test_nodes_that_the_path_does_not_lead_to_are_left_out() -> None:
    mesh = mesh_of(state(peer(2), peer(3, "fd99::3")), 4)
    assert set(mesh.forwarding.values()) == {ip_address("192.0.2.2")}


def test_the_path_is_of_ipv6_when_every_other_node_is() -> None:
    assert overlay_of(state(peer(2, "fd99::2"))).path_family == 6
    assert overlay_of(state(peer(2, "fd99::2"), peer(3))).path_family == 4
    assert overlay_of(state(), family=6).path_family == 6  # as it was, while nobody is there to say


def test_a_router_has_the_same_hardware_address_everywhere_whatever_the_order_of_its_addresses() -> None:
    assert mac("10.5.0.1", "fd05::1") == mac("fd05::1", "10.5.0.1") == "02:42:0a:05:00:01"
    assert overlay_of(state()).mac == "02:42:0a:05:00:01"


def test_routers_of_two_subnets_of_ipv6_alone_differ() -> None:
    assert mac("fd05::1") != mac("fd06::1")


def test_packets_are_smaller_by_what_is_put_around_them() -> None:
    overlay = overlay_of(state())
    assert overlay.mtu_over(1500) == 1450
    assert replace(overlay, path_family=6).mtu_over(1500) == 1430
    assert replace(overlay, mtu=9000).mtu_over(1500) == 9000
    assert overlay.mtu_over(1200) == 1280  # what IPv6 needs at least
    assert replace(overlay, subnets=(ip_network("10.5.0.0/24"),)).mtu_over(1200) == 1150


def test_the_port_between_nodes_has_a_default() -> None:
    assert overlay_of(state()).port == 4789


def test_the_way_to_some_other_node_is_the_path() -> None:
    assert path_of(state()) is None
    assert path_of(state(peer(2))) == ip_address("192.0.2.2")


def test_what_is_on_this_node_needs_no_route_elsewhere() -> None:
    mesh = mesh_of(state(peer(2), endpoints=(task("t", 2, "10.5.0.9", "fd05::9"),)), 4)
    assert mesh.without_routes([ip_address("10.5.0.9")]).routes == {
        ip_address("fd05::9"): ip_address("fd05::2")
    }
    assert mesh.without_routes([ip_address("10.5.0.8")]) == mesh


def test_ways_are_made_before_what_leads_to_them_and_removed_after_it() -> None:
    there = mesh_of(state(peer(2), endpoints=(task("t", 2, "10.5.0.9"),)), 4)
    wanted = mesh_of(state(peer(3), endpoints=(task("t", 3, "10.5.0.9"), task("u", 3, "10.5.0.10"))), 4)
    assert [(change.table, change.value is None) for change in differences(there, wanted)] == [
        ("forwarding", False),
        ("neighbour", False),
        ("neighbour", False),
        ("route", False),
        ("route", False),
        ("neighbour", True),
        ("neighbour", True),
        ("forwarding", True),
    ]


ADDRESSES = st.integers(1, 6).map(lambda number: ip_address(f"10.5.0.{number}"))
MACS = st.integers(1, 6).map(lambda number: f"02:42:0a:05:00:0{number}")
MESHES = st.builds(
    Mesh,
    st.dictionaries(ADDRESSES, MACS),
    st.dictionaries(MACS, ADDRESSES),
    st.dictionaries(ADDRESSES, ADDRESSES),
)


@given(MESHES, MESHES)
def test_the_differences_turn_what_is_there_into_what_is_wanted(there: Mesh, wanted: Mesh) -> None:
    tables: dict[str, dict[object, object]] = {
        "neighbour": dict(there.neighbours),
        "forwarding": dict(there.forwarding),
        "route": dict(there.routes),
    }
    changes = differences(there, wanted)
    for change in changes:
        apply(tables[change.table], change)
    assert Mesh(tables["neighbour"], tables["forwarding"], tables["route"]) == wanted  # type: ignore[arg-type]
    assert len({(change.table, change.key) for change in changes}) == len(changes)
    assert differences(wanted, wanted) == ()


def apply(table: dict[object, object], change: Change) -> None:
    if change.value is None:
        del table[change.key]
    else:
        assert table.get(change.key) != change.value
        table[change.key] = change.value
