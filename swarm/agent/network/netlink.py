"""A thin netlink client: encode requests, send several at once, raise the kernel's own words.

A socket belongs to the namespace in which its thread was when it was opened, and stays there.
"""

import os
import socket
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ROUTE = 0
NETFILTER = 12

REPLACE = 0x100
EXCL = 0x200
CREATE = 0x400
NESTED = 0x8000

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_ERROR_TEXT = 1  # NLMSGERR_ATTR_MSG
_HAS_TEXT = 0x200  # NLM_F_ACK_TLVS
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT_CHECK = 10, 11, 12
_TYPE_MASK = 0x3FFF
_TIMEOUT_S = 10
_DUMPS_MAX = 10  # where changes never end, a list that is almost right is better than none


class NetlinkError(OSError):
    """The kernel refused a request; `strerror` holds its explanation."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message to the kernel: what it is, what it says, and what it is for (in errors)."""

    kind: int
    flags: int
    body: bytes
    purpose: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One message of a dump: its kind and its bytes, a fixed part first."""

    kind: int
    payload: bytes

    def attributes(self, fixed: int) -> dict[int, bytes]:
        """Return the attributes behind `fixed` bytes, by number."""
        return dict(parse_attributes(self.payload[fixed:]))


class Netlink:
    """One socket to the kernel, in the namespace of the thread that opens it."""

    def __init__(self, family: int = ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))
        for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def __enter__(self) -> Self:
        """Return the open socket."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def run(self, *requests: Request, ignore: Collection[int] = ()) -> None:
        """Send the requests together, in order; raise for the first refused with an errno not in `ignore`.

        The kernel tries every request, also those behind a refused one.
        """
        first = self._sequence + 1
        self._socket.send(b"".join(self._encode(request, _REQUEST | _ACK) for request in requests))
        failure: NetlinkError | None = None
        for sequence, flags, payload in self._acknowledgements(len(requests), first):
            number = -struct.unpack_from("=i", payload)[0]
            if number and number not in ignore and failure is None:
                failure = _error(requests[sequence - first], number, flags, payload)
        if failure is not None:
            raise failure

    def dump(self, request: Request) -> Sequence[Reply]:
        """Return every object of the kind asked for.

        The kernel lists them piece by piece: what changed in between may be missing, and is asked for again.
        """
        replies, whole = self._dump(request)
        for _ in range(_DUMPS_MAX - 1):
            if whole:
                break
            replies, whole = self._dump(request)
        return replies

    def _dump(self, request: Request) -> tuple[list[Reply], bool]:
        self._socket.send(self._encode(request, _REQUEST | _DUMP))
        replies: list[Reply] = []
        whole = True
        while True:
            for sequence, kind, flags, payload in _messages(self._socket.recv(1 << 18)):
                if sequence != self._sequence:
                    continue
                whole = whole and not flags & _INTERRUPTED
                if kind == _DONE:
                    return replies, whole
                if kind == _ERROR:
                    raise _error(request, -struct.unpack_from("=i", payload)[0], flags, payload)
                replies.append(Reply(kind, payload))

    def ask(self, request: Request) -> Reply:
        """Return the one object asked for."""
        self._socket.send(self._encode(request, _REQUEST))
        while True:
            for sequence, kind, flags, payload in _messages(self._socket.recv(1 << 16)):
                if sequence != self._sequence:
                    continue
                if kind == _ERROR:
                    raise _error(request, -struct.unpack_from("=i", payload)[0], flags, payload)
                return Reply(kind, payload)

    def _encode(self, request: Request, flags: int) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(request.body)
        header = _HEADER.pack(length, request.kind, request.flags | flags, self._sequence, 0)
        return header + request.body + b"\0" * (-length % 4)

    def _acknowledgements(self, count: int, first: int) -> Iterator[tuple[int, int, bytes]]:
        while count:
            for sequence, kind, flags, payload in _messages(self._socket.recv(1 << 18)):
                if sequence >= first and kind == _ERROR:
                    count -= 1
                    yield sequence, flags, payload


def attribute(number: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, number) + value + b"\0" * (-length % 4)


def attributes(values: Mapping[int, bytes | None]) -> bytes:
    """Return several attributes in a row; those without a value are left out."""
    return b"".join(attribute(number, value) for number, value in values.items() if value is not None)


def nested(number: int, *inner: bytes) -> bytes:
    """Return an attribute made of attributes."""
    return attribute(number | NESTED, b"".join(inner))


def text(value: str) -> bytes:
    """Return a string as the kernel wants it."""
    return value.encode() + b"\0"


def u32(value: int) -> bytes:
    """Return a number of 32 bits in the machine's order."""
    return struct.pack("=I", value)


def parse_attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of each attribute."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, number = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield number & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield sequence, kind, flags, data[offset + _HEADER.size : offset + length]
        offset += length + (-length % 4)


def _error(request: Request, number: int, flags: int, payload: bytes) -> NetlinkError:
    explanation = b""
    if flags & _HAS_TEXT:
        explanation = dict(parse_attributes(payload[4 + _HEADER.size :])).get(_ERROR_TEXT, b"")
    words = explanation.rstrip(b"\0").decode(errors="replace") or os.strerror(number)
    return NetlinkError(number, f"cannot {request.purpose}: {words}")
