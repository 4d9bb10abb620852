from swarm.api.v1.objects_pb2 import Cluster, Network
from swarm.clock import SECOND
from swarm.model.overlay_keys import SECRET_BYTES, due_ns, next_key, shared_key

HOUR_NS = 3600 * SECOND


def a_network(*, encrypted: bool = True, driver: str = "") -> Network:
    network = Network()
    network.spec.driver = driver
    if encrypted:
        network.spec.driver_options["encrypted"] = ""
    return network


def a_cluster(at_ns: int = 0) -> Cluster:
    cluster = Cluster()
    cluster.overlay_key.CopyFrom(next_key(cluster, b"s" * SECRET_BYTES, at_ns))
    return cluster


def test_a_cluster_without_encrypted_networks_needs_no_key() -> None:
    assert due_ns(Cluster(), [a_network(encrypted=False), a_network(driver="bridge")]) is None


def test_the_first_encrypted_network_needs_a_key_at_once() -> None:
    assert due_ns(Cluster(), [a_network()]) == 0


def test_a_key_lasts_twelve_hours_or_as_long_as_people_say() -> None:
    cluster = a_cluster(HOUR_NS)
    assert due_ns(cluster, [a_network()]) == 13 * HOUR_NS
    cluster.spec.overlay_key_period_ns = HOUR_NS
    assert due_ns(cluster, [a_network()]) == 2 * HOUR_NS


def test_people_may_ask_for_another_key_and_get_it_once() -> None:
    cluster = a_cluster()
    cluster.spec.overlay_key_rotation += 1
    assert due_ns(cluster, [a_network()]) == 0
    cluster.overlay_key.CopyFrom(next_key(cluster, b"t" * SECRET_BYTES, HOUR_NS))
    assert cluster.overlay_key.version == 2
    assert due_ns(cluster, [a_network()]) == 13 * HOUR_NS


def test_what_two_nodes_share_depends_on_both_and_on_the_key_and_not_on_their_order() -> None:
    one, other = a_cluster(), a_cluster()
    other.overlay_key.secret = b"t" * SECRET_BYTES
    found = {
        shared_key(one, "a", "b"),
        shared_key(one, "b", "a"),
        shared_key(one, "a", "c"),
        shared_key(other, "a", "b"),
        shared_key(one, "ab", ""),
    }
    assert len(found) == 4
    assert {len(key) for key in found} == {SECRET_BYTES}


def test_without_a_key_nothing_is_shared() -> None:
    assert shared_key(None, "a", "b") == shared_key(Cluster(), "a", "b") == b""
