"""DNS messages as far as a name server for containers needs them: one question in, records out. Pure.

Everything may come from a container that means no good: whatever is not a question is told apart without
raising.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

A, PTR, AAAA, SRV, OPT, ANY = 1, 12, 28, 33, 41, 255
KINDS = {A: "a", AAAA: "aaaa", PTR: "ptr", SRV: "srv"}
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED = range(6)

# Short: whoever keeps an answer keeps it no longer than it takes a change to reach all nodes. Not zero: some
# programs ask again for every single connection then.
TTL_S = 1
# What passes any path without fragments, and what programs without EDNS understand.
UDP_LIMIT, PLAIN_LIMIT, TCP_LIMIT = 1232, 512, 65535

_HEADER = struct.Struct("!HHHHHH")
_FOUR = struct.Struct("!HHIH")
_TWO = struct.Struct("!HH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0080
_REPEATED = 0x0110  # recursion desired, checking disabled: as in the question
_OPCODE, _INTERNET, _NAME_MAX = 0x7800, 1, 255
_OWNER = b"\xc0\x0c"  # the name of the question


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; with a `problem` there is no name, only somebody to be told of it."""

    id: int
    flags: int
    asked: bytes = b""  # name, kind and class as they came
    name: str = ""  # in lower case, without the last dot; a dot inside a label has a backslash
    kind: int = 0
    limit: int = PLAIN_LIMIT  # bytes that the answer may have over UDP
    edns: bool = False
    problem: int = NO_ERROR


def parse(data: bytes) -> Question | None:
    """Return the question of a message; None for what must not be answered at all, as answers are."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, *_, additional = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return Question(number, flags, problem=NOT_IMPLEMENTED)
    name, end = _name(data) if questions == 1 else ("", 0)
    if not end:
        return Question(number, flags, problem=FORMAT_ERROR)
    kind, kind_class = _TWO.unpack_from(data, end - 4)
    limit, edns = _edns(data, end) if additional else (PLAIN_LIMIT, False)
    return Question(
        number,
        flags,
        data[_HEADER.size : end],
        name,
        kind,
        limit,
        edns,
        NO_ERROR if kind_class == _INTERNET else REFUSED,
    )


def _name(data: bytes) -> tuple[str, int]:
    """Return the name behind the header and where the question ends; 0: it is cut off, or wrong."""
    at, labels = _HEADER.size, []
    while at < len(data) and (length := data[at]):
        if length > 63 or at + length >= len(data):  # also: a reference to another name, to what?
            return "", 0
        label = data[at + 1 : at + 1 + length]
        labels.append(label.replace(b".", b"\\.") if b"." in label else label)
        at += 1 + length
    if at + 5 > len(data) or at - _HEADER.size + 1 > _NAME_MAX:
        return "", 0
    return b".".join(labels).lower().decode("latin-1"), at + 5


def _edns(data: bytes, at: int) -> tuple[int, bool]:
    """Return what the asker says about sizes, if that follows the question."""
    if len(data) < at + 11 or data[at] != 0:
        return PLAIN_LIMIT, False
    kind, size = _TWO.unpack_from(data, at + 1)
    return (min(max(size, PLAIN_LIMIT), UDP_LIMIT), True) if kind == OPT else (PLAIN_LIMIT, False)


def respond(
    question: Question,
    code: int = NO_ERROR,
    answers: Sequence[bytes] = (),
    more: Sequence[bytes] = (),
    limit: int | None = None,
) -> bytes:
    """Return the message with these records: as many as `limit` allows, and a mark if some are missing."""
    room = (limit or question.limit) - _HEADER.size - len(question.asked) - 11
    flags = _RESPONSE | _AUTHORITATIVE | _AVAILABLE | question.flags & (_OPCODE | _REPEATED) | code
    if sum(map(len, answers)) > room:
        answers, more = _fitting(answers, room), ()
        flags |= _TRUNCATED
    elif more:
        more = _fitting(more, room - sum(map(len, answers)))  # left out, they are asked for: no mark
    tail = b"\0" + _FOUR.pack(OPT, UDP_LIMIT, 0, 0) if question.edns else b""
    header = _HEADER.pack(
        question.id, flags, 1 if question.asked else 0, len(answers), 0, len(more) + question.edns
    )
    return b"".join((header, question.asked, *answers, *more, tail))


def _fitting(records: Sequence[bytes], room: int) -> list[bytes]:
    fitting = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        fitting.append(record)
    return fitting


def encode_name(name: str) -> bytes:
    """Return a name as it stands in messages; empty when no message can have it."""
    labels = [label.encode("latin-1", "replace") for label in name.strip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        return b""
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return encoded if len(encoded) <= _NAME_MAX else b""


def address_record(address: str, owner: bytes = _OWNER) -> bytes:
    """Return the record of an address, of the family that it has."""
    packed = ip_address(address).packed
    return owner + _FOUR.pack(A if len(packed) == 4 else AAAA, _INTERNET, TTL_S, len(packed)) + packed


def pointer_record(name: str) -> bytes:
    """Return the record that says what an address is called; empty when that cannot be said."""
    encoded = encode_name(name)
    return encoded and _OWNER + _FOUR.pack(PTR, _INTERNET, TTL_S, len(encoded)) + encoded


def port_record(port: int, target: str) -> bytes:
    """Return the record that says at which port of which name something is served."""
    encoded = encode_name(target)
    rest = struct.pack("!HHH", 0, 1, port) + encoded
    return encoded and _OWNER + _FOUR.pack(SRV, _INTERNET, TTL_S, len(rest)) + rest


def is_answer_to(data: bytes, number: int, asked: bytes) -> bool:
    """Return whether a message of another name server answers this question and no other."""
    if len(data) < _HEADER.size:
        return False
    got, flags, questions, *_ = _HEADER.unpack_from(data)
    if got != number or not flags & _RESPONSE:
        return False
    there = data[_HEADER.size : _HEADER.size + len(asked)]
    return questions == 1 and there.lower() == asked.lower()


def response_code(data: bytes) -> int:
    """Return the code of an answer."""
    return data[3] & 15


def is_truncated(data: bytes) -> bool:
    """Return whether an answer says that more is to be had over TCP."""
    return bool(data[2] & 2)


def with_id(data: bytes, number: int) -> bytes:
    """Return the message under another number."""
    return number.to_bytes(2, "big") + data[2:]
