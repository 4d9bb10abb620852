"""Rules that lead virtual addresses to tasks, as text."""

from swarm.agent.overlay.balancing import TABLE, Balance, Balanced, balance_of, changes, everything
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayNetwork, OverlayPeer, OverlayService
from swarm.api.v1.types_pb2 import EndpointSpec

WEB = Balanced(("10.0.0.9", "fd00::9"), ("10.0.0.20", "fd00::20", "10.0.0.21", "fd00::21"))
ONE = Balanced(("10.0.0.9",), ("10.0.0.20",))


def _state() -> NetworkState:
    state = NetworkState(OverlayNetwork(id="shop", router_addresses=["10.0.0.2"]))
    state.peers["n2"] = OverlayPeer(node_id="n2")
    state.services["web"] = OverlayService(service_id="web", virtual_addresses=["10.0.0.9"])
    state.services["plain"] = OverlayService(service_id="plain")
    for number, (task_id, node_id, serving) in enumerate(
        [("b", "n2", True), ("a", "n1", True), ("c", "n1", False)]
    ):
        state.endpoints[task_id] = OverlayEndpoint(
            task_id=task_id,
            node_id=node_id,
            service_id="web",
            serving=serving,
            addresses=[f"10.0.0.{20 + number}"],
            slot=number,
        )
    return state


def test_those_who_serve_are_behind_the_address_in_the_order_of_their_slots() -> None:
    balance = balance_of(_state())
    assert balance.services == {"web": Balanced(("10.0.0.9",), ("10.0.0.20", "10.0.0.21"))}
    assert balance.here == {"10.0.0.21", "10.0.0.22"}, "of nodes that are no other"
    assert balance.routers == ("10.0.0.2",)


def test_a_service_without_addresses_has_no_rules() -> None:
    state = _state()
    del state.services["web"]
    assert balance_of(state).services == {}


def test_an_affinity_is_taken_over() -> None:
    state = _state()
    state.services["web"].affinity = EndpointSpec.AFFINITY_CLIENT_IP
    assert balance_of(state).services["web"].by_client


def test_a_new_service_gets_a_chain_with_rules_for_each_family_before_its_addresses_lead_there() -> None:
    assert changes(Balance({}), Balance({"web": WEB})).splitlines() == [
        f"add chain {TABLE} s_web",
        f"flush chain {TABLE} s_web",
        f"add rule {TABLE} s_web meta nfproto ipv4 dnat ip to"
        " numgen random mod 2 map { 0 : 10.0.0.20, 1 : 10.0.0.21 }",
        f"add rule {TABLE} s_web meta nfproto ipv6 dnat ip6 to"
        " numgen random mod 2 map { 0 : fd00::20, 1 : fd00::21 }",
        f"add element {TABLE} virtual4 {{ 10.0.0.9 : goto s_web }}",
        f"add element {TABLE} virtual6 {{ fd00::9 : goto s_web }}",
    ]


def test_one_that_changes_is_flushed_and_filled_and_the_others_are_left_alone() -> None:
    before = Balance({"web": WEB, "db": ONE})
    script = changes(before, Balance({"web": Balanced(WEB.virtual, ("10.0.0.20",)), "db": ONE}))
    assert script.splitlines() == [
        f"add chain {TABLE} s_web",
        f"flush chain {TABLE} s_web",
        f"add rule {TABLE} s_web meta nfproto ipv4 dnat ip to 10.0.0.20",
    ]


def test_one_that_is_gone_leaves_nothing() -> None:
    assert changes(Balance({"web": ONE}), Balance({})).splitlines() == [
        f"delete element {TABLE} virtual4 {{ 10.0.0.9 }}",
        f"flush chain {TABLE} s_web",
        f"delete chain {TABLE} s_web",
    ]


def test_another_address_takes_the_place_of_the_one_before() -> None:
    script = changes(Balance({"web": ONE}), Balance({"web": Balanced(("10.0.0.8",), ONE.backends)}))
    assert script.splitlines()[-2:] == [
        f"delete element {TABLE} virtual4 {{ 10.0.0.9 }}",
        f"add element {TABLE} virtual4 {{ 10.0.0.8 : goto s_web }}",
    ]


def test_nothing_is_said_when_nothing_differs_and_no_rule_made_without_tasks() -> None:
    assert changes(Balance({"web": WEB}), Balance({"web": WEB})) == ""
    empty = Balance({"web": Balanced(("10.0.0.9",), ())})
    assert "dnat" not in changes(Balance({}), empty)


def test_with_an_affinity_the_address_of_the_client_decides() -> None:
    script = changes(Balance({}), Balance({"web": Balanced(WEB.virtual, WEB.backends, by_client=True)}))
    assert "jhash ip saddr mod 2" in script
    assert "jhash ip6 saddr mod 2" in script
    assert "numgen" not in script


def test_tasks_of_this_node_may_be_led_to_themselves() -> None:
    before, after = Balance({}, frozenset({"10.0.0.20"})), Balance({}, frozenset({"fd00::21"}))
    assert changes(before, after).splitlines() == [
        f"delete element {TABLE} here4 {{ 10.0.0.20 . 10.0.0.20 }}",
        f"add element {TABLE} here6 {{ fd00::21 . fd00::21 }}",
    ]


def test_everything_takes_away_chains_that_nobody_needs_any_more() -> None:
    chains = "".join(f"\tchain {name} {{\n\t}}\n" for name in ("prerouting", "s_web", "s_old"))
    there = f"table {TABLE} {{\n{chains}}}\n"
    script = everything(Balance({"web": ONE}, frozenset(), ("10.0.0.2", "fd00::2")), there)
    assert f"delete chain {TABLE} s_old" in script
    assert f"delete chain {TABLE} s_web" not in script
    assert script.index("flush map") < script.index("add element")
    assert "ip6 saddr . ip6 daddr @here6 snat ip6 to fd00::2" in script
