from ipaddress import IPv4Address

from swarm.agent.network import access
from swarm.agent.network.journal import Access, Grant, Ledger

HERE = IPv4Address("172.30.0.16")


def test_tasks_of_earlier_lives_are_in_the_rules_from_the_beginning() -> None:
    ledger = Ledger({"t1": Grant(HERE, access=Access.CLOSED), "t2": Grant(IPv4Address("172.30.0.17"))})
    script = access.setup(ledger)
    assert "add element ip swarm_access closed { 172.30.0.16 }" in script
    assert "172.30.0.17" not in script


def test_nothing_holds_for_a_task_in_the_network_of_the_node() -> None:
    assert access.admit(Access.OPEN, HERE) == ""
    assert access.forget(Access.OPEN, HERE) == ""


def test_a_task_that_is_gone_can_be_forgotten_twice() -> None:
    assert access.forget(Access.OUTSIDE, HERE).splitlines() == [
        "add element ip swarm_access outside { 172.30.0.16 }",
        "delete element ip swarm_access outside { 172.30.0.16 }",
    ]
