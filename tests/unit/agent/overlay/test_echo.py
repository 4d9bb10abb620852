"""Questions and answers as they are on the wire."""

from ipaddress import IPv4Address, IPv6Address

from swarm.agent.overlay import echo

OWN = bytes.fromhex("02420a000001")
FAR = IPv4Address("10.0.0.2")
OWN6, FAR6 = IPv6Address("fd00::1"), IPv6Address("fd00::2")


def test_a_question_is_one_of_a_host_without_an_address() -> None:
    data = echo.request(OWN, FAR)
    assert data.hex() == "0001080006040001" + OWN.hex() + "00000000" + 12 * "0" + "0a000002"


def test_only_an_answer_is_one() -> None:
    answer = bytes.fromhex("000108000604000202420a0000020a00000202420a00000100000000")
    assert echo.answerer(answer) == FAR
    assert echo.answerer(answer + bytes(18)) == FAR, "short frames are filled up"
    assert echo.answerer(echo.request(OWN, FAR)) is None
    assert echo.answerer(answer[:-1]) is None


def test_a_question_in_ipv6_is_a_packet_with_a_checksum_that_fits() -> None:
    data = echo.solicitation(OWN, OWN6, FAR6)
    header, message = data[:40], data[40:]
    assert header.hex() == "60000000" + "0020" + "3aff" + OWN6.packed.hex() + FAR6.packed.hex()
    assert message[:2] + message[4:] == bytes.fromhex("8700" + 8 * "0") + FAR6.packed + b"\x01\x01" + OWN
    covered = OWN6.packed + FAR6.packed + bytes.fromhex("000000200000003a") + message
    words = sum(int.from_bytes(covered[at : at + 2]) for at in range(0, len(covered), 2))
    assert words % 0xFFFF == 0


def test_only_an_advertisement_is_an_answer_in_ipv6() -> None:
    answer = bytes.fromhex("8800123460000000") + FAR6.packed + b"\x02\x01" + OWN
    assert echo.advertiser(answer) == FAR6
    assert echo.advertiser(echo.solicitation(OWN, OWN6, FAR6)[40:]) is None
    assert echo.advertiser(answer[:20]) is None
