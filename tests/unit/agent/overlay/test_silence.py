"""Who is asked for an echo, and what follows from answers that do not come."""

from ipaddress import IPv4Address

from swarm.agent.overlay.silence import (
    AT_ONCE,
    BLOCKED,
    GAPS,
    SILENT_S,
    FarRouter,
    Heard,
    after,
    due,
    targets_of,
    troubles,
    warning,
)
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayNetwork, OverlayPeer


def a_network(name: str, *nodes: int, **more: object) -> OverlayChanges:
    peers = [
        OverlayPeer(node_id=f"n{one}", address=f"192.0.2.{one}", router_addresses=[f"10.0.0.{one}"])
        for one in nodes
    ]
    network = OverlayNetwork(id=name, name=name, router_addresses=["10.0.0.1"], **more)  # type: ignore[arg-type]
    return OverlayChanges(network_id=name, network=network, peers=peers)


def of(*changes: OverlayChanges) -> tuple[FarRouter, ...]:
    state = OverlayState()
    state.apply(changes, complete=True)
    return targets_of(state)


def some(count: int) -> tuple[FarRouter, ...]:
    return tuple(
        FarRouter(f"n{one:03}", f"192.0.2.{one}", 4789, False, "shop", IPv4Address("10.0.0.9"), "")
        for one in range(count)
    )


def rounds(heard: Heard, targets: tuple[FarRouter, ...], silent: set[FarRouter], *times: float) -> Heard:
    for now_s in times:
        asked = due(targets, heard)
        heard = after(heard, frozenset(targets), asked, {*asked} - silent, now_s)
    return heard


def test_each_node_is_asked_once_over_each_carrier() -> None:
    found = of(
        a_network("shop", 2, 3),
        a_network("back", 2),
        a_network("vault", 2, encrypted=True, tunnel_port=4800),
        a_network("lan", 4, driver="macvlan"),
    )
    assert [(one.node_id, one.port, one.network_id) for one in found] == [
        ("n2", 4789, "back"),
        ("n3", 4789, "shop"),
        ("n2", 4800, "vault"),
    ]


def test_routers_are_asked_by_ipv4_where_they_have_it_and_by_ipv6_otherwise() -> None:
    changes = a_network("shop", 2, 3, 4)
    changes.peers[0].router_addresses.append("fd00::2")
    changes.peers[1].router_addresses[:] = ["fd00::3"]
    changes.peers[2].router_addresses[:] = []  # nobody knows it yet
    assert [str(one.router) for one in of(changes)] == ["10.0.0.2", "fd00::3"]


def test_the_number_of_echoes_is_bounded_and_everybody_has_a_turn() -> None:
    targets = some(100)
    heard, asked = Heard(), set()
    for turn in range(8):
        now = due(targets, heard)
        assert len(now) <= AT_ONCE
        asked |= {*now}
        heard = after(heard, frozenset(targets), now, set(), 5.0 * turn)
    assert asked == {*targets}


def test_nothing_is_said_of_a_node_that_may_just_have_died() -> None:
    targets = some(3)
    heard = rounds(Heard(), targets, {targets[0]}, 0.0, 5.0, 10.0, 15.0)
    assert troubles(heard, 15.0) == ()
    assert troubles(rounds(heard, targets, {targets[0]}, SILENT_S), SILENT_S)
    assert troubles(rounds(heard, targets[1:], set(), SILENT_S), SILENT_S) == (), "it is out of the mesh"
    assert troubles(rounds(heard, targets, set(), SILENT_S), SILENT_S) == (), "it answers again"


def test_a_pause_of_the_agent_is_no_silence() -> None:
    targets = some(1)
    assert troubles(rounds(Heard(), targets, {*targets}, 0.0, 600.0), 600.0) == ()


def test_who_hears_nobody_is_told_so_with_what_opens_the_port_here() -> None:
    targets = some(2)
    (found,) = troubles(rounds(Heard(), targets, {*targets}, 0.0, 10.0, 20.0), 20.0)
    told = warning(found, "ufw on this node closes 4789/udp (…): ufw allow 4789/udp")
    assert told.type == BLOCKED
    assert told.reason.startswith(
        "no other node answers over UDP port 4789, which carries networks: 192.0.2.0"
    )
    assert told.reason.endswith("ufw allow 4789/udp")
    assert "no firewall of this node" in warning(found, "").reason
    assert (told.port, list(told.node_ids)) == (4789, ["n000", "n001"])


def test_who_hears_some_names_the_others() -> None:
    targets = some(9)
    silent = {*targets[:5]}
    (found,) = troubles(rounds(Heard(), targets, silent, 0.0, 10.0, 20.0), 20.0)
    told = warning(found, "")
    assert told.type == GAPS
    assert (
        "192.0.2.0 (node n000), 192.0.2.1 (node n001), 192.0.2.2 (node n002) and 2 more do not"
        in told.reason
    )
    assert "swarmctl doctor" in told.reason
    assert (told.port, len(told.node_ids)) == (4789, 5)
