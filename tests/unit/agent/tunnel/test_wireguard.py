"""What the kernel is told of tunnels, byte by byte as include/uapi/linux/wireguard.h has it."""

import struct
from ipaddress import ip_address
from socket import AF_INET, AF_INET6

from swarm.agent.network.netlink import NESTED, Reply, attribute, attributes, nested, parse_attributes
from swarm.agent.tunnel import wireguard
from swarm.agent.tunnel.plan import Device, KnownPeer, Peer, PeerChange

KEY, SHARED, OTHER = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
FAMILY = 0x1D
HEAD = bytes([1, 1, 0, 0])  # WG_CMD_SET_DEVICE, version 1
FIRST, SECOND = ip_address("192.0.2.2"), ip_address("2001:db8::2")


def test_the_own_key_and_port_are_set_by_name() -> None:
    request = wireguard.set_own(FAMILY, "swg-1", KEY, 4788)
    assert request.kind == FAMILY
    assert request.body[:4] == HEAD
    assert dict(parse_attributes(request.body[4:])) == {2: b"swg-1\0", 3: KEY, 6: struct.pack("=H", 4788)}


def test_a_peer_is_set_with_where_it_is_and_what_it_may_send_from() -> None:
    (request,) = wireguard.set_peers(FAMILY, "w", [PeerChange(KEY, Peer(FIRST, 4788, SHARED))])
    assert request.body == HEAD + (
        bytes.fromhex("0600 0200 7700 0000")  # WGDEVICE_A_IFNAME, padded
        + bytes.fromhex("9400 0880")  # WGDEVICE_A_PEERS, nested
        + bytes.fromhex("9000 0080")  # the first of them, nested
        + bytes.fromhex("2400 0100")
        + KEY
        + bytes.fromhex("2400 0200")
        + SHARED
        + bytes.fromhex("0800 0300 02000000")  # WGPEER_F_REPLACE_ALLOWEDIPS
        + bytes.fromhex("1400 0400 0200 12b4 c0000202 0000000000000000")  # sockaddr_in
        + bytes.fromhex("0600 0500 1900 0000")  # every 25 s, padded
        + bytes.fromhex("2000 0980 1c00 0080")  # WGPEER_A_ALLOWEDIPS, the first of them
        + bytes.fromhex("0600 0100 0200 0000 0800 0200 c0000202 0500 0300 20 000000")
    )


def test_an_address_of_six_is_a_longer_one() -> None:
    (request,) = wireguard.set_peers(FAMILY, "w", [PeerChange(KEY, Peer(SECOND, 4788, SHARED))])
    peers = dict(parse_attributes(request.body[4:]))[8]
    (told,) = (dict(parse_attributes(one)) for _, one in parse_attributes(peers))
    assert told[4] == struct.pack("=H", AF_INET6) + struct.pack("!HI16sI", 4788, 0, SECOND.packed, 0)
    (allowed,) = (dict(parse_attributes(one)) for _, one in parse_attributes(told[9]))
    assert allowed == {1: struct.pack("=H", AF_INET6), 2: SECOND.packed, 3: b"\x80"}


def test_a_peer_that_goes_is_named_and_nothing_else() -> None:
    (request,) = wireguard.set_peers(FAMILY, "w", [PeerChange(KEY, None)])
    peers = dict(parse_attributes(request.body[4:]))[8]
    (told,) = (dict(parse_attributes(one)) for _, one in parse_attributes(peers))
    assert told == {1: KEY, 3: struct.pack("=I", 1)}


def test_many_changes_are_several_messages_that_fit_into_a_socket() -> None:
    changes = [PeerChange(bytes([number]) * 32, Peer(FIRST, 1, SHARED)) for number in range(250)]
    requests = list(wireguard.set_peers(FAMILY, "w", changes))
    assert len(requests) == 3
    assert max(len(one.body) for one in requests) < 1 << 15


def reply(*peers: bytes, head: bytes = b"") -> Reply:
    body = bytes([0, 1, 0, 0]) + head + nested(8, *(attribute(NESTED, one) for one in peers))
    return Reply(FAMILY, body)


def allowed(address: str) -> bytes:
    value = ip_address(address)
    family = AF_INET if value.version == 4 else AF_INET6
    inner = {1: struct.pack("=H", family), 2: value.packed, 3: bytes([value.max_prefixlen])}
    return nested(9, nested(0, attributes(inner)))


def test_a_dump_of_several_messages_is_one_device() -> None:
    own = attributes({2: b"w\0", 3: b"\xaa" * 32, 6: struct.pack("=H", 4788)})
    times = struct.pack("=qq", 1_800_000_000, 500_000_000)
    first = attributes(
        {
            1: KEY,
            2: SHARED,
            4: struct.pack("=H", AF_INET) + struct.pack("!H4s8x", 4788, FIRST.packed),
            5: struct.pack("=H", 25),
            6: times,
            7: struct.pack("=Q", 50),
            8: struct.pack("=Q", 70),
        }
    )
    silent = attributes({1: OTHER, 2: bytes(32)})
    device = wireguard.parse(
        [
            reply(first + allowed("192.0.2.2"), head=own),
            reply(attribute(1, KEY) + allowed("192.0.2.3"), silent),
        ]
    )
    both = frozenset({FIRST, ip_address("192.0.2.3")})
    assert device == Device(
        b"\xaa" * 32,
        4788,
        {KEY: KnownPeer((FIRST, 4788), SHARED, both, 25, 1_800_000_000.5, 50, 70), OTHER: KnownPeer()},
    )


def test_a_link_is_asked_for_by_its_kind_in_another_namespace() -> None:
    body = wireguard.link("swg-1", 999, 1440, 7).body
    told = dict(parse_attributes(body[16:]))
    assert struct.unpack_from("=i", body, 4)[0] == 999
    assert (told[3], told[4], told[28]) == (b"swg-1\0", struct.pack("=I", 1440), struct.pack("=I", 7))
    assert dict(parse_attributes(told[18])) == {1: b"wireguard"}
