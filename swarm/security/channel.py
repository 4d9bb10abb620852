"""A gRPC channel that presents the certificate of the moment.

The certificate of a gRPC channel is fixed when it is made. Managers keep channels to each other for months;
this one makes a new connection for the calls that follow a renewal, and lets the calls before it end.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc

RETIREMENT_S = 3600.0  # for streams on a connection with the certificate before


class RenewingChannel(grpc.aio.Channel):
    """Delegates to a channel that is made anew when `generation` changes."""

    def __init__(self, make: Callable[[], grpc.aio.Channel], generation: Callable[[], int]) -> None:
        """`make` opens a channel with the credentials of now; `generation` counts their renewals."""
        self._make = make
        self._generation = generation
        self._made_at = generation()
        self._inner = make()
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    def current(self) -> grpc.aio.Channel:
        """Return the channel for the next call."""
        if self._generation() != self._made_at and not self._closed:
            self._made_at = self._generation()
            retiring = asyncio.create_task(self._inner.close(RETIREMENT_S))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
            self._inner = self._make()
        return self._inner

    async def close(self, grace: float | None = None) -> None:
        """Close all connections, after `grace` seconds for the calls under way."""
        self._closed = True
        for retiring in self._retiring:
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the connection."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state is another one."""
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the connection stands."""
        await self.current().channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Return the callable of a method."""
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return the callable of a method."""
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Return the callable of a method."""
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return the callable of a method."""
        return _Method(self, "stream_stream", args, kwargs)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()


class _Method:
    """A method of a service, called on whatever channel is current."""

    def __init__(self, channel: RenewingChannel, kind: str, args: Any, kwargs: Any) -> None:
        self._channel = channel
        self._kind = kind
        self._args = args
        self._kwargs = kwargs
        self._made_on: grpc.aio.Channel | None = None
        self._call: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        current = self._channel.current()
        if self._made_on is not current:
            self._made_on = current
            self._call = getattr(current, self._kind)(*self._args, **self._kwargs)
        return self._call(*args, **kwargs)
