from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from swarm.agent.network import rules
from swarm.agent.network.base import PublishedPort
from swarm.agent.network.layout import Layout

LAYOUT = Layout(Path("/run/swarm"), IPv4Network("172.30.0.0/16"))
BOTH = Layout(LAYOUT.run_dir, LAYOUT.subnet, IPv6Network("fd00::/64"))
WEB, DNS = PublishedPort("tcp", 8080, 80), PublishedPort("udp", 5353, 53)
TASK = IPv4Address("172.30.0.16")


def test_setup_flushes_what_it_fills_so_that_it_may_be_repeated() -> None:
    lines = rules.setup(LAYOUT, [(WEB, TASK)]).splitlines()
    for name in ("prerouting", "output", "postrouting"):
        first_rule = next(
            i for i, line in enumerate(lines) if line.startswith(f"add rule ip {LAYOUT.table} {name}")
        )
        assert lines.index(f"flush chain ip {LAYOUT.table} {name}") < first_rule
    assert not any(line.startswith("delete") for line in lines)


def test_publishing_names_protocol_ports_and_task() -> None:
    assert rules.publish(LAYOUT, [WEB, DNS], TASK) == (
        f"add element ip {LAYOUT.table} published "
        "{ tcp . 8080 : 172.30.0.16 . 80, udp . 5353 : 172.30.0.16 . 53 }\n"
    )
    assert list(rules.withdraw(LAYOUT, WEB)) == [
        f"delete element ip {LAYOUT.table} published {{ tcp . 8080 }}\n"
    ]


def test_nothing_to_publish_is_no_script() -> None:
    assert rules.publish(LAYOUT, [], TASK) == ""
    assert "add element" not in rules.setup(LAYOUT, [])


def test_clients_of_both_families_are_led_to_a_task() -> None:
    lines = rules.publish(BOTH, [WEB], TASK).splitlines()
    assert lines == [
        f"add element ip {LAYOUT.table} published {{ tcp . 8080 : 172.30.0.16 . 80 }}",
        f"add element ip6 {LAYOUT.table} published {{ tcp . 8080 : fd00::ac1e:10 . 80 }}",
    ]
    assert len(list(rules.withdraw(BOTH, WEB))) == 2
    assert "ip6 saddr fd00::/64 masquerade" in rules.setup(BOTH, [])


def test_a_port_at_one_address_is_of_its_family_only() -> None:
    one = PublishedPort("tcp", 8080, 80, "2001:db8::4")
    assert rules.publish(BOTH, [one], TASK) == (
        f"add element ip6 {LAYOUT.table} published_at {{ 2001:db8::4 . tcp . 8080 : fd00::ac1e:10 . 80 }}\n"
    )
    assert rules.publish(LAYOUT, [one], TASK) == ""
    (withdrawn,) = rules.withdraw(BOTH, one)
    assert withdrawn == f"delete element ip6 {LAYOUT.table} published_at {{ 2001:db8::4 . tcp . 8080 }}\n"
