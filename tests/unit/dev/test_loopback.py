from ipaddress import IPv4Network

from swarm.dev.loopback import parse

LISTENING = "0: 0100407F:0949 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1"


def test_a_listener_takes_its_network() -> None:
    assert parse([LISTENING]) == [IPv4Network("127.64.0.0/24")]


def test_connections_and_other_addresses_take_nothing() -> None:
    assert parse([LISTENING.replace(" 0A ", " 01 "), LISTENING.replace("0100407F", "00000000")]) == []
