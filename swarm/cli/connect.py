"""How a command reaches the node in front of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1 import containers_pb2_grpc, control_pb2_grpc
from swarm.errors import InvalidArgument, Unavailable

DEADLINE_S = 15.0  # more than the 5 s after which managers give up on a quorum
MESSAGE_BYTES_MAX = 64 << 20
STREAMS = frozenset({"ServiceLogs", "Watch", "View", "Operate"})


@dataclass(frozen=True, slots=True)
class Connection:
    """Stubs of the services of a node's socket; calls raise SwarmErrors."""

    control: Any
    local: Any
    containers: Any = None


class _Stub:
    """Calls a gRPC stub with a deadline, turns its errors into ours and says when an answer may be old."""

    def __init__(self, stub: Any, address: str) -> None:
        self._stub = stub
        self._address = address

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)

        def call(request: Any, timeout: float | None = DEADLINE_S) -> Any:
            with _errors(self._address):
                if name in STREAMS:
                    return self._stream(method(request, timeout=timeout))
                response, rpc = method.with_call(request, timeout=timeout)
                if any(key == "swarm-stale" for key, _ in rpc.trailing_metadata() or ()):
                    click.echo(
                        "Warning: the cluster has no leader; this is what one manager last knew.", err=True
                    )
                return response

        return call

    def _stream(self, responses: Any) -> Iterator[Any]:
        with _errors(self._address):
            yield from responses


@contextmanager
def _errors(address: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        details = error.details() if hasattr(error, "details") else ""
        if error.code() == grpc.StatusCode.UNAVAILABLE and "connect" in (details or "").lower():
            raise Unavailable(
                f"cannot reach swarmd at {address}: is it running there? "
                "(--host or SWARMCTL_HOST names another socket)"
            ) from None
        raise from_rpc_error(error) from None


def target(host: str) -> str:
    """Return the gRPC target of a --host value: `unix:///path` or a path."""
    path = host.removeprefix("unix://")
    if "://" in path or not path.startswith("/"):
        raise InvalidArgument(f'host "{host}" is not a socket: write unix:///run/swarm/swarmd.sock')
    return f"unix:{path}"


@contextmanager
def connect(host: str) -> Iterator[Connection]:
    """Open a connection to the daemon at `host`."""
    address = target(host)
    if not Path(address.removeprefix("unix:")).exists():
        raise Unavailable(
            f"cannot reach swarmd at {host}: no such socket. Start swarmd on this machine, "
            "or name another socket with --host or SWARMCTL_HOST."
        )
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.default_authority", "localhost"),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        yield Connection(
            control=_Stub(control_pb2_grpc.ControlStub(channel), host),
            local=_Stub(control_pb2_grpc.LocalStub(channel), host),
            containers=_Stub(containers_pb2_grpc.ContainersStub(channel), host),
        )
