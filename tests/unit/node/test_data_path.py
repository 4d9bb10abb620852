"""Which address of a node carries what its containers say to others, now and after a restart."""

from dataclasses import replace
from pathlib import Path

import pytest

from swarm.config import Settings
from swarm.errors import InvalidArgument
from swarm.node import moving
from swarm.node.addresses import InterfaceAddress
from swarm.node.data_path import (
    choose_data_path,
    data_path_after_restart,
    data_path_chosen,
)
from swarm.node.state import NodeState, load_state, save_state

HERE = [
    InterfaceAddress("lo", "127.0.0.1"),
    InterfaceAddress("eth0", "10.0.0.5"),
    InterfaceAddress("eth1", "10.1.0.5"),
    InterfaceAddress("eth1", "fd00:1::5"),
    InterfaceAddress("eth2", "10.2.0.5"),
    InterfaceAddress("eth2", "10.2.0.6"),
    InterfaceAddress("eth6", "fd00:6::5"),
]
NAMES = {"lo", "eth0", "eth1", "eth2", "eth6", "eth9"}
JOINING = NodeState("n1", "c1", "10.0.0.5:2377", "0.0.0.0:2377")


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("", ""),
        ("10.1.0.5", "10.1.0.5"),
        ("eth1", "10.1.0.5"),  # IPv4 first
        ("eth6", "fd00:6::5"),
        ("FD00:1:0::5", "fd00:1::5"),
        ("10.2.0.6", "10.2.0.6"),
    ],
)
def test_an_address_or_interface_of_this_machine_is_taken(given: str, chosen: str) -> None:
    assert choose_data_path(given, HERE, NAMES) == chosen


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("10.9.9.9", r"has no address 10\.9\.9\.9, it has 10\.0\.0\.5 on eth0, .*choose one"),
        ("10.1.0.5:4789", "neither an address nor an interface .*--data-path-port"),
        ("eth7", r"eth7 is neither .*10\.1\.0\.5 on eth1"),
        ("eth2", r"eth2 has several addresses \(10\.2\.0\.5, 10\.2\.0\.6\)"),
        ("eth9", "eth9 has no address now"),
        ("lo", "lo has no address now that others could reach"),
        ("127.0.0.1", "not an address that other nodes could reach"),
        ("0.0.0.0", "not an address that other nodes could reach"),
        ("fe80::1", "not an address that other nodes could reach"),
    ],
)
def test_anything_else_is_refused_with_what_there_is(given: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        choose_data_path(given, HERE, NAMES)


def joined(given: str = "", setting: str = "") -> NodeState:
    return data_path_chosen(JOINING, given, Settings(data_path_addr=setting), HERE)


def test_what_was_chosen_when_joining_holds_until_the_setting_changes() -> None:
    assert joined().data_path_addr == ""
    assert joined(setting="eth1").data_path_addr == "10.1.0.5"
    state = joined("eth6", setting="eth1")
    assert state.data_path_addr == "fd00:6::5"
    assert data_path_after_restart(state, Settings(data_path_addr="eth1"), HERE) == state
    other = data_path_after_restart(state, Settings(data_path_addr="10.0.0.5"), HERE)
    assert other.data_path_addr == "10.0.0.5"
    none = data_path_after_restart(other, Settings(), HERE)
    assert (none.data_path, none.data_path_addr) == ("", "")


def test_an_interface_is_asked_again_at_each_start() -> None:
    moved = [InterfaceAddress("eth1", "10.1.0.77")]
    assert data_path_after_restart(joined("eth1"), Settings(), moved).data_path_addr == "10.1.0.77"


def test_the_choice_is_remembered(tmp_path: Path) -> None:
    state = joined("eth1", setting="eth0")
    save_state(tmp_path / "node.json", state)
    assert load_state(tmp_path / "node.json") == state


def test_an_address_that_cannot_be_had_now_stays_and_the_other_one_changes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "interface_addresses", list)
    state = replace(joined("eth1"), listen_setting="0.0.0.0:2377")
    now = moving.at_present(state, Settings(state_dir=tmp_path, advertise_addr="10.0.0.9"))
    assert (now.addr, now.data_path_addr) == ("10.0.0.9:2377", "10.1.0.5")
