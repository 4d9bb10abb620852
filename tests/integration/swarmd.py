"""Real daemons on loopback addresses, for tests: one process a node, plain processes as containers."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlStub, LocalStub
from swarm.errors import SwarmError

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0
R = TypeVar("R")
_hosts = itertools.cycle(range(1, 200))  # those above are the tests' own


def wait_for(question: Callable[[], R], timeout_s: float = 60.0) -> R:
    """Return the first answer that is true; errors of swarm, and what is in no list, are "not yet"."""
    deadline = time.monotonic() + timeout_s
    problem: object = None
    while time.monotonic() < deadline:
        try:
            answer = question()
        except (SwarmError, LookupError) as error:
            problem = error
        else:
            if answer:
                return answer
            problem = answer
        time.sleep(0.05)
    raise AssertionError(f"not so within {timeout_s:g} s: {problem}")


class Daemon:
    """One swarmd process and its socket."""

    def __init__(self, directory: Path, addr: str, *flags: str) -> None:
        self.directory = directory
        self.addr = addr
        self.log_file = directory / "log"
        self.root = ROOT  # where its program is; another tree is another version
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def arguments(self) -> list[str]:
        """The flags that make this node."""
        host = self.addr.partition(":")[0]
        state, run = str(self.directory / "s"), str(self.directory / "r")
        return ["--state-dir", state, "--run-dir", run, "--listen-addr", self.addr,
                "--metrics-addr", f"{host}:9323", "--runtime", "process", "--log-level", "debug",
                "--hostname", self.directory.name, *self._flags]  # fmt: skip

    def start(self) -> None:
        """Start the process and wait for its socket."""
        command = [sys.executable, "-m", "swarm.daemon", *self.arguments]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.root, stdout=log, stderr=log)
        wait_for(self._answers, START_TIMEOUT_S)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"swarmd ended: {self.log()[-2000:]}")
        return (self.directory / "r" / "swarmd.sock").exists() and bool(self.info())

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """End the process and return its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    def cleanup(self) -> None:
        """End the process and remove everything it ran."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        if self._process is not None:
            self.stop(signal.SIGKILL)
        command = [sys.executable, "-m", "swarm.daemon", "cleanup", *self.arguments]
        subprocess.run(command, cwd=self.root, check=True, capture_output=True, timeout=120)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # What people ask.

    def local(self, method: str, request: Any, timeout_s: float = 70.0) -> Any:
        return self._call(LocalStub, method, request, timeout_s)

    def ask(self, method: str, request: Any, timeout_s: float = 60.0) -> Any:
        return self._call(ControlStub, method, request, timeout_s)

    def _call(self, stub: Any, method: str, request: Any, timeout_s: float) -> Any:
        options = [("grpc.default_authority", "localhost")]
        with grpc.insecure_channel(f"unix:{self.directory}/r/swarmd.sock", options) as channel:
            try:
                return getattr(stub(channel), method)(request, timeout=timeout_s)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from None

    def info(self) -> control.InfoResponse:
        return self.local("Info", control.InfoRequest())

    def init(self) -> control.InitResponse:
        return self.local("Init", control.InitRequest())

    def join(self, token: str, *addrs: str) -> control.JoinResponse:
        return self.local("Join", control.JoinRequest(remote_addrs=addrs, token=token))

    def leave(self, *, force: bool = False) -> None:
        self.local("Leave", control.LeaveRequest(force=force), 100.0)

    def nodes(self) -> dict[str, Any]:
        """All nodes of the cluster by hostname."""
        answer = self.ask("ListNodes", control.ListNodesRequest())
        return {node.description.hostname: node for node in answer.nodes}


@contextlib.contextmanager
def daemons(
    directory: Path, *names: str, flags: Mapping[str, Sequence[str]] | None = None
) -> Iterator[dict[str, Daemon]]:
    """Start one daemon a name on addresses of this test alone, some with `flags`; leave nothing behind."""
    # The process id makes the addresses differ from those of tests that run at the same time.
    net = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
    more = flags or {}
    made = {
        name: Daemon(directory / name, f"{net}.{next(_hosts)}:2377", *more.get(name, ())) for name in names
    }
    try:
        _each(Daemon.start, made)
        yield made
    except BaseException:
        for one in made.values():
            print(f"--- log of {one.directory.name}\n{one.log()[-4000:]}")
        raise
    finally:
        _each(Daemon.cleanup, made)


def _each(do: Callable[[Daemon], None], made: Mapping[str, Daemon]) -> None:
    """Do it to all daemons side by side; what each of them is busy with is mostly waited for."""
    with ThreadPoolExecutor(max(1, len(made))) as pool:
        list(pool.map(do, made.values()))
