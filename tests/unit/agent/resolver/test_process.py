"""The agent's side of its name server, with the conversations played."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.resolver import process
from swarm.agent.resolver.process import ProcessResolver


class NameServer:
    """A conversation with a name server; `gone`: it ends by itself before it is asked to."""

    def __init__(self, version: str, *, gone: bool = False) -> None:
        self.version, self.pid, self.gone = version, 1, gone
        self.sockets = (socket.socket(), socket.socket())
        self.asked: list[str] = []

    async def ask(self, message: dict[str, Any]) -> object:
        self.asked.append(message["do"])
        if self.gone and message["do"] == "stop":
            raise ConnectionError("the name server has gone")
        return {"clients": [], "zones": {}}

    async def ended(self) -> None:
        if not self.asked or self.asked[-1] != "stop":
            await asyncio.Event().wait()

    async def close(self) -> None:
        self.asked.append("closed")


@pytest.mark.parametrize("gone", [False, True])
async def test_one_of_other_code_may_be_gone_before_it_is_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """It looks whether it is replaced, and on a busy machine the next one takes its time to begin."""
    old, new = NameServer("old", gone=gone), NameServer("new")
    found = [old, new]

    async def opened(_: Path) -> NameServer:
        return found.pop(0)

    async def started(*_: object) -> None:
        return

    monkeypatch.setattr(process.Link, "open", opened)
    monkeypatch.setattr(process, "start_process", started)
    monkeypatch.setattr(process, "are_in", lambda *_: True)
    resolver = ProcessResolver(tmp_path, tmp_path, "127.0.0.1", lambda _: tmp_path, code="new")
    await resolver.start()
    assert old.asked == ["export", "stop", "closed"]
    assert [one.fileno() for one in old.sockets] == [-1, -1]
    assert new.asked == ["attach", "zones", "listen", "listen"]
    await resolver.close()
