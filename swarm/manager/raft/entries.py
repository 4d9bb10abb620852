"""What an entry of the log holds: a type byte, as in pysyncobj, then data or a membership change."""

from google.protobuf.message import DecodeError

from swarm.api.v1.raft_pb2 import MembershipChange
from swarm.errors import InvariantBroken

Entry = tuple[bytes, int, int]  # command, index, term

DATA = b"\x00"
NOOP = b"\x01"
CHANGE = b"\x02"

ENTRY_BYTES_MAX = 8 * 1024 * 1024  # the store's own limit is about half of it
FIRST_INDEX = 1  # every log starts with the same empty entry


def data_command(data: bytes) -> bytes:
    """Return the command that carries an entry for the state machine."""
    return DATA + data


def change_command(change: MembershipChange) -> bytes:
    """Return the command that carries a membership change."""
    return CHANGE + change.SerializeToString(deterministic=True)


def data_of(command: bytes) -> bytes | None:
    """Return what the state machine has to apply, None for entries that are not for it.

    Raises InvariantBroken for an entry that this version does not know: it must not be skipped.
    """
    kind = command[:1]
    if kind == DATA:
        return command[1:]
    if kind in {NOOP, CHANGE}:
        return None
    raise InvariantBroken(f"an entry of the unknown kind {kind.hex()}: it is from a newer version of swarm")


def change_of(command: bytes) -> MembershipChange | None:
    """Return the membership change that a command carries, None for other commands.

    Raises InvariantBroken for one that cannot be read, or is from a newer version.
    """
    if command[:1] != CHANGE:
        return None
    try:
        change = MembershipChange.FromString(command[1:])
    except DecodeError as error:
        raise InvariantBroken("a membership change in the log cannot be read") from error
    if change.kind not in MembershipChange.Kind.values():
        raise InvariantBroken(
            f"a membership change of the unknown kind {change.kind}: it is from a newer version of swarm"
        )
    return change
