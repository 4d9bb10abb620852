"""Containers of no service get addresses that nobody else has, once, whatever comes twice or late."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Attachment
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotPermitted
from swarm.manager.allocator.attachments import attachments_of, settle_attachments
from swarm.manager.allocator.nodes import is_joined
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.transaction import Transaction
from tests.unit.allocator.making import a_network, a_node


@pytest.fixture
def store() -> Transaction:
    tables = Tables()
    for name, subnet in (("shop", "10.0.0.0/24"), ("small", "10.9.0.0/29")):
        network = a_network(name, subnet)
        network.spec.attachable = True
        tables.networks.put(network)
    tables.networks.put(a_network("closed", "10.5.0.0/24"))
    tables.networks.put(a_network("local", driver="bridge"))
    for node_id in ("n1", "n2"):
        node = a_node(node_id)
        node.description.runtime_info["network_drivers"] = "overlay,bridge"
        tables.nodes.put(node)
    return Transaction(tables, Timestamp())


def said(container_id: str, *networks: str, generation: int = 1, **fields: object) -> Attachment:
    attachment = Attachment(id=container_id, name=container_id, generation=generation, **fields)  # type: ignore[arg-type]
    for text in networks:
        name, _, address = text.partition("=")
        attachment.wanted.add(network_name=name, ipv4_address=address)
    return attachment


def settle(store: Transaction, *given: Attachment, node_id: str = "n1") -> dict[str, list[str]]:
    settle_attachments(store, node_id, given, ())
    return {
        one.id: [address for held in one.networks for address in held.addresses] for one in store.attachments
    }


def test_every_container_and_its_node_get_an_address_and_keep_it(store: Transaction) -> None:
    first = settle(store, said("a", "shop"), said("b", "shop"))
    assert len({*first["a"], *first["b"]}) == 2
    node = store.nodes.get("n1")
    assert node is not None
    assert [one.network_id for one in node.networks] == ["id-shop"]
    assert is_joined(store, node)
    assert not {*node.networks[0].addresses} & {*first["a"], *first["b"]}
    after = settle(store, said("a", "shop", generation=2, serving=True))
    assert after == first
    assert store.attachments.get("a").serving  # type: ignore[union-attr]


def test_a_word_that_comes_late_changes_nothing(store: Transaction) -> None:
    settle(store, said("a", "shop", "small", generation=5))
    settle(store, said("a", "shop", generation=4))
    assert len(store.attachments.get("a").networks) == 2  # type: ignore[union-attr]


def test_an_address_is_given_once_and_free_again_with_its_container(store: Transaction) -> None:
    settle(store, said("a", "shop=10.0.0.9"))
    with pytest.raises(
        FailedPrecondition, match=r"10\.0\.0\.9 of network shop is still that of container a"
    ):
        settle(store, said("b", "shop=10.0.0.9"), node_id="n2")
    settle_attachments(store, "n2", (), ["a"])  # it is not that node's to remove
    assert store.attachments.get("a") is not None
    settle_attachments(store, "n1", (), ["a", "never-was"])
    assert settle(store, said("b", "shop=10.0.0.9"), node_id="n2")["b"] == ["10.0.0.9"]


def test_a_change_of_networks_keeps_what_stays(store: Transaction) -> None:
    before = settle(store, said("a", "shop"))["a"]
    after = settle(store, said("a", "small", "shop", generation=2))["a"]
    assert set(before) < set(after)
    moved = settle(store, said("a", "shop=10.0.0.200", generation=3))["a"]
    assert moved == ["10.0.0.200"]


def test_in_a_network_of_each_node_the_cluster_gives_no_address(store: Transaction) -> None:
    assert settle(store, said("a", "local")) == {"a": []}
    (wanted,) = store.attachments.get("a").wanted  # type: ignore[union-attr]
    assert (wanted.driver, wanted.HasField("local")) == ("bridge", True)


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        (said("a", "closed"), FailedPrecondition, "network closed is not attachable"),
        (said("a", "nowhere"), NotFound, "there is no network nowhere"),
        (said("a", "shop=10.1.0.1"), FailedPrecondition, "not in network shop"),
        (said("a", "shop", "id-shop"), InvalidArgument, "named twice"),
        (said("a", "local=10.0.0.3"), FailedPrecondition, "which has no subnet"),
        (said("a" * 200, "shop"), InvalidArgument, "name"),
    ],
)
def test_what_cannot_be_is_refused(
    store: Transaction, given: Attachment, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        settle(store, given)


def test_a_network_that_is_full_says_so(store: Transaction) -> None:
    for number in range(4):  # of 6 addresses the gateway has one and the node one
        settle(store, said(f"c{number}", "small"))
    with pytest.raises(FailedPrecondition, match="network small has no free address left"):
        settle(store, said("last", "small"))


def test_a_node_speaks_of_its_own_containers_only(store: Transaction) -> None:
    settle(store, said("a", "shop"))
    with pytest.raises(NotPermitted, match="one of node n1"):
        settle(store, said("a", "shop", generation=9), node_id="n2")
    with pytest.raises(NotFound):
        settle(store, said("b", "shop"), node_id="gone")


def test_a_node_that_cannot_do_the_network_is_refused_with_the_reason(store: Transaction) -> None:
    node = copy_of(store.nodes.get("n2"))  # type: ignore[type-var]
    node.description.runtime_info["network_drivers"] = "bridge"  # type: ignore[union-attr]
    store.update(node)  # type: ignore[type-var]
    with pytest.raises(FailedPrecondition, match="node n2 cannot do overlay networks"):
        settle(store, said("a", "shop"), node_id="n2")


def test_a_node_is_told_of_all_that_it_has(store: Transaction) -> None:
    settle(store, said("a", "shop"), said("b", "shop"))
    settle(store, said("c", "shop"), node_id="n2")
    told = {one.id: len(one.networks) for one in attachments_of(store, "n1", [said("a")])}
    assert told == {"a": 1, "b": 0}
