"""Answers what managers serve on the local socket: through the manager half while there is one, else with a
reason."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from swarm.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from swarm.errors import SwarmError

Register = Callable[[Any, Any], None]  # as generated: (servicer, server)


class ControlSwitch(grpc.GenericRpcHandler):
    """Finds, for each call, who serves it now: the manager half of a node comes and goes."""

    def __init__(
        self,
        servicer: Callable[[], Any],
        refusal: Callable[[], SwarmError],
        service: str = "Control",
        register: Register = add_ControlServicer_to_server,
    ) -> None:
        """`servicer` returns the one of now; without one (None), calls raise what `refusal` returns."""
        self._servicer = servicer
        self._refusal = refusal
        self._prefix = f"/swarm.api.v1.{service}/"
        self._register = register
        self._current: Any = None
        self._handlers: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call, None for other services."""
        method = str(handler_call_details.method)
        if not method.startswith(self._prefix):
            return None
        current = self._servicer()
        if current is not self._current:
            self._current = current
            self._handlers = {} if current is None else _handlers_of(current, self._register)
        if current is None:
            # On the wire every call is a stream of messages both ways, so this answers all kinds.
            return grpc.stream_stream_rpc_method_handler(self._refuse)
        return self._handlers.get(method.removeprefix(self._prefix))

    async def _refuse(self, _requests: Any, _context: Any) -> AsyncIterator[bytes]:
        raise self._refusal()
        yield b""  # makes this a stream


def _handlers_of(servicer: Any, register: Register) -> dict[str, Any]:
    """Return the handlers that the generated code makes for a servicer, by method name."""
    recorder = _Recorder()
    register(servicer, recorder)
    return recorder.handlers


class _Recorder:
    """Takes the place of a server in the generated registration."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Not needed: the same handlers come by name."""

    def add_registered_method_handlers(self, _service: str, handlers: dict[str, Any]) -> None:
        """Keep the handlers."""
        self.handlers.update(handlers)
