"""Routes to tasks that speak HTTP/2 without TLS: gRPC from end to end, through a real proxy."""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from swarm.agent.http.plan import wanted_proxy
from swarm.agent.http.process import ProxyFiles, find_program
from swarm.agent.http.sockets import Ports, close_sockets, open_sockets
from swarm.agent.network import namespaces
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.overlay_pb2 import (
    HttpProxy,
    OverlayChanges,
    OverlayEndpoint,
    OverlayNetwork,
    OverlayService,
)
from swarm.model.http_certificates import self_signed
from swarm.model.http_routes import parse_route
from tests.integration.images.registries import free_port

pytestmark = pytest.mark.integration

HOST = "rpc.example.org"
Call = grpc.aio.StreamStreamCall[bytes, bytes]


class Echo(grpc.GenericRpcHandler):
    """Answers every piece of a stream with itself, and what it was sent as metadata in the end."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.stream_stream_rpc_method_handler(self._echo)

    async def _echo(
        self, pieces: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield piece
        seen = {key: str(value) for key, value in context.invocation_metadata() or ()}
        context.set_trailing_metadata((("from", seen.get("x-forwarded-for", "")),))


@pytest.fixture
def files() -> Iterator[ProxyFiles]:
    folder = Path(tempfile.mkdtemp(prefix="swarm-h2c-", dir="/run"))
    made = ProxyFiles(folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


async def test_a_conversation_of_grpc_goes_through_a_route_both_ways(files: ProxyFiles) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    task_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ports = Ports(free_port(), free_port())
    state = OverlayState()
    network = OverlayNetwork(
        id="i", ingress=True, http_proxy=HttpProxy(http_port=ports.http, https_port=ports.https)
    )
    service = OverlayService(
        service_id="rpc",
        name="rpc",
        routes=[parse_route(f"host={HOST},port={task_port},protocol=h2c")],
    )
    task = OverlayEndpoint(task_id="t1", service_id="rpc", addresses=["127.0.0.1"], serving=True)
    state.apply([OverlayChanges(network_id="i", network=network, services=[service], endpoints=[task])])
    wanted, program = wanted_proxy(state), find_program()
    assert wanted is not None
    assert program is not None
    sockets = open_sockets(ports)
    try:
        default = self_signed("swarm", time.time_ns())
        files.start(program, wanted, {}, default, sockets, namespaces.OWN, [])
        options = [("grpc.default_authority", HOST), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.http}", options) as channel:
            call: Call = channel.stream_stream("/shop.Echo/Say")(timeout=60)
            for piece in (b"one", b"two" * 100_000):
                await call.write(piece)
                assert await call.read() == piece  # while the request goes on
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            trailing = {key: str(value) for key, value in await call.trailing_metadata()}
            assert trailing["from"] == "127.0.0.1"
            assert await call.code() is grpc.StatusCode.OK
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.http}") as channel:
            lost: Call = channel.stream_stream("/shop.Echo/Say")(timeout=60)
            await lost.done_writing()
            # The 404 of a host without a route, or the end of the stream, whichever is read first.
            assert await lost.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN}
    finally:
        close_sockets(sockets)
        await server.stop(None)
