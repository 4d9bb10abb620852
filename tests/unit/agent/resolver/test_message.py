"""Messages: understood as an independent library does, and never a reason to stumble."""

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.agent.resolver.message import (
    FORMAT_ERROR,
    NOT_IMPLEMENTED,
    PLAIN_LIMIT,
    REFUSED,
    UDP_LIMIT,
    A,
    address_record,
    encode_name,
    is_answer_to,
    parse,
    pointer_record,
    respond,
    with_id,
)

WEB = bytes.fromhex("123401000001000000000000") + b"\x03web\0\0\x01\0\x01"
LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=5)


@given(LABELS, st.integers(0, 65535), st.integers(0, 65535), st.booleans())
def test_a_question_is_read_as_another_library_writes_it(
    labels: list[bytes], number: int, kind: int, edns: bool
) -> None:
    name = dns.name.Name([*labels, b""]) if sum(map(len, labels)) + len(labels) < 254 else dns.name.root
    message = dns.message.make_query(name, kind, use_edns=0 if edns else False, payload=4096)
    message.id = number
    question = parse(message.to_wire())
    assert question is not None
    assert (question.id, question.kind, question.edns, question.problem) == (number, kind, edns, 0)
    assert question.limit == (UDP_LIMIT if edns else PLAIN_LIMIT)
    plain = b".".join(label.replace(b".", b"\\.") for label in name.labels[:-1])
    assert question.name == plain.lower().decode("latin-1")
    answer = dns.message.from_wire(respond(question))
    assert answer.question == message.question
    assert message.is_response(answer)


DAMAGED = [
    b"",
    b"\0" * 11,
    WEB[:12],  # a question is promised and none there
    WEB[:-1],
    WEB[:-5],
    WEB[:12] + b"\x3fshort",
    WEB[:12] + b"\xc0\x0c\0\x01\0\x01",  # a name that is itself
    WEB[:12] + b"\x40" + b"x" * 64 + b"\0\0\x01\0\x01",
    WEB[:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\x01\0\x01",  # 257 bytes
    WEB[:4] + b"\0\x02" + WEB[6:] + WEB[12:],  # two questions
    WEB[:4] + b"\0\0" + WEB[6:],
]


@pytest.mark.parametrize("data", DAMAGED[2:])
def test_what_is_no_question_is_a_format_error(data: bytes) -> None:
    question = parse(data)
    assert question is not None
    assert question.problem == FORMAT_ERROR
    assert dns.message.from_wire(respond(question, question.problem)).rcode() == FORMAT_ERROR


def test_answers_and_what_has_no_header_are_met_with_silence() -> None:
    assert parse(b"") is parse(WEB[:11]) is None
    assert parse(respond(parse(WEB))) is None  # type: ignore[arg-type]


def test_other_operations_and_classes_are_refused() -> None:
    assert parse(WEB[:2] + b"\x28\0" + WEB[4:]).problem == NOT_IMPLEMENTED  # type: ignore[union-attr]
    assert parse(WEB[:-1] + b"\x03").problem == REFUSED  # type: ignore[union-attr]


@given(st.binary(max_size=600) | st.builds(lambda tail: WEB[:12] + tail, st.binary(max_size=300)))
@example(WEB)
def test_whatever_comes_is_answered_with_a_message_or_not_at_all(data: bytes) -> None:
    question = parse(data)
    if question is not None:
        answer = respond(question, question.problem, [address_record("10.0.0.1")])
        assert answer[:2] == data[:2]
        assert parse(answer) is None
        assert len(answer) <= max(UDP_LIMIT, 12 + len(question.asked))


@given(st.data())
def test_one_damaged_byte_does_no_harm(data: st.DataObject) -> None:
    wire = bytearray(dns.message.make_query("tasks.web.shop", "SRV", use_edns=0).to_wire())
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    question = parse(bytes(wire))
    if question is not None:
        respond(question, question.problem)


@pytest.mark.parametrize(("edns", "limit", "count"), [(False, 512, 29), (True, 1232, 74)])
def test_what_does_not_fit_is_marked_and_comes_whole_over_a_connection(
    edns: bool, limit: int, count: int
) -> None:
    question = parse(dns.message.make_query("web", "A", use_edns=0 if edns else False).to_wire())
    assert question is not None
    records = [address_record(f"10.0.{n // 250}.{n % 250}") for n in range(1000)]
    cut = respond(question, 0, records)
    assert len(cut) <= limit
    message = dns.message.from_wire(cut, ignore_trailing=False)
    assert message.flags & dns.flags.TC
    assert abs(len(message.answer[0]) - count) <= 1
    whole = dns.message.from_wire(respond(question, 0, records, limit=65535))
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 1000


def test_names_that_no_message_can_have_are_left_out() -> None:
    assert encode_name("web.shop") == b"\x03web\x04shop\0"
    assert encode_name("x" * 64) == encode_name("a..b") == encode_name(".".join(["x" * 60] * 5)) == b""
    assert pointer_record("x" * 64) == b""


def test_only_an_answer_to_this_very_question_counts() -> None:
    query = dns.message.make_query("Example.org", "A")
    asked = query.to_wire()[12:]
    answer = dns.message.make_response(query).to_wire()
    assert is_answer_to(answer, query.id, asked)
    assert is_answer_to(answer[:12] + answer[12:].lower(), query.id, asked)  # some servers change the case
    assert not is_answer_to(with_id(answer, query.id ^ 1), query.id, asked)
    assert not is_answer_to(query.to_wire(), query.id, asked)
    assert not is_answer_to(answer[:5], query.id, asked)
    other = dns.message.make_query("example.com", "A", id=query.id)
    assert not is_answer_to(dns.message.make_response(other).to_wire(), query.id, asked)
    assert parse(query.to_wire()).kind == A  # type: ignore[union-attr]
