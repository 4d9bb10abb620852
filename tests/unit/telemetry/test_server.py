"""The two pages, asked for over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from swarm.telemetry.server import Health, TelemetryServer

FINE: Mapping[str, Health] = {"agent": Health(healthy=True, reason="has a session")}


async def page() -> bytes:
    return b"swarm_raft_term 1\n"


async def broken() -> bytes:
    raise ZeroDivisionError


@asynccontextmanager
async def serving(health: Mapping[str, Health] = FINE, metrics=page) -> AsyncIterator[int]:  # type: ignore[no-untyped-def]
    server = TelemetryServer("127.0.0.1", 0, metrics, lambda: health)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def ask(port: int, request: bytes) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    raw = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await writer.wait_closed()
    head, _, body = raw.decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


async def test_metrics_are_served() -> None:
    async with serving() as port:
        assert await ask(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n") == (
            200,
            "swarm_raft_term 1\n",
        )


async def test_a_healthy_node_answers_200_with_reasons() -> None:
    async with serving() as port:
        status, body = await ask(port, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert status == 200
    assert json.loads(body) == {
        "healthy": True,
        "parts": {"agent": {"healthy": True, "reason": "has a session"}},
    }


async def test_one_sick_part_makes_503() -> None:
    health = {**FINE, "manager": Health(healthy=False, reason="knows no leader")}
    async with serving(health) as port:
        status, body = await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
    assert status == 503
    assert json.loads(body)["parts"]["manager"]["reason"] == "knows no leader"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"\x16\x03\x01 nonsense\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"x" * 20_000, 400),
    ],
)
async def test_other_requests_get_an_honest_answer(request_: bytes, status: int) -> None:
    async with serving() as port:
        assert (await ask(port, request_))[0] == status


async def test_a_page_that_cannot_be_made_does_not_end_the_server() -> None:
    async with serving(metrics=broken) as port:
        assert (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 500
        assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200
