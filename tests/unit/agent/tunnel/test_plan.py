from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.overlay.state import NetworkState
from swarm.agent.tunnel.plan import (
    KEEPALIVE_S,
    Device,
    KnownPeer,
    Peer,
    PeerChange,
    Tunnel,
    after,
    counters,
    differences,
    mtu_of,
    tunnel_of,
)
from swarm.api.v1.overlay_pb2 import OverlayNetwork, OverlayPeer

NOW_S = 1_800_000_000.0
KEY, OTHER, SHARED = b"k" * 32, b"o" * 32, b"s" * 32
THERE = ip_address("192.0.2.2")
PEER = Peer(THERE, 4788, SHARED)
KNOWN = KnownPeer((THERE, 4788), SHARED, frozenset({THERE}), KEEPALIVE_S, handshake_s=NOW_S - 60)


def network(
    name: str, *peers: OverlayPeer, encrypted: bool = True, address: str = "192.0.2.1"
) -> NetworkState:
    told = OverlayNetwork(id=name, encrypted=encrypted, node_address=address)
    return NetworkState(told, {one.node_id: one for one in peers})


def peer(
    node: str = "n2", address: str = "192.0.2.2", key: bytes = KEY, shared: bytes = SHARED
) -> OverlayPeer:
    return OverlayPeer(node_id=node, address=address, tunnel_key=key, preshared_key=shared)


def wanted(**peers: Peer) -> Tunnel:
    return Tunnel(
        (ip_address("192.0.2.1"),), 4788, {name[0].encode() * 32: one for name, one in peers.items()}
    )


def test_without_an_encrypted_network_there_is_no_tunnel() -> None:
    assert tunnel_of([network("plain", peer(), encrypted=False)]) is None


def test_a_node_of_several_networks_is_one_peer_and_those_of_plain_ones_are_none() -> None:
    states = [
        network("a", peer()),
        network("b", peer(shared=b""), peer("n3", "192.0.2.3", OTHER)),
        network("c", peer("n4", "192.0.2.4", b"p" * 32), encrypted=False),
    ]
    found = tunnel_of(states)
    assert found is not None
    assert found.peers == {KEY: PEER, OTHER: Peer(ip_address("192.0.2.3"), 4788, SHARED)}
    assert (found.addresses, found.port, found.towards) == ((ip_address("192.0.2.1"),), 4788, THERE)


def test_a_node_without_a_key_and_one_with_half_a_key_are_left_out() -> None:
    found = tunnel_of([network("a", peer(key=b""), peer("n3", "192.0.2.3", b"short"))])
    assert found is not None
    assert not found.peers


def test_one_address_is_one_node_and_never_this_one() -> None:
    twice = [peer("n2"), peer("n3", key=OTHER), peer("n4", "192.0.2.1", b"p" * 32)]
    found = tunnel_of([network("a", *twice)])
    assert found is not None
    assert found.peers == {KEY: PEER}


def test_nothing_is_made_of_a_network_without_the_own_address() -> None:
    with pytest.raises(ValueError, match="which address this node has"):
        tunnel_of([network("a", peer(), address="")])


def test_a_node_whose_shared_key_is_not_known_is_not_made_and_stays_where_it_is() -> None:
    unknown = replace(PEER, shared=b"")
    assert differences(Device(), wanted(k=unknown), NOW_S) == ()
    assert differences(Device(peers={KEY: KNOWN}), wanted(k=unknown), NOW_S) == ()


def test_who_is_not_wanted_any_more_is_removed_before_others_are_made() -> None:
    changes = differences(Device(peers={OTHER: KNOWN}), wanted(k=PEER), NOW_S)
    assert changes == (PeerChange(OTHER, None), PeerChange(KEY, PEER))


def test_a_new_shared_key_does_not_touch_where_the_node_is() -> None:
    roamed = replace(KNOWN, endpoint=(ip_address("198.51.100.7"), 4000))
    renewed = replace(PEER, shared=b"n" * 32)
    (change,) = differences(Device(peers={KEY: roamed}), wanted(k=renewed), NOW_S)
    assert change == PeerChange(KEY, renewed, redirect=False)
    assert after(Device(peers={KEY: roamed}), [change]).peers[KEY].endpoint == roamed.endpoint


def test_a_node_that_answers_from_elsewhere_is_believed_until_it_is_silent() -> None:
    roamed = replace(KNOWN, endpoint=(ip_address("198.51.100.7"), 4000))
    assert differences(Device(peers={KEY: roamed}), wanted(k=PEER), NOW_S) == ()
    (change,) = differences(Device(peers={KEY: roamed}), wanted(k=PEER), NOW_S + 181)
    assert change == PeerChange(KEY, PEER, redirect=True)


def test_a_node_that_moved_is_looked_for_at_its_new_address_at_once() -> None:
    moved = replace(PEER, address=ip_address("192.0.2.9"))
    assert differences(Device(peers={KEY: KNOWN}), wanted(k=moved), NOW_S) == (PeerChange(KEY, moved),)


ADDRESSES = st.sampled_from([ip_address(f"192.0.2.{number}") for number in range(2, 8)])
PEERS = st.dictionaries(
    st.sampled_from([bytes([number]) * 32 for number in range(6)]),
    st.builds(Peer, ADDRESSES, st.sampled_from([4788, 5000]), st.sampled_from([b"a" * 32, b"b" * 32])),
)


@given(PEERS, PEERS)
def test_carrying_out_the_differences_leaves_none(
    before: dict[bytes, Peer], later: dict[bytes, Peer]
) -> None:
    own = (ip_address("192.0.2.1"),)
    device = after(Device(), differences(Device(), Tunnel(own, 4788, before), NOW_S))
    assert device.peers.keys() == before.keys()
    device = after(device, differences(device, Tunnel(own, 4788, later), NOW_S))
    assert differences(device, Tunnel(own, 4788, later), NOW_S) == ()
    assert {key: one.shared for key, one in device.peers.items()} == {
        key: one.shared for key, one in later.items()
    }


def test_packets_in_the_tunnel_are_as_much_smaller_as_its_headers_are_large() -> None:
    assert (mtu_of(1500, 4), mtu_of(1500, 6), mtu_of(9000, 4), mtu_of(1300, 4)) == (1440, 1420, 8940, 1280)


def test_a_node_that_did_not_answer_for_three_minutes_is_stale() -> None:
    silent = replace(KNOWN, handshake_s=0.0, sent_bytes=7)
    counted = counters(Device(peers={KEY: replace(KNOWN, received_bytes=5), OTHER: silent}), NOW_S)
    assert counted == {
        "peers": 2,
        "stale_peers": 1,
        "received_bytes": 5,
        "sent_bytes": 7,
        "last_handshake_seconds": NOW_S - 60,
    }


def test_no_key_is_shown_by_accident() -> None:
    said = repr((PEER, KNOWN, Device(private=b"p" * 32)))
    assert "sss" not in said
    assert "ppp" not in said
