"""Holds a container as conmon does, where that is not installed: its parent, who writes log and exit code.

Runs as `python -I -S shim.py OPTIONS` with those of conmon's options that the driver uses, and outlives the
agent. Answers one JSON line on the descriptor that `_OCI_SYNCPIPE` names: {"data": process id}, or
{"data": -1, "message": why not}.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.abspath(__file__).rsplit("/", 4)[0])

from swarm.runtime.process.shim import (
    CHUNK_BYTES,
    DRAIN_S,
    PR_SET_CHILD_SUBREAPER,
    REAP_INTERVAL_S,
    Log,
    reap_orphans,
    write_atomically,
)
from swarm.runtime.starter import kernel

VERSION = "1.0"
_FLAGS = frozenset({"--no-sync-log", "--no-new-keyring", "--full-attach", "--terminal", "--version"})
_CONSOLE_TIMEOUT_S = 10.0
_OWN_RUNTIME = [sys.executable, "-I", "-S", f"{os.path.dirname(os.path.abspath(__file__))}/__main__.py"]
_MOST_DESCRIPTORS = 1024  # far more than a shim ever has open
_REOPEN = b"2"  # the first word of an order: the others are for sizes of terminals
_RESIZE = b"1"

Options = dict[str, list[str]]


def parse(words: list[str]) -> Options:
    """Return every value of each option, in their order."""
    options: Options = {}
    rest = iter(words)
    for word in rest:
        options.setdefault(word.lstrip("-"), []).append("" if word in _FLAGS else next(rest, ""))
    return options


class Streams:
    """The ends that we hold of what the container writes."""

    def __init__(self, *, terminal: bool) -> None:
        """A container with a terminal sends that later; its runtime complains on a pipe all the same."""
        self.terminal = terminal
        self.out, self.out_theirs = os.pipe()
        self.err, self.err_theirs = os.pipe()

    def close_theirs(self) -> None:
        """Let the end of the container be the end of the streams."""
        os.close(self.out_theirs)
        os.close(self.err_theirs)

    def complaint(self) -> str:
        """Return what the runtime said before it failed."""
        with open(self.err, "rb") as file:
            return file.read(65536).decode("utf-8", "replace")


class Listener:
    """Waits for the terminal that a runtime makes."""

    def __init__(self, bundle: str) -> None:
        """Listen in the directory of the bundle."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY)
        # The path of the bundle may be too long for a socket, here and for the runtime.
        self.path = f"/proc/{os.getpid()}/fd/{self._directory}/console"
        self._socket.bind(self.path)
        self._socket.listen(1)
        self._socket.settimeout(_CONSOLE_TIMEOUT_S)

    def receive(self) -> int:
        """Return the terminal's descriptor; raises OSError when nobody sends one."""
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(_CONSOLE_TIMEOUT_S)
            _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
        self.close()
        if not descriptors:
            raise OSError(0, "the runtime sent no terminal")
        return descriptors[0]

    def close(self) -> None:
        """Wait no more."""
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        os.close(self._directory)


def create(options: Options, streams: Streams) -> int:
    """Let the runtime make the container; return its process id; raises OSError with the reason."""
    bundle, pid_file = options["bundle"][0], options["container-pidfile"][0]
    listener = Listener(bundle) if streams.terminal else None
    command = [
        options["runtime"][0],
        *options.get("runtime-arg", []),
        *("create", "--bundle", bundle, "--pid-file", pid_file),
        *(["--console-socket", listener.path] if listener else []),
        options["cid"][0],
    ]
    code = _run(command, streams)
    streams.close_theirs()
    if code != 0:
        if listener is not None:
            listener.close()
        raise OSError(0, streams.complaint() or f"the OCI runtime failed with {code}")
    if listener is not None:
        os.close(streams.out)
        streams.out = listener.receive()
    with open(pid_file, encoding="ascii") as file:
        return int(file.read())


