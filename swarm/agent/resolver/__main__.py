"""The name server of a node, as a process of its own: `python -m swarm.agent.resolver`.

It outlives the agent that starts it, and imports little: every node has one. It ends when it is told to, or
when the file of its control socket has gone, with the node's folder or because another took its place.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import sys
from pathlib import Path

# Nothing here speaks TLS, and that library alone is a fifth of the memory. asyncio does without it.
sys.modules["ssl"] = None  # type: ignore[assignment]

from swarm.agent.resolver.control import FAREWELL_S, Control  # noqa: E402
from swarm.agent.resolver.counters import Counters  # noqa: E402
from swarm.agent.resolver.forward import Forwarder, Upstreams  # noqa: E402
from swarm.agent.resolver.server import Server  # noqa: E402
from swarm.agent.resolver.tables import Tables  # noqa: E402
from swarm.old_python import repair_timeouts  # noqa: E402

_LOOK_PERIOD_S = 5.0


def main() -> None:
    """Serve on the inherited sockets; the process that was called ends as soon as another one serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    for name in ("udp", "tcp", "control"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--control-path", type=Path, required=True)
    parser.add_argument("--resolv-conf", type=Path, required=True)
    given = parser.parse_args()
    listener = socket.socket(fileno=given.control)
    sockets = (socket.socket(fileno=given.udp), socket.socket(fileno=given.tcp))
    for one in (listener, *sockets):
        one.setblocking(False)
    if os.fork():
        os._exit(0)
    os.setsid()
    repair_timeouts()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    control = Control(listener, sockets, given.version)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(control, sockets, Upstreams(given.resolv_conf), given.control_path))


async def _serve(
    control: Control, sockets: tuple[socket.socket, socket.socket], upstreams: Upstreams, control_path: Path
) -> None:
    tables, counters = Tables(), Counters()
    server = Server(*sockets, tables, Forwarder(upstreams.servers), counters)
    conversing = asyncio.create_task(control.run(tables, server, counters))
    looking = asyncio.create_task(_wait_until_gone(control_path))
    stopping = asyncio.create_task(control.stopped.wait())
    done, _ = await asyncio.wait({conversing, looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.stop_listening()
    await server.finish(FAREWELL_S)
    for one in done - {stopping}:
        one.result()


async def _wait_until_gone(path: Path) -> None:
    """Return when the file is not the one any more that it is now."""
    own = _inode(path)
    while True:
        await asyncio.sleep(_LOOK_PERIOD_S)
        if _inode(path) != own:
            return


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


if __name__ == "__main__":
    main()
