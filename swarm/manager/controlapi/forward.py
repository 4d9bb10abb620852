"""How a request reaches the leader: over one kept connection, by the name of its method."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from swarm.api.status import from_rpc_error, is_an_answer
from swarm.api.v1 import control_pb2
from swarm.endings import asked_to_end
from swarm.errors import OutcomeUnknown, SwarmError
from swarm.manager.controlapi.ports import Dial

Metadata = Sequence[tuple[str, str | bytes]]

STALE_KEY = "swarm-stale"  # the answer comes from a manager that could not ask a majority

CONNECT_S = 1.0  # then look again who leads
CLOSING_S = 5.0  # for requests under way to a leader that was replaced

_METHODS = control_pb2.DESCRIPTOR.services_by_name["Control"].methods_by_name


class NotSent(Exception):
    """The leader could not be reached, so it did not get the request."""


class Forwarder:
    """Sends requests to one leader at a time."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._addr = ""
        self._channel: grpc.aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def send(
        self, addr: str, method: str, request: Message, metadata: Metadata, timeout_s: float
    ) -> tuple[Message, bool]:
        """Return the leader's answer and whether the leader called it stale; `metadata` says who asks.

        Raises NotSent, the error that the leader raised, or OutcomeUnknown when no answer came.
        """
        channel = await self._connected(addr, timeout_s)
        call = self._call(channel, method, request, metadata, timeout_s)
        try:
            answer = cast("Message", await call)
            stale = any(key == STALE_KEY for key, _ in await call.trailing_metadata() or ())
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, addr, timeout_s) from error
        except asyncio.CancelledError as error:
            # Another request saw a new leader, and this one took too long after that.
            if asked_to_end():
                raise
            raise OutcomeUnknown(
                f"the leader at {addr} took the request and was replaced before it answered: whether it"
                " was done is not known; look before you repeat it"
            ) from error
        except grpc.aio.UsageError as error:  # another request closed the channel: it saw a new leader
            raise NotSent(addr) from error
        return answer, stale

    async def close(self) -> None:
        """Close the connection."""
        self._drop()
        await asyncio.gather(*self._closing)

    async def _connected(self, addr: str, timeout_s: float) -> grpc.aio.Channel:
        if self._channel is None or self._addr != addr:
            self._drop()
            self._addr, self._channel = addr, self._dial(addr)
        channel = self._channel
        try:
            await asyncio.wait_for(_until_ready(channel), min(timeout_s, CONNECT_S))
        except (TimeoutError, NotSent, grpc.aio.UsageError) as error:
            # Dial again next time: with new credentials, if they were the reason.
            if channel is self._channel:
                self._drop()
            raise NotSent(addr) from error
        return channel

    def _call(
        self, channel: grpc.aio.Channel, method: str, request: Message, metadata: Metadata, timeout_s: float
    ) -> Any:
        response_class = GetMessageClass(_METHODS[method].output_type)
        call: Any = channel.unary_unary(
            f"/swarm.api.v1.Control/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return call(request, timeout=timeout_s, metadata=tuple(metadata))

    def _translated(self, error: grpc.aio.AioRpcError, addr: str, timeout_s: float) -> SwarmError:
        if not is_an_answer(error) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return OutcomeUnknown(
                f"the leader at {addr} took the request and did not answer within {timeout_s:.3g} s:"
                " whether it was done is not known; look before you repeat it"
            )
        if is_an_answer(error) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            return from_rpc_error(error)
        return OutcomeUnknown(f"the connection to the leader broke before it answered: {error.details()}")

    def _drop(self) -> None:
        channel, self._channel, self._addr = self._channel, None, ""
        if channel is not None:
            # Requests of others may still be under way on it.
            closing = asyncio.create_task(channel.close(grace=CLOSING_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _until_ready(channel: grpc.aio.Channel) -> None:
    """Raise NotSent at the first refusal: a manager whose daemon is gone is not waited for."""
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise NotSent
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
