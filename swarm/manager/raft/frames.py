"""What travels on a stream: serialised RaftBatches, looked at before they are parsed.

Parsed, an empty message takes fifty times the memory that it takes on the wire, and the interpreter stands
still meanwhile. So the parts of a frame are counted first.
"""

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from swarm.api.v1.raft_pb2 import RaftBatch
from swarm.manager.raft.codec import WireError

FRAME_BYTES = 1024 * 1024  # a frame is closed once it holds this much
FRAME_BYTES_MAX = 16 * 1024 * 1024  # of a frame that is read: one more message fits, with the largest entry
PARTS_MAX = 100_000  # of a frame that is read: fields, down to the entries; a full frame of ours has fewer
_SMALL_BYTES = 64 * 1024  # such a frame has not enough parts to do harm

_MESSAGES = RaftBatch.MESSAGES_FIELD_NUMBER
_APPEND = 10
_ENTRIES = 4
_PATH = (_MESSAGES, _APPEND, _ENTRIES)  # where parts may repeat
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10


def parse(frame: bytes) -> RaftBatch:
    """Return the messages in a frame; raises WireError for one that no member sends."""
    if len(frame) > FRAME_BYTES_MAX:
        raise WireError(f"a frame of {len(frame)} bytes; at most {FRAME_BYTES_MAX} are allowed")
    if len(frame) > _SMALL_BYTES:
        _count(frame)
    try:
        return RaftBatch.FromString(frame)
    except DecodeError as error:
        raise WireError("a frame that cannot be read") from error


def _count(frame: bytes) -> None:
    """Raise WireError if there are too many parts, or something that is no part."""
    parts = 0
    inside = [_fields(frame, 0, len(frame))]
    while inside:
        field = next(inside[-1], None)
        if field is None:
            inside.pop()
            continue
        parts += 1
        if parts > PARTS_MAX:
            raise WireError(f"a frame of more than {PARTS_MAX} parts")
        number, start, end = field
        if len(inside) < len(_PATH) and number == _PATH[len(inside) - 1]:
            inside.append(_fields(frame, start, end))


def _fields(frame: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field between two positions."""
    while at < end:
        tag, at = _varint(frame, at, end)
        kind, start = tag & 7, at
        if kind == _VARINT:
            _, at = _varint(frame, at, end)
        elif kind == _BYTES:
            length, start = _varint(frame, at, end)
            at = start + length
        elif kind in {_FIXED32, _FIXED64}:
            at += 4 if kind == _FIXED32 else 8
        else:
            raise WireError("a frame that cannot be read")
        if at > end:
            raise WireError("a frame that is cut off")
        yield tag >> 3, start, at


def _varint(frame: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_BYTES_MAX):
        if at >= end:
            break
        byte = frame[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise WireError("a frame that cannot be read")
