from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from swarm.agent.network import access
from swarm.agent.network.journal import Access, Grant, Ledger
from swarm.agent.network.layout import Layout

LAYOUT = Layout(Path("/run/swarm"), IPv4Network("172.30.0.0/16"))
BOTH = Layout(LAYOUT.run_dir, LAYOUT.subnet, IPv6Network("fd00::/64"))
HERE = IPv4Address("172.30.0.16")


def test_tasks_of_earlier_lives_are_in_the_rules_from_the_beginning() -> None:
    ledger = Ledger({"t1": Grant(HERE, access=Access.CLOSED), "t2": Grant(IPv4Address("172.30.0.17"))})
    script = access.setup(LAYOUT, ledger)
    assert "add element ip swarm_access closed { 172.30.0.16 }" in script
    assert "172.30.0.17" not in script


def test_nothing_holds_for_a_task_in_the_network_of_the_node() -> None:
    assert access.admit(LAYOUT, Access.OPEN, HERE) == ""
    assert access.forget(LAYOUT, Access.OPEN, HERE) == ""


def test_a_task_that_is_gone_can_be_forgotten_twice() -> None:
    assert access.forget(LAYOUT, Access.OUTSIDE, HERE).splitlines() == [
        "add element ip swarm_access outside { 172.30.0.16 }",
        "delete element ip swarm_access outside { 172.30.0.16 }",
    ]


def test_what_holds_for_a_task_holds_for_both_of_its_addresses() -> None:
    assert access.admit(BOTH, Access.CLOSED, HERE).splitlines() == [
        "add element ip swarm_access closed { 172.30.0.16 }",
        "add element ip6 swarm_access closed { fd00::ac1e:10 }",
    ]
    script = access.setup(BOTH, Ledger({"t1": Grant(HERE, access=Access.OUTSIDE)}))
    assert "add element ip6 swarm_access outside { fd00::ac1e:10 }" in script
    assert "reject with icmpv6 type admin-prohibited" in script
