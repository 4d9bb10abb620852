from swarm.agent.network.resolv import for_tasks, with_ndots

NODE = "# comment\nnameserver 192.0.2.1\nnameserver ::1\nsearch a.example b.example\noptions rotate\n"


def test_tasks_ask_one_name_server_with_the_domains_and_options_of_the_node() -> None:
    assert for_tasks(NODE, "169.254.1.1", in_networks=False) == (
        "nameserver 169.254.1.1\nsearch a.example b.example\noptions rotate\n"
    )


def test_short_names_are_asked_for_as_they_are_first_in_networks() -> None:
    assert for_tasks(NODE, "169.254.1.1", in_networks=True).endswith("options rotate\noptions ndots:0\n")


def test_what_the_node_says_about_dots_holds_in_networks_too() -> None:
    text = for_tasks("options ndots:2 rotate\n", "169.254.1.1", in_networks=True)
    assert text == "nameserver 169.254.1.1\noptions ndots:2 rotate\n"


def test_options_of_a_service_replace_those_of_the_node_but_not_this() -> None:
    assert with_ndots(("rotate",)) == ("rotate", "ndots:0")
    assert with_ndots(("ndots:3",)) == ("ndots:3",)
    assert with_ndots(()) == ()


def test_a_node_without_anything_has_tasks_with_a_name_server() -> None:
    assert for_tasks("garbage here\n\n", "169.254.1.1", in_networks=False) == "nameserver 169.254.1.1\n"