def _run(command: list[str], streams: Streams) -> int:
    """Run the runtime with the streams of the container; return its exit code."""
    if command[: len(_OWN_RUNTIME)] == _OWN_RUNTIME:
        return _run_our_own(command[len(_OWN_RUNTIME) :], streams)
    # Not by `subprocess`, which takes long to load.
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    theirs = ((null, 0), (streams.out_theirs, 1), (streams.err_theirs, 2))
    actions = [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in theirs]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    os.close(null)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run_our_own(words: list[str], streams: Streams) -> int:
    """Do what our own runtime does, in a process of its own and without starting Python once more."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(streams.out_theirs, 1)
        os.dup2(streams.err_theirs, 2)
        os.closerange(3, _MOST_DESCRIPTORS)  # what is ours is not the container's business
        from swarm.runtime.starter.__main__ import main as run

        sys.argv[1:] = words
        code = run()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Holder:
    """Copies what a container says into its log until it has ended."""

    def __init__(self, pid: int, streams: Streams, log: Log, control: int) -> None:
        """`control` is the pipe with our orders."""
        self._pid, self._streams, self._log, self._control = pid, streams, log, control
        self._selector = selectors.DefaultSelector()
        for fd, what in (
            (streams.out, "stdout"),
            (streams.err, "stderr"),
            (control, "order"),
            (os.pidfd_open(pid), "end"),
        ):
            self._selector.register(fd, selectors.EVENT_READ, what)

    def until_the_end(self) -> int:
        """Return the exit code once everything that was said is written, or nobody ends the streams."""
        reaped = time.monotonic()
        while not self._pump(REAP_INTERVAL_S):
            if time.monotonic() - reaped >= REAP_INTERVAL_S:
                reap_orphans(self._pid)
                reaped = time.monotonic()
        _, status = os.waitpid(self._pid, 0)
        self._selector.unregister(self._control)
        deadline = time.monotonic() + DRAIN_S
        while self._selector.get_map() and time.monotonic() < deadline:
            self._pump(0.1)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _pump(self, timeout: float) -> bool:
        ended = False
        for key, _ in self._selector.select(timeout):
            if key.data == "end":
                self._selector.unregister(key.fd)
                ended = True
            elif key.data == "order":
                self._obey(os.read(key.fd, 4096))
            else:
                self._copy(key.fd, key.data)
        return ended

    def _copy(self, fd: int, stream: str) -> None:
        try:
            data = os.read(fd, CHUNK_BYTES)
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if data:
            self._log.write(stream, data)
            return
        self._log.end(stream)
        self._selector.unregister(fd)
        os.close(fd)

    def _obey(self, orders: bytes) -> None:
        for order in orders.splitlines():
            words = order.split()
            if words[:1] == [_REOPEN]:
                self._log.reopen()
            elif words[:1] == [_RESIZE] and self._streams.terminal and len(words) == 3:
                with contextlib.suppress(OSError, ValueError):
                    size = struct.pack("HHHH", int(words[1]), int(words[2]), 0, 0)
                    fcntl.ioctl(self._streams.out, termios.TIOCSWINSZ, size)


def hold(options: Options, report: int) -> None:
    """Be the shim of one container, from its creation to its end."""
    bundle, name = options["bundle"][0], options["cid"][0]
    kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)
    write_atomically(options["conmon-pidfile"][0], str(os.getpid()))
    control = f"{bundle}/ctl"
    os.mkfifo(control, 0o600)
    streams = Streams(terminal="terminal" in options)
    try:
        log = Log(options["log-path"][0].partition(":")[2], int(options["log-size-max"][0]), 1)
        pid = create(options, streams)
    except (OSError, ValueError) as error:
        answer(report, {"data": -1, "message": getattr(error, "strerror", "") or str(error)})
        return
    holder = Holder(pid, streams, log, os.open(control, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    answer(report, {"data": pid})
    write_atomically(f"{options['exit-dir'][0]}/{name}", str(holder.until_the_end()))


def answer(report: int, said: dict[str, object]) -> None:
    """Answer the agent, which may be gone by now."""
    with contextlib.suppress(OSError):
        os.write(report, json.dumps(said).encode() + b"\n")
    os.close(report)


def main() -> None:
    """Detach from the agent and be the shim."""
    options = parse(sys.argv[1:])
    if "version" in options:
        sys.stdout.write(f"swarm shim version {VERSION}\n")
        return
    report = int(os.environ.pop("_OCI_SYNCPIPE"))
    os.set_inheritable(report, False)
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, lambda *_: None)  # not ignored: that the container would inherit
    hold(options, report)


if __name__ == "__main__":
    main()
