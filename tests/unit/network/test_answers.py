from ipaddress import ip_address, ip_network

from swarm.agent.network.answers import script


def test_datagrams_are_led_to_the_address_that_answers_and_answers_are_marked() -> None:
    text = script("eth2", 1004, {ip_address("10.0.1.9"): ip_address("172.30.0.16")})
    assert (
        'asked iifname "eth2" meta l4proto udp ip daddr 10.0.1.9 ct mark set 1004 dnat ip to 172.30.0.16\n'
    ) in text
    assert "answers ct direction reply ct mark 1004 meta mark set 1004\n" in text


def test_rules_made_twice_are_there_once() -> None:
    lines = script("eth2", 1004, {}).splitlines()
    assert lines[:3] == [f"{verb} table inet swarm_answers_eth2" for verb in ("add", "delete", "add")]


def test_neighbours_of_the_network_are_answered_as_they_ask() -> None:
    near = [ip_network("10.0.0.0/16"), ip_network("10.9.0.0/24"), ip_network("fd00::/64")]
    text = script("eth1", 1003, {ip_address("10.0.1.9"): ip_address("172.30.0.16")}, near)
    assert "udp ip saddr != 10.0.0.0/16 ip saddr != 10.9.0.0/24 ip daddr 10.0.1.9 ct mark" in text
