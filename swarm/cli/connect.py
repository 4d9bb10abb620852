"""How a command reaches the node in front of it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.api.v1 import containers_pb2, control_pb2
from swarm.cli.contexts import DEFAULT, SCHEME, Context, ContextStore, default_root
from swarm.cli.endpoints import MachineEndpoint, ManagersEndpoint, SshEndpoint, parse_endpoint
from swarm.cli.postponed import OTHER_GRPC, postpone
from swarm.cli.stubs import Stub
from swarm.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    import grpc

MESSAGE_BYTES_MAX = 64 << 20
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]

_CONTROL = control_pb2.DESCRIPTOR.services_by_name["Control"]
_LOCAL = control_pb2.DESCRIPTOR.services_by_name["Local"]
_CONTAINERS = containers_pb2.DESCRIPTOR.services_by_name["Containers"]


@dataclass(frozen=True, slots=True)
class Connection:
    """Stubs of the services of a node's socket; calls raise SwarmErrors."""

    control: Any
    local: Any
    containers: Any = None


@contextmanager
def connect(host: str) -> Iterator[Connection]:
    """Open a connection to what `host` says: an endpoint, or `context://NAME`."""
    postpone(OTHER_GRPC)
    context = _context(host)
    endpoint = parse_endpoint(context.host)
    if isinstance(endpoint, ManagersEndpoint):
        with _to_managers(endpoint, context) as connection:
            yield connection
        return
    if isinstance(endpoint, SshEndpoint):
        from swarm.cli.ssh_tunnel import tunnel

        with tunnel(endpoint) as path, _to_socket(path, context.host) as connection:
            yield connection
        return
    if isinstance(endpoint, MachineEndpoint):
        from swarm.cli.machine_tunnel import machine_tunnel

        with machine_tunnel(endpoint.name) as path, _to_socket(path, context.host) as connection:
            yield connection
        return
    if not Path(endpoint.path).exists():
        raise Unavailable(
            f"cannot reach swarmd at {context.host}: no such socket. Start swarmd on this machine, "
            "or name another place with --host, SWARMCTL_HOST or swarmctl context use."
        )
    with _to_socket(endpoint.path, context.host) as connection:
        yield connection


def _context(host: str) -> Context:
    if not host.startswith(SCHEME):
        return Context(DEFAULT, host)
    return ContextStore(default_root(os.environ)).load(host.removeprefix(SCHEME), os.environ)


@contextmanager
def _to_socket(path: str, host: str) -> Iterator[Connection]:
    import grpc

    options = [*_OPTIONS, ("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix:{path}", options=options) as channel:
        yield _connection(channel, host, Stub(channel, _LOCAL, host))


@contextmanager
def _to_managers(endpoint: ManagersEndpoint, context: Context) -> Iterator[Connection]:
    from swarm.cli.managers_channel import open_channel

    channel, address = open_channel(endpoint, context, _OPTIONS)
    with channel:
        yield _connection(channel, address, _NotHere(address))


def _connection(channel: "grpc.Channel", address: str, local: Any) -> Connection:
    return Connection(
        control=Stub(channel, _CONTROL, address),
        local=local,
        containers=Stub(channel, _CONTAINERS, address),
    )


class _NotHere:
    """In place of what only a node's own socket answers."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(_request: Any, timeout: float | None = None) -> Any:
            raise FailedPrecondition(
                f"{self._address} is a manager of the cluster, and this is about one node: ask the node"
                " itself, there or with --host ssh://root@HOST"
            )

        return refuse
