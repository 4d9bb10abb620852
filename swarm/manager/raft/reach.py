"""Does a manager answer where it says that it can be reached?"""

import asyncio
from collections.abc import Callable, Iterable

import grpc

from swarm.api.v1.raft_pb2 import RaftHealthRequest, RaftMember
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.errors import FailedPrecondition, InvalidArgument

DIAL_BACK_TIMEOUT_S = 3.0


def check_address(addr: str, node_id: str, members: Iterable[RaftMember]) -> None:
    """Raise InvalidArgument for a text that is no HOST:PORT, FailedPrecondition for another's address."""
    host, _, port = addr.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise InvalidArgument(f"{addr!r} is not an address of the form HOST:PORT")
    for member in members:
        if member.addr == addr and member.node_id != node_id:
            raise FailedPrecondition(f"the address {addr} belongs to manager {member.node_id}")


async def check_answers(dial: Callable[[str], grpc.aio.Channel], addr: str, raft_id: str = "") -> None:
    """Raise FailedPrecondition unless a manager answers at `addr`: the member `raft_id`, if one is given."""
    channel = dial(addr)
    try:
        async with asyncio.timeout(DIAL_BACK_TIMEOUT_S):
            answer = await RaftStub(channel).Health(RaftHealthRequest())
    except (grpc.aio.AioRpcError, TimeoutError) as error:
        why = error.details() if isinstance(error, grpc.aio.AioRpcError) else "no answer"
        raise FailedPrecondition(
            f"the leader cannot reach a manager at {addr} ({why}): check that swarmd runs there, the"
            " address that it advertises, and that its port (2377) is open in both directions"
        ) from error
    finally:
        await channel.close()
    if raft_id and answer.raft_id != raft_id:
        raise FailedPrecondition(f"another manager answers at {addr}")
