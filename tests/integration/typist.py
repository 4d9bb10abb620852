"""swarmctl without a new interpreter for each command.

Tests type thousands of commands, most of them to ask whether something is so by now, and a quarter of a
second for Python to start takes the processor away from the daemons that are asked. So one process imports
what swarmctl consists of, and forks whenever a command is typed: it still runs as a process of its own, on
the node, and ends as one.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from swarm.agent.network import namespaces
from swarm.dev import processes
from swarm.dev.cluster import DevCluster

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = ("swarm.cli", "swarm.api.v1", "swarm.compose")


class Typist:
    """Types commands for one test process; its own process ends with that one, however it does."""

    def __init__(self) -> None:
        self._wishes, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], cwd=ROOT, stdin=theirs, stdout=subprocess.DEVNULL
            )

        atexit.register(self._end)

    def _end(self) -> None:
        self._wishes.close()
        self._process.wait()

    def type(
        self, cluster: DevCluster, node: str, arguments: Sequence[str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `swarmctl ARGUMENTS` as if on a node and return what it said.

        Raises subprocess.TimeoutExpired, and the command is gone then.
        """
        where = cluster.node(node)
        namespace = cluster.plan.namespace(where)
        wish = {
            "arguments": arguments,
            "environment": processes.environment(where),
            "folder": str(Path.cwd()),
            "namespace": str(namespace) if namespaces.is_namespace(namespace) else "",
        }
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = self._run(wish, out, err, timeout_s)
            out.seek(0)
            err.seek(0)
            said, complained = (file.read().decode(errors="replace") for file in (out, err))
        return subprocess.CompletedProcess(list(arguments), code, said, complained)

    def _run(self, wish: Mapping[str, Any], out: IO[bytes], err: IO[bytes], timeout_s: float) -> int:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine, tempfile.TemporaryFile() as paper:
            with theirs:
                paper.write(json.dumps(wish).encode())
                paper.seek(0)
                files = [one.fileno() for one in (paper, out, err, theirs)]
                with self._lock:
                    socket.send_fds(self._wishes, [b"?"], files)
            _, (handle, *_), _, _ = socket.recv_fds(mine, 1, 1)
            mine.settimeout(timeout_s)
            try:
                return int(mine.recv(16))
            except TimeoutError:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["swarmctl", *wish["arguments"]], timeout_s) from None
            finally:
                os.close(handle)


@cache
def typist() -> Typist:
    """Return the one of this test process."""
    return Typist()


# The process that forks.


def _preload() -> None:
    for name in PRELOADED:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)


def _serve(wishes: socket.socket) -> None:
    """Fork for each wish, and tell who wished how it ended; return in each child, with a wish to fulfil."""
    running: dict[int, tuple[int, socket.socket]] = {}  # process and whom to tell, by pidfd
    with selectors.DefaultSelector() as ready:
        ready.register(wishes, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd != wishes.fileno():
                    ready.unregister(key.fd)
                    pid, teller = running.pop(key.fd)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with teller:
                        _tell(teller, str(code).encode())
                    continue
                message, files, _, _ = socket.recv_fds(wishes, 1, 4)
                if not message:
                    os._exit(0)  # the tests are over
                pid = os.fork()
                if pid == 0:
                    ready.close()
                    _become(wishes, files)
                    return
                teller = socket.socket(fileno=files.pop())
                for file in files:
                    os.close(file)
                handle = os.pidfd_open(pid)
                running[handle] = (pid, teller)
                ready.register(handle, selectors.EVENT_READ)
                socket.send_fds(teller, [b"!"], [handle])


def _tell(teller: socket.socket, words: bytes) -> None:
    try:
        teller.send(words)
    except OSError:  # whoever wished has not waited for the end
        return


def _become(wishes: socket.socket, files: Sequence[int]) -> None:
    """Let this process be as a new one that was started with a command."""
    paper, out, err, teller = files
    wishes.detach()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(old, new)
    with os.fdopen(paper, "rb") as file:
        wish = json.load(file)
    for one in (nothing, out, err, teller):
        os.close(one)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(wish["environment"])
    os.chdir(wish["folder"])
    if wish["namespace"]:
        with Path(wish["namespace"]).open("rb") as namespace:
            namespaces.enter(namespace.fileno())
    sys.argv = ["swarmctl", *wish["arguments"]]


if __name__ == "__main__":
    _preload()
    from swarm.cli.main import main

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also what cleans up after Ctrl-C is typed here
    gc.freeze()  # nobody has to look through it again, nor copy its pages
    _serve(socket.socket(fileno=0))
    try:
        main()
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        # Tidying up would touch all that was imported, and so copy it.
        os._exit(int(end.code or 0))
