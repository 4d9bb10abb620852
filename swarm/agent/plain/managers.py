"""Asking the managers for places in networks: one that reaches the leader is enough."""

from collections.abc import Callable, Sequence

import grpc

from swarm.agent.connection import CHANNEL_OPTIONS
from swarm.api.status import from_rpc_error
from swarm.api.v1.dispatcher_pb2 import AttachRequest, AttachResponse
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherStub
from swarm.api.v1.types_pb2 import Peer
from swarm.errors import SwarmError, TransientError, Unavailable

TIMEOUT_S = 10.0  # more than a manager gives the leader


class Managers:
    """Puts requests to managers in turn."""

    def __init__(
        self,
        managers: Callable[[], Sequence[Peer]],
        channel: Callable[[str, Sequence[tuple[str, int | str]]], grpc.aio.Channel],
    ) -> None:
        """`managers` returns them in the order of preference; `channel(addr, options)` dials."""
        self._managers = managers
        self._channel = channel

    async def attach(self, request: AttachRequest) -> AttachResponse:
        """Return the leader's answer; raises what it refused with, Unavailable when it was not reached.

        Words may be said twice: a manager whose answer was lost does no harm.
        """
        failure: SwarmError | None = None
        for peer in self._managers():
            async with self._channel(peer.addr, CHANNEL_OPTIONS) as channel:
                try:
                    return await DispatcherStub(channel).Attach(request, timeout=TIMEOUT_S)
                except grpc.RpcError as error:
                    failure = from_rpc_error(error)
                    if not isinstance(failure, TransientError):
                        raise failure from error
        raise Unavailable(
            "addresses in networks are given by the managers, and none could decide: "
            f"{failure or 'none is known'}"
        )
