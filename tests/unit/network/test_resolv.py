from swarm.agent.network.resolv import for_tasks

GATEWAY = "172.30.0.1"


def test_servers_of_the_node_are_the_servers_of_its_tasks() -> None:
    text = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\noptions ndots:2\n"
    assert for_tasks(f"# comment\n{text}", "", GATEWAY) == (text, "")


def test_loopback_servers_are_left_out_when_there_are_others() -> None:
    assert for_tasks("nameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.1\n", "", GATEWAY) == (
        "nameserver 192.0.2.1\n",
        "",
    )


def test_the_servers_behind_systemd_resolved_are_used_instead_of_its_stub() -> None:
    assert for_tasks("nameserver 127.0.0.53\nsearch x\n", "nameserver 192.0.2.9\n", GATEWAY) == (
        "nameserver 192.0.2.9\nsearch x\n",
        "",
    )


def test_a_server_that_only_the_node_reaches_is_asked_through_the_node() -> None:
    assert for_tasks("nameserver ::1\nnameserver 127.0.0.7\n", "nameserver 127.0.0.53\n", GATEWAY) == (
        "nameserver 172.30.0.1\n",
        "127.0.0.7",
    )


def test_a_node_without_servers_has_tasks_without_servers() -> None:
    assert for_tasks("", "", GATEWAY) == ("", "")
    assert for_tasks("nameserver\ngarbage here\nnameserver ::1\n", "", GATEWAY) == ("", "")
