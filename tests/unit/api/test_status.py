import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from swarm import errors
from swarm.api.status import DETAILS_LIMIT, ErrorInterceptor, from_rpc_error, to_status

CLASSES = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.SwarmError)
]


class Special(errors.NotFound):
    """A class that the other side does not know."""


async def raise_unary(request: bytes, context: object) -> bytes:
    raise PENDING[0]


async def raise_late(request: bytes, context: object) -> AsyncIterator[bytes]:
    yield b"one"
    raise PENDING[0]


async def raise_with_metadata(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    context.set_trailing_metadata((("mine", "kept"),))
    raise PENDING[0]


async def echo(requests: AsyncIterator[bytes], context: object) -> bytes:
    return b"".join([request async for request in requests])


async def write_and_raise(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    await context.write(b"written")
    raise PENDING[0]


async def raise_while_writing(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    writing = asyncio.ensure_future(context.write(b"x" * (1 << 20)))  # more than fits into the connection
    await anext(requests)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    raise PENDING[0]


PENDING: list[Exception] = []


async def with_server(use) -> object:
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(raise_unary),
        "Stream": grpc.unary_stream_rpc_method_handler(raise_late),
        "Metadata": grpc.unary_unary_rpc_method_handler(raise_with_metadata),
        "Echo": grpc.stream_unary_rpc_method_handler(echo),
        "Write": grpc.stream_stream_rpc_method_handler(write_and_raise),
        "Cut": grpc.stream_stream_rpc_method_handler(raise_while_writing),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            return await use(channel, port)
    finally:
        await server.stop(None)


async def read_into(received: list[bytes], call: AsyncIterator[bytes]) -> None:
    async for message in call:
        received.append(message)  # noqa: PERF401  # what came before the error counts


async def sent(error: errors.SwarmError) -> errors.SwarmError:
    PENDING[:] = [error]

    async def use(channel, port):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/Unary")(b"")
        return from_rpc_error(caught.value)

    return await with_server(use)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_has_a_status(cls):
    error = cls("a:1") if cls is errors.NotLeader else cls("why")
    code, details = to_status(error)
    assert code is not grpc.StatusCode.OK
    assert details == str(error)


async def test_every_class_of_error_arrives_as_itself():
    async def use(channel, port):
        for cls in CLASSES:
            PENDING[:] = [cls("a:1") if cls is errors.NotLeader else cls("why — ünïcode")]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/t/Unary")(b"")
            arrived = from_rpc_error(caught.value)
            assert type(arrived) is cls
            assert str(arrived) == str(PENDING[0])

    await with_server(use)


async def test_the_address_of_the_leader_arrives():
    arrived = await sent(errors.NotLeader("10.0.0.1:2377"))
    assert isinstance(arrived, errors.NotLeader)
    assert arrived.leader_addr == "10.0.0.1:2377"
    assert (await sent(errors.NotLeader())).leader_addr == ""


async def test_an_unknown_class_arrives_as_the_nearest_known_one():
    assert type(await sent(Special("no such thing"))) is errors.NotFound


async def test_a_very_long_message_is_cut_and_still_arrives():
    arrived = await sent(errors.InvalidArgument("x" * 100_000))
    assert isinstance(arrived, errors.InvalidArgument)
    assert len(str(arrived)) < DETAILS_LIMIT + 100


async def test_errors_in_the_middle_of_a_stream_arrive_after_what_came_before():
    PENDING[:] = [errors.NotFound("gone")]

    async def use(channel, port):
        received: list[bytes] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_into(received, channel.unary_stream("/t/Stream")(b""))
        assert received == [b"one"]
        assert isinstance(from_rpc_error(caught.value), errors.NotFound)
        call = channel.stream_stream("/t/Write")()
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_into(received, call)
        assert received == [b"one", b"written"]
        assert isinstance(from_rpc_error(caught.value), errors.NotFound)
        assert await channel.stream_unary("/t/Echo")(iter((b"a", b"b"))) == b"ab"

    await with_server(use)


async def test_an_error_arrives_also_while_a_message_is_on_its_way():
    PENDING[:] = [errors.Unavailable("this manager stops")]

    async def use(channel, port):
        call = channel.stream_stream("/t/Cut")()
        await call.write(b"now")
        received: list[bytes] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(60):
                await read_into(received, call)
        assert [len(one) for one in received] == [1 << 20]
        assert isinstance(from_rpc_error(caught.value), errors.Unavailable)

    await with_server(use)


async def test_trailing_metadata_of_the_servicer_is_kept():
    PENDING[:] = [errors.NotFound("gone")]

    async def use(channel, port):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/Metadata")(b"")
        assert dict(caught.value.trailing_metadata())["mine"] == "kept"

    await with_server(use)


async def test_a_method_that_does_not_exist_is_unimplemented():
    async def use(channel, port):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/Nothing")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    await with_server(use)


async def test_synchronous_clients_understand_the_errors_too():
    PENDING[:] = [errors.StaleVersion("update out of sequence")]

    def ask(port: int) -> errors.SwarmError:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/t/Unary")(b"")
        return from_rpc_error(caught.value)

    async def use(channel, port):
        return await asyncio.to_thread(ask, port)

    arrived = await with_server(use)
    assert type(arrived) is errors.StaleVersion
    assert str(arrived) == "update out of sequence"


async def test_nobody_there_is_unavailable_and_no_answer_is_unknown():
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/Unary")(b"")
        assert type(from_rpc_error(caught.value)) is errors.Unavailable
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/Unary")(b"", timeout=0.05, wait_for_ready=True)
        assert type(from_rpc_error(caught.value)) is errors.OutcomeUnknown


async def test_who_does_not_know_a_request_is_of_an_older_version():
    async def use(channel, port):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t/ToCome")(b"")
        assert "of an older version" in str(from_rpc_error(caught.value))

    await with_server(use)
