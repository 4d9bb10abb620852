"""Which address a node has after a restart, and who tells whom about it."""

from dataclasses import replace

import pytest

from swarm.config import Settings
from swarm.errors import InvalidArgument
from swarm.node.addresses import InterfaceAddress
from swarm.node.moving import Act, after_restart, plan_address, settings_noted
from swarm.node.state import NodeState

ETH = InterfaceAddress("eth0", "10.0.0.1")
ANY = "0.0.0.0:2377"
MANAGERS = (("n1", "10.0.0.1:2377"), ("n2", "10.0.0.2:2377"))


def settings(advertise: str = "", listen: str = ANY) -> Settings:
    return Settings(advertise_addr=advertise, listen_addr=listen)


def joined(
    start: Settings, addr: str = "10.0.0.1:2377", listen: str = ANY, eth: InterfaceAddress = ETH
) -> NodeState:
    return settings_noted(NodeState("n1", "c1", addr, listen, MANAGERS), start, [eth])


def test_the_same_settings_change_nothing_also_when_the_join_chose_otherwise() -> None:
    for given in (settings(), settings("10.0.0.9"), settings(listen="10.0.0.1:2377")):
        state = joined(given, addr="192.168.7.7:2377", listen="192.168.7.7:2377")
        assert after_restart(state, given, [ETH]) == state


def test_another_advertise_address_counts_and_has_to_be_told() -> None:
    state = after_restart(joined(settings()), settings("10.0.0.7"), [ETH])
    assert (state.addr, state.moved, state.listen_addr) == ("10.0.0.7:2377", True, ANY)
    assert dict(state.managers)["n1"] == "10.0.0.7:2377"
    assert dict(state.managers)["n2"] == "10.0.0.2:2377"
    again = after_restart(state, settings("10.0.0.7"), [ETH])
    assert again == state  # still to be told
    assert after_restart(replace(state, moved=False), settings("10.0.0.7"), [ETH]).moved is False


def test_an_interface_with_another_address_moves_the_node() -> None:
    state = joined(settings("eth0"))
    assert after_restart(state, settings("eth0"), [ETH]) == state
    moved = after_restart(state, settings("eth0"), [InterfaceAddress("eth0", "10.0.0.5")])
    assert (moved.addr, moved.moved) == ("10.0.0.5:2377", True)


def test_an_interface_that_is_not_up_yet_is_an_error_and_not_a_host_name() -> None:
    with pytest.raises(InvalidArgument, match="eth0 has no address"):
        after_restart(joined(settings("eth0")), settings("eth0"), [], {"eth0"})


def test_a_node_that_listened_where_it_advertised_goes_on_doing_so() -> None:
    at = "10.0.0.1:2377"
    by_listening = after_restart(
        joined(settings(listen=at), listen=at), settings(listen="10.0.0.8:2377"), []
    )
    assert (by_listening.addr, by_listening.listen_addr) == ("10.0.0.8:2377", "10.0.0.8:2377")
    assert by_listening.moved
    by_advertising = after_restart(joined(settings(), listen=at), settings("10.0.0.8"), [])
    assert (by_advertising.addr, by_advertising.listen_addr) == ("10.0.0.8:2377", "10.0.0.8:2377")


def test_a_state_from_before_settings_were_noted_keeps_its_addresses() -> None:
    state = NodeState("n1", "c1", "10.0.0.1:2377", "10.0.0.1:2377", MANAGERS)
    now = after_restart(state, settings(), [ETH])
    assert (now.addr, now.listen_addr, now.moved) == (state.addr, state.listen_addr, False)


@pytest.mark.parametrize(
    ("moved", "recorded", "act"),
    [
        (False, "", Act.NOTHING),
        (True, "", Act.NOTHING),
        (False, "10.0.0.1:2377", Act.NOTHING),
        (True, "10.0.0.1:2377", Act.CONFIRMED),
        (True, "10.0.0.9:2377", Act.TELL),
        (False, "10.0.0.9:2377", Act.TAKE_OVER),
    ],
)
def test_who_changed_the_address_last_is_right(moved: bool, recorded: str, act: Act) -> None:
    assert plan_address(replace(joined(settings()), moved=moved), recorded) is act
