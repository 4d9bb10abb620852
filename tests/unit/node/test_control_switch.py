"""Control on the local socket follows the manager half of the node."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from swarm.api.status import ErrorInterceptor, from_rpc_error
from swarm.api.v1.control_pb2 import (
    ListNodesRequest,
    ListNodesResponse,
    LoadImageRequest,
    ServiceLogsRequest,
    ServiceLogsResponse,
)
from swarm.api.v1.control_pb2_grpc import ControlServicer, ControlStub
from swarm.errors import FailedPrecondition, SwarmError
from swarm.node.control_switch import ControlSwitch
from tests.unit.security.test_every_rpc import LOST_ANSWER


class Answers(ControlServicer):
    def __init__(self, name: str) -> None:
        self.name = name

    async def ListNodes(self, request, context):  # type: ignore[no-untyped-def]
        return ListNodesResponse(self_id=self.name)

    async def ServiceLogs(self, request, context):  # type: ignore[no-untyped-def]
        yield ServiceLogsResponse(notice=self.name)


async def test_the_servicer_of_the_moment_answers(tmp_path: Path) -> None:
    current: list[ControlServicer | None] = [None]
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    switch = ControlSwitch(lambda: current[0], lambda: FailedPrecondition("this node is not a manager"))
    server.add_generic_rpc_handlers((switch,))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    options = [("grpc.default_authority", "localhost")]
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s", options=options) as channel:
        stub = ControlStub(channel)

        async def chunks() -> AsyncIterator[LoadImageRequest]:
            for _ in range(100):
                yield LoadImageRequest(chunk=b"x" * 10_000)

        async def refused() -> None:
            for call in (
                lambda: stub.ListNodes(ListNodesRequest(), timeout=60),
                lambda: stub.LoadImage(chunks(), timeout=60),
                lambda: anext(aiter(stub.ServiceLogs(ServiceLogsRequest(), timeout=60))),
            ):
                error = await _error(call)
                assert isinstance(error, FailedPrecondition)
                assert str(error) == "this node is not a manager"

        try:
            await refused()
            for name in ("first", "second"):
                current[0] = Answers(name)
                assert (await stub.ListNodes(ListNodesRequest(), timeout=60)).self_id == name
                logs = stub.ServiceLogs(ServiceLogsRequest(), timeout=60)
                assert [answer.notice async for answer in logs] == [name]
            current[0] = None
            await refused()
        finally:
            await server.stop(None)


async def _error(call: Callable[[], Awaitable[object]]) -> SwarmError:
    """Return what a call is refused with.

    Who is refused while still sending may hear of gRPC only that sending failed, and asks again.
    """
    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        if caught.value.details() != LOST_ANSWER:
            break
    return from_rpc_error(caught.value)
