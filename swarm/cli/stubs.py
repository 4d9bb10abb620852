"""Calls of the cluster's services, made from their descriptors.

The generated stubs come with the servers' side of every call and make all calls at once: a fifth of the time
that a command takes that makes one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import grpc
    from google.protobuf.descriptor import ServiceDescriptor

DEADLINE_S = 15.0  # more than the 5 s after which managers give up on a quorum
_QUESTIONS = ("Get", "List", "Info", "Plan", "Explain", "View")  # calls with such names change nothing


class Stub:
    """Makes calls with a deadline, turns their errors into ours and says when an answer may be old."""

    def __init__(self, channel: "grpc.Channel", service: "ServiceDescriptor", address: str) -> None:
        """Call `service`; `address` is what people are told when nobody answers."""
        self._channel, self._service, self._address = channel, service, address

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a function of a request and a timeout in seconds; AttributeError for another name."""
        found = self._service.methods_by_name.get(name)
        if found is None:
            raise AttributeError(f"{self._service.full_name} has no {name}")
        path = f"/{self._service.full_name}/{name}"
        kind = f"{_word(found.client_streaming)}_{_word(found.server_streaming)}"
        serialize = _class_of(found.input_type).SerializeToString
        parse = _class_of(found.output_type).FromString
        method = getattr(self._channel, kind)(path, serialize, parse)

        def call(request: Any, timeout: float | None = DEADLINE_S) -> Any:
            with _errors(self._address, name, timeout):
                if found.server_streaming:
                    return self._stream(method(request, timeout=timeout), name, timeout)
                response, rpc = method.with_call(request, timeout=timeout)
                if any(key == "swarm-stale" for key, _ in rpc.trailing_metadata() or ()):
                    click.echo(
                        "Warning: the cluster has no leader; this is what one manager last knew.", err=True
                    )
                return response

        return call

    def _stream(self, responses: Any, name: str, timeout: float | None) -> Iterator[Any]:
        with _errors(self._address, name, timeout):
            yield from responses


def _word(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _class_of(message: Any) -> Any:
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(message)


@contextmanager
def _errors(address: str, call: str, timeout: float | None) -> Iterator[None]:
    import grpc

    try:
        yield
    except grpc.RpcError as error:
        from swarm.api.status import from_rpc_error, is_an_answer
        from swarm.errors import OutcomeUnknown, Unavailable

        details = error.details() if hasattr(error, "details") else ""
        text = (details or "").lower()
        unavailable = error.code() == grpc.StatusCode.UNAVAILABLE and not is_an_answer(error)
        if unavailable and ("connect" in text or "handshake" in text):
            raise Unavailable(_unreachable(address)) from None
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and not is_an_answer(error):
            raise OutcomeUnknown(_silent(address, call, timeout)) from None
        raise from_rpc_error(error) from None


def _unreachable(address: str) -> str:
    if "/" in address:
        return (
            f"cannot reach swarmd at {address}: is it running there? "
            "(--host, SWARMCTL_HOST or a context names another place)"
        )
    # It accepted a connection a moment ago; whoever does not like a certificate only hangs up.
    return (
        f"the manager at {address} hung up: it is not of the cluster of this context, does not accept its"
        " certificate (swarmctl context inspect; an administrator gives you a new one), or just went away"
    )


def _silent(address: str, call: str, timeout: float | None) -> str:
    within = "in time" if timeout is None else f"within {timeout:g} s"
    unknown = (
        ""
        if call.startswith(_QUESTIONS)
        else " Whether it was done is not known: look before you repeat it."
    )
    return (
        f"{address} did not answer {call} {within}: it hangs, is very busy, or waits for one"
        f" that hangs.{unknown} Ask another node with --host"
    )
