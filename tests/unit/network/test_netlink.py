import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.network import netlink
from swarm.agent.network.netlink import Netlink, Request, attribute, nested, parse_attributes
from swarm.model.hardware_addresses import mac_of

LINK, DONE, MULTI, INTERRUPTED = 16, 3, 0x2, 0x10


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40))))
def test_attributes_are_read_as_they_were_written(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(number, value) for number, value in pairs)
    assert list(parse_attributes(data)) == pairs


def test_nested_attributes_keep_their_number() -> None:
    ((number, inner),) = parse_attributes(nested(7, attribute(1, b"one"), attribute(2, b"two!")))
    assert number == 7
    assert dict(parse_attributes(inner)) == {1: b"one", 2: b"two!"}


@given(st.binary(max_size=64))
def test_garbage_ends_instead_of_looping(data: bytes) -> None:
    list(parse_attributes(data))


def test_a_hardware_address_is_locally_administered_and_unicast() -> None:
    assert mac_of(IPv4Address("172.30.1.2")) == "02:42:ac:1e:01:02"


class Kernel:
    """Lists one object, and says of the first `interrupted` lists that something changed meanwhile."""

    def __init__(self, interrupted: int) -> None:
        self.asked = 0
        self._interrupted = interrupted

    def __getattr__(self, name: str) -> object:
        return lambda *_: None

    def send(self, _: bytes) -> None:
        self.asked += 1

    def recv(self, _: int) -> bytes:
        flags = MULTI | (INTERRUPTED if self.asked <= self._interrupted else 0)
        sequence, said = self.asked, struct.pack("=i", self.asked)
        return struct.pack("=IHHII", 20, LINK, flags, sequence, 0) + said + message(DONE, sequence)


def message(kind: int, sequence: int) -> bytes:
    return struct.pack("=IHHIIi", 20, kind, MULTI, sequence, 0, 0)


@pytest.mark.parametrize(("interrupted", "asked"), [(0, 1), (3, 4), (1000, 10)])
def test_a_list_that_changed_while_it_was_told_is_asked_for_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, interrupted: int, asked: int
) -> None:
    kernel = Kernel(interrupted)
    monkeypatch.setattr(netlink.socket, "socket", lambda *_: kernel)
    (reply,) = Netlink().dump(Request(18, 0, b"", "list interfaces"))
    assert kernel.asked == asked
    assert reply.payload == struct.pack("=i", asked)
