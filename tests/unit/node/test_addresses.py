"""Which address is advertised, and what is said when it cannot be told."""

from pathlib import Path

import pytest

from swarm.errors import InvalidArgument
from swarm.node.addresses import (
    InterfaceAddress,
    check_known,
    choose_advertise,
    choose_listen,
    interface_addresses,
    local_address_towards,
)

LO = InterfaceAddress("lo", "127.0.0.1")
ETH = InterfaceAddress("eth0", "10.0.0.5")
ETH_ALIAS = InterfaceAddress("eth0", "10.0.0.6")
WLAN = InterfaceAddress("wlan0", "192.168.1.2")
ANY = "0.0.0.0:2377"
ETH_V6 = InterfaceAddress("eth0", "fd00::5")
TUN_V6 = InterfaceAddress("tun0", "fd00::6")


def test_the_only_address_is_taken() -> None:
    assert choose_advertise("", ANY, [LO, ETH]) == "10.0.0.5:2377"


def test_an_address_of_ipv6_is_taken_where_there_is_none_of_ipv4() -> None:
    assert choose_advertise("", ANY, [LO, ETH_V6]) == "[fd00::5]:2377"
    assert choose_advertise("", "[::]:2377", [LO, ETH_V6, ETH]) == "10.0.0.5:2377"
    assert choose_advertise("", "[fd00::7]:99", [LO, ETH]) == "[fd00::7]:99"


def test_several_addresses_are_listed_for_choosing() -> None:
    with pytest.raises(
        InvalidArgument, match=r"10\.0\.0\.5 on eth0, 192\.168\.1\.2 on wlan0.*--advertise-addr"
    ):
        choose_advertise("", ANY, [LO, ETH, WLAN])


def test_a_machine_without_network_is_told_so() -> None:
    with pytest.raises(InvalidArgument, match="no address"):
        choose_advertise("", ANY, [LO, InterfaceAddress("eth0", "169.254.3.4")])


def test_an_address_that_is_listened_on_needs_no_choice() -> None:
    assert choose_advertise("", "127.1.2.3:4000", [LO, ETH, WLAN]) == "127.1.2.3:4000"


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ("1.2.3.4", "1.2.3.4:2377"),
        ("1.2.3.4:99", "1.2.3.4:99"),
        ("wlan0", "192.168.1.2:2377"),
        ("wlan0:99", "192.168.1.2:99"),
        ("manager.example", "manager.example:2377"),
        ("fd00::9", "[fd00::9]:2377"),
        ("[fd00::9]", "[fd00::9]:2377"),
        ("[fd00::9]:99", "[fd00::9]:99"),
        ("tun0:99", "[fd00::6]:99"),
    ],
)
def test_what_was_given_counts(given: str, result: str) -> None:
    assert choose_advertise(given, ANY, [LO, ETH, ETH_V6, WLAN, TUN_V6]) == result


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("eth0", "several addresses"),
        ("dummy0", "interface dummy0 has no address now"),
        ("0.0.0.0", "not an address"),
        ("[::]:2377", "not an address"),
        ("a:b", "HOST:PORT"),
        ("a:1:2", "HOST:PORT"),
        ("[fd00::9", "HOST:PORT"),
        ("fd00::9]:1", "HOST:PORT"),
    ],
)
def test_what_cannot_be_used_is_refused(given: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=hint):
        choose_advertise(given, ANY, [LO, ETH, ETH_ALIAS], {"dummy0"})


def test_a_listen_address_gets_the_usual_port() -> None:
    assert choose_listen("", ANY) == ANY
    assert choose_listen("127.0.0.9", ANY) == "127.0.0.9:2377"
    assert choose_listen("127.0.0.9:1", ANY) == "127.0.0.9:1"
    assert choose_listen("::", ANY) == "[::]:2377"
    assert choose_listen("eth0:99", ANY, [LO, ETH]) == "10.0.0.5:99"


def test_the_machine_has_a_loopback_address() -> None:
    assert LO in interface_addresses()


async def test_the_way_to_another_machine_tells_the_own_address() -> None:
    assert await local_address_towards("127.0.0.1:2377", ANY) == "127.0.0.1"
    assert await local_address_towards("[::1]:2377", ANY) == "::1"
    assert await local_address_towards("127.0.0.1", "127.0.0.9:2377") == ""
    assert await local_address_towards("no-such-host.invalid", ANY) == ""


def test_ipv6_addresses_that_others_could_reach_are_those_of_the_machine_too(tmp_path: Path) -> None:
    file = tmp_path / "if_inet6"
    file.write_text(
        "fe80000000000000000000000000000a 02 40 20 80     eth1\n"
        "fd000001000000000000000000000005 02 40 00 80     eth1\n"
        "00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    found = interface_addresses(file)
    assert InterfaceAddress("eth1", "fd00:1::5") in found
    assert {one.address for one in found if ":" in one.address} == {"fd00:1::5"}
    assert InterfaceAddress("lo", "127.0.0.1") in interface_addresses(tmp_path / "none")


@pytest.mark.parametrize("addr", ["10.0.0.5:2377", "[fd00::5]:2377", "localhost:2377"])
async def test_addresses_and_names_that_lead_to_one_may_be_advertised(addr: str) -> None:
    await check_known(addr)


async def test_a_name_that_leads_nowhere_is_no_address_to_advertise() -> None:
    with pytest.raises(InvalidArgument, match="eht0 is neither an interface of this machine nor a name"):
        await check_known("eht0:2377")
