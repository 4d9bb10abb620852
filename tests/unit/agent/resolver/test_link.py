"""The agent's hold on a name server that runs already."""

import asyncio
import os
import socket
from pathlib import Path

from swarm.agent.resolver.control import Control
from swarm.agent.resolver.counters import Counters
from swarm.agent.resolver.link import Link
from swarm.agent.resolver.tables import Tables


async def test_an_agent_that_takes_over_lets_the_name_server_wait_for_nothing(tmp_path: Path) -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with udp, tcp, listener:
        listener.bind(str(tmp_path / "control"))
        listener.listen()
        for one in (udp, tcp, listener):
            one.setblocking(False)
        control = Control(listener, (udp, tcp), "v1")
        serving = asyncio.create_task(control.run(Tables(), None, Counters()))  # type: ignore[arg-type]
        link = await Link.open(tmp_path / "control")
        copies = [one.dup() for one in link.sockets]  # as the agent holds them beyond the link
        assert not any(os.get_blocking(one.fileno()) for one in (udp, tcp))
        for one in (*copies, *link.sockets):
            one.close()
        await link.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert control._conversation is not None
        await asyncio.wait({control._conversation}, timeout=60)
