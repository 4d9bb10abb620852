"""Questions and answers as they are on the wire."""

from ipaddress import IPv4Address

from swarm.agent.overlay import echo

OWN = bytes.fromhex("02420a000001")
FAR = IPv4Address("10.0.0.2")


def test_a_question_is_one_of_a_host_without_an_address() -> None:
    data = echo.request(OWN, FAR)
    assert data.hex() == "0001080006040001" + OWN.hex() + "00000000" + 12 * "0" + "0a000002"


def test_only_an_answer_is_one() -> None:
    answer = bytes.fromhex("000108000604000202420a0000020a00000202420a00000100000000")
    assert echo.answerer(answer) == FAR
    assert echo.answerer(answer + bytes(18)) == FAR, "short frames are filled up"
    assert echo.answerer(echo.request(OWN, FAR)) is None
    assert echo.answerer(answer[:-1]) is None
