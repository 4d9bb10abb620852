from ipaddress import ip_address

import pytest

from swarm.agent.tunnel import uapi
from swarm.agent.tunnel.plan import Device, KnownPeer, Peer, PeerChange

KEY, SHARED = b"\x01" * 32, b"\x02" * 32
REPLY = f"""private_key={"aa" * 32}
listen_port=4788
public_key={"01" * 32}
preshared_key={"02" * 32}
protocol_version=1
endpoint=192.0.2.2:4788
last_handshake_time_sec=1800000000
last_handshake_time_nsec=500000000
tx_bytes=70
rx_bytes=50
persistent_keepalive_interval=25
allowed_ip=192.0.2.2/32
public_key={"03" * 32}
preshared_key={"00" * 32}
endpoint=[2001:db8::2]:5000
allowed_ip=2001:db8::2/128
errno=0

"""


def test_a_reply_is_read_entry_by_entry() -> None:
    first, second = ip_address("192.0.2.2"), ip_address("2001:db8::2")
    assert uapi.parse(REPLY) == Device(
        b"\xaa" * 32,
        4788,
        {
            KEY: KnownPeer((first, 4788), SHARED, frozenset({first}), 25, 1_800_000_000.5, 50, 70),
            b"\x03" * 32: KnownPeer((second, 5000), b"", frozenset({second})),
        },
    )


@pytest.mark.parametrize("reply", ["", "errno=22\n\n", "public_key=01\n"])
def test_a_reply_that_is_none_is_an_error(reply: str) -> None:
    with pytest.raises(ValueError, match="answers with error"):
        uapi.parse(reply)


def test_changes_are_said_so_that_nothing_of_a_peer_stays_by_accident() -> None:
    peer = Peer(ip_address("2001:db8::2"), 4788, SHARED)
    said = uapi.set_peers([PeerChange(b"\x03" * 32, None), PeerChange(KEY, peer)])
    assert said.decode().splitlines() == [
        "set=1",
        f"public_key={'03' * 32}",
        "remove=true",
        f"public_key={'01' * 32}",
        f"preshared_key={'02' * 32}",
        "endpoint=[2001:db8::2]:4788",
        "replace_allowed_ips=true",
        "allowed_ip=2001:db8::2/128",
        "persistent_keepalive_interval=25",
        "",
    ]
    assert said.endswith(b"\n\n")


def test_a_peer_that_stays_where_it_is_is_not_sent_elsewhere() -> None:
    peer = Peer(ip_address("192.0.2.2"), 4788, SHARED)
    assert b"endpoint" not in uapi.set_peers([PeerChange(KEY, peer, redirect=False)])


def test_a_refusal_is_told_from_consent_and_from_silence() -> None:
    assert (uapi.refusal("errno=0\n\n"), uapi.refusal("errno=-98\n\n"), uapi.refusal("")) == (0, -98, 5)
