"""Docker's protocol for secret plugins, and which drivers a manager has."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from swarm.clock import SystemClock
from swarm.errors import TaskRejected, Unavailable
from swarm.manager.secrets.drivers import Drivers
from swarm.manager.secrets.question import Answer
from tests.unit.secrets.vaults import Kept, a_question


@asynccontextmanager
async def a_plugin(path: Path, answer: Callable[[dict[str, Any]], bytes]) -> AsyncIterator[None]:
    """Serve one plugin on a socket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        assert head.startswith("post /secretprovider.getsecret ")
        body = answer(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def test_a_plugin_is_told_the_task_and_gives_its_value(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> bytes:
        asked.append(request)
        return json.dumps({"Value": base64.b64encode(b"s3cret").decode(), "DoNotReuse": True}).encode()

    async with a_plugin(tmp_path / "mine.sock", answer):
        driver = Drivers(SystemClock(), [tmp_path]).find("mine")
        question = a_question({"path": "a"}, "mine")
        assert driver.per_task(question)
        assert await driver.read(question, Kept()) == Answer(b"s3cret", reusable=False)
    (request,) = asked
    assert request["SecretName"] == "key"
    assert (request["ServiceName"], request["TaskID"], request["TaskName"]) == ("web", "t1", "web.1.t1")
    assert (request["SecretLabels"], request["ServiceLabels"]) == ({"a": "b"}, {"tier": "a"})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b'{"Err": "no such thing"}', "says: no such thing"),
        (b"[]", "no object in JSON"),
        (b'{"Value": "%%%"}', "not in base64"),
        (b'{"Value": 7}', "not in base64"),
    ],
)
async def test_what_a_plugin_says_against_it_is_told(tmp_path: Path, said: bytes, reason: str) -> None:
    async with a_plugin(tmp_path / "mine.sock", lambda _: said):
        driver = Drivers(SystemClock(), [tmp_path]).find("mine")
        with pytest.raises(TaskRejected, match=reason):
            await driver.read(a_question({}, "mine"), Kept())


async def test_a_plugin_that_is_gone_may_come_back(tmp_path: Path) -> None:
    async with a_plugin(tmp_path / "mine.sock", lambda _: b"{}"):
        driver = Drivers(SystemClock(), [tmp_path]).find("mine")
    with pytest.raises(Unavailable, match="does not answer"):
        await driver.read(a_question({}, "mine"), Kept())


async def test_others_are_entry_points_and_who_has_none_says_which_there_are(tmp_path: Path) -> None:
    def point(name: str, value: str) -> EntryPoint:
        return EntryPoint(name, value, "swarm.secret_drivers")

    points = [point("theirs", "collections:OrderedDict"), point("broken", "nowhere.at_all:Driver")]
    drivers = Drivers(SystemClock(), [tmp_path], lambda: points)
    assert drivers.find("theirs") is drivers.find("theirs")
    with pytest.raises(TaskRejected, match="broken cannot be loaded"):
        drivers.find("broken")
    with pytest.raises(TaskRejected, match=r"no secret driver nobody: it has broken, theirs, vault"):
        drivers.find("nobody")
    with pytest.raises(TaskRejected, match="no secret driver"):
        drivers.find("../mine")
    assert drivers.find("vault") is drivers.find("vault")
