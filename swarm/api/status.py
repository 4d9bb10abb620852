"""How an error of swarm crosses gRPC and comes out on the other side as the same error.

The status code is for strangers; the class travels as trailing metadata, because several classes
share a code.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from swarm import errors
from swarm.api.stream_context import StreamContext

ERROR_KEY = "swarm-error"  # class name of the error
LEADER_KEY = "swarm-leader"  # NotLeader.leader_addr
DETAILS_LIMIT = 2000  # characters; details travel in a header, and headers over 8 KiB are refused by peers

# The most specific class first: the first match wins.
_CODES: tuple[tuple[type[errors.SwarmError], grpc.StatusCode], ...] = (
    (errors.InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Ambiguous, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NameConflict, grpc.StatusCode.ALREADY_EXISTS),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Compacted, grpc.StatusCode.OUT_OF_RANGE),
    (errors.NotPermitted, grpc.StatusCode.PERMISSION_DENIED),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.UserError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotLeader, grpc.StatusCode.UNAVAILABLE),
    (errors.NoQuorum, grpc.StatusCode.UNAVAILABLE),
    # "May have been done": what gRPC itself says when a deadline passes.
    (errors.OutcomeUnknown, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.StaleVersion, grpc.StatusCode.ABORTED),
    (errors.SessionExpired, grpc.StatusCode.ABORTED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.TransientError, grpc.StatusCode.UNAVAILABLE),
    (errors.SwarmError, grpc.StatusCode.INTERNAL),
)

# For answers that carry no class: from gRPC itself, a proxy, or somebody else's server.
_CLASSES: dict[grpc.StatusCode, type[errors.SwarmError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    grpc.StatusCode.UNIMPLEMENTED: errors.InvalidArgument,
    # gRPC's own limit on the size of a message: the request was too large.
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.NameConflict,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotPermitted,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.OutcomeUnknown,
    grpc.StatusCode.ABORTED: errors.StaleVersion,
}

_UNKNOWN_METHOD = "Method not found!"  # gRPC's own word

_BY_NAME: dict[str, type[errors.SwarmError]] = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, errors.SwarmError)
}


def to_status(error: errors.SwarmError) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status code and the sentence to send for `error`."""
    details = str(error)
    if len(details) > DETAILS_LIMIT:
        details = f"{details[:DETAILS_LIMIT]}… ({len(details) - DETAILS_LIMIT} more characters)"
    return next(code for cls, code in _CODES if isinstance(error, cls)), details


def name_of(error: errors.SwarmError) -> str:
    """Return the name of the class of `error` that the other side knows, too."""
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _BY_NAME)


def from_name(name: str, message: str) -> errors.SwarmError:
    """Return the error that `name_of` named on the other side."""
    cls = _BY_NAME.get(name, errors.SwarmError)
    return errors.NotLeader() if cls is errors.NotLeader else cls(message)


def error_metadata(error: errors.SwarmError) -> tuple[tuple[str, str], ...]:
    """Return the trailing metadata that lets `from_rpc_error` restore the class of `error`."""
    pairs = [(ERROR_KEY, name_of(error))]
    if isinstance(error, errors.NotLeader) and error.leader_addr:
        pairs.append((LEADER_KEY, error.leader_addr))
    return tuple(pairs)


def from_rpc_error(error: grpc.RpcError) -> errors.SwarmError:
    """Return the swarm error that the answering side raised, or the nearest one to gRPC's own status.

    Works for errors of `grpc` and `grpc.aio` calls alike.
    """
    metadata = _trailing_metadata(error)
    code, details = _code(error), _details(error)
    cls = _BY_NAME.get(metadata.get(ERROR_KEY, "")) or _CLASSES.get(code, errors.SwarmError)
    if code is grpc.StatusCode.UNIMPLEMENTED and details == _UNKNOWN_METHOD:
        details = "who was asked is of an older version, and does not know the request: upgrade it first"
    if cls is errors.NotLeader:
        return errors.NotLeader(metadata.get(LEADER_KEY, ""))
    return cls(details or f"the other side answered {code.name} without saying why")


def is_an_answer(error: grpc.RpcError) -> bool:
    """Whether a servicer said it; else gRPC did, which may have reached nobody."""
    return ERROR_KEY in _trailing_metadata(error)


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    read = getattr(error, "code", None)
    code = read() if callable(read) else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _details(error: grpc.RpcError) -> str:
    read = getattr(error, "details", None)
    return (read() or "") if callable(read) else str(error)


def _trailing_metadata(error: grpc.RpcError) -> dict[str, str]:
    read = getattr(error, "trailing_metadata", None)
    pairs = (read() if callable(read) else None) or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns SwarmErrors raised by servicers into statuses; every other exception is left to gRPC."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler":
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        return None if handler is None else _wrapped(handler)  # None: gRPC answers UNIMPLEMENTED


def _wrapped(handler: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    codec = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(_streaming(handler.stream_stream), **codec)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(_streaming(handler.unary_stream), **codec)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(_unary(handler.stream_unary), **codec)
    return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary), **codec)


LAST_MESSAGE_S = 5.0  # whoever does not read it for so long does not read the status either


def _unary(behaviour: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behaviour(request, context)
        except errors.SwarmError as error:
            return await abort(context, error)

    return call


def _streaming(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        stream = StreamContext(context)
        try:
            answer = behaviour(request, stream)
            if not hasattr(answer, "__aiter__"):  # a coroutine that writes with context.write()
                await answer
                return
            try:
                async for message in answer:
                    yield message
            finally:  # also when the caller left while a message was under way
                if hasattr(answer, "aclose"):
                    await answer.aclose()
        except errors.SwarmError as error:
            # gRPC fails to send a status while a message is on its way: the caller would hear nothing.
            await stream.settled(LAST_MESSAGE_S)
            await abort(context, error)

    return call


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: errors.SwarmError) -> None:
    """End the call with the status of `error`; never returns normally (gRPC raises to unwind)."""
    code, details = to_status(error)
    earlier = tuple(context.trailing_metadata() or ())
    await context.abort(code, details, (*earlier, *error_metadata(error)))
