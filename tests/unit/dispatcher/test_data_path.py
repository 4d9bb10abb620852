"""Where nodes send what is for the containers of others."""

import pytest

from swarm.api.v1.objects_pb2 import Node
from swarm.manager.store.tables import copy_of
from tests.unit.dispatcher.test_overlay_news import (
    DOWN,
    World,
    a_cluster,
    a_network,
    a_node,
    an_encrypted_world,
)


def at(node_id: str, data_path: str = "", state: int = 0) -> Node:
    number = node_id[1:]
    node = a_node(node_id, f"10.0.0.{number}")
    node.description.data_path_addr = data_path
    node.status.state = state or node.status.state  # type: ignore[assignment]
    return node


def a_world(*nodes: Node) -> World:
    return World(a_cluster(), a_network(), *nodes, nodes=("n1", "n2", "n3"))


def seen(world: World, node_id: str = "n2", by: str = "n1") -> str:
    for one in world.known:
        world.hear(one)
    assert world.problems() == []
    return world.known[by].networks["shop"].peers[node_id].address


def test_a_node_is_sent_to_where_it_says_and_one_that_says_nothing_where_it_is_seen() -> None:
    world = a_world(at("n1"), at("n2", "198.51.100.2"), at("n3"))
    assert seen(world) == "198.51.100.2"
    assert seen(world, "n3") == "192.0.2.3"
    world.commit(at("n2", "fd00::2"))
    assert seen(world) == "fd00::2"
    world.commit(at("n2"))
    assert seen(world) == "192.0.2.2"


@pytest.mark.parametrize("claimed", ["localhost", "127.0.0.1", "224.0.0.1", "FD00::2", "fe80::1%eth0", "::"])
def test_what_no_node_would_say_of_itself_does_not_count(claimed: str) -> None:
    assert seen(a_world(at("n1"), at("n2", claimed), at("n3"))) == "192.0.2.2"


def test_nobody_takes_the_address_of_another_node() -> None:
    world = a_world(at("n1"), at("n2", "192.0.2.3"), at("n3"))
    assert seen(world) == "192.0.2.2"
    world.commit(at("n3", state=DOWN))  # it came back under another id, or is gone
    assert seen(world) == "192.0.2.3"
    world.commit(at("n3"))
    assert seen(world) == "192.0.2.2"


def test_of_two_that_say_the_same_none_is_believed_until_the_other_says_otherwise() -> None:
    world = a_world(at("n1"), at("n2", "198.51.100.2"), at("n3", "198.51.100.2"))
    assert (seen(world), seen(world, "n3")) == ("192.0.2.2", "192.0.2.3")
    world.commit(at("n3", "198.51.100.3"))
    assert (seen(world), seen(world, "n3")) == ("198.51.100.2", "198.51.100.3")
    world.remove(Node, "n3")
    assert seen(world) == "198.51.100.2"


def test_a_node_of_an_encrypted_network_has_that_address_in_the_tunnel() -> None:
    world = an_encrypted_world()
    node = copy_of(world.tables.nodes.get("n1"))
    node.description.data_path_addr = "198.51.100.1"
    world.commit(node)
    assert seen(world, "n1", by="n2") == "198.51.100.1"
    assert world.known["n1"].networks["shop"].network.node_address == "198.51.100.1"
