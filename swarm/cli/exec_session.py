"""Running a command in a container: what is typed goes there, what it prints comes here."""

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput, ContainerRequest, TerminalSize
from swarm.api.v1.logs_pb2 import LOG_STREAM_STDERR
from swarm.cli import terminal
from swarm.cli.connect import Connection
from swarm.cli.container_calls import Target, question
from swarm.errors import OutcomeUnknown

WINDOW_BYTES = 1 << 20  # what may be under way before the node says that it took something
CHUNK_BYTES = 32 * 1024
QUEUE_MESSAGES = 64
PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
IMPATIENCE = 3


class Caller:
    """What this side sends, in order and never more than the other side takes; gRPC iterates over it."""

    def __init__(self, first: ContainerInput) -> None:
        """Send `first`, then what is put."""
        self._queue: queue.Queue[ContainerInput | None] = queue.Queue(QUEUE_MESSAGES)
        self._queue.put(first)
        self._room = WINDOW_BYTES
        self._changed = threading.Condition()
        self._closed = False

    def __iter__(self) -> Iterator[ContainerInput]:
        while (message := self._queue.get()) is not None:
            yield message

    def put(self, message: ContainerInput) -> None:
        """Send something small."""
        self._queue.put(message)

    def put_data(self, data: bytes) -> bool:
        """Send data as soon as there is room; False when nobody takes it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._room > 0 or self._closed)
            if self._closed:
                return False
            self._room -= len(data)
        self._queue.put(ContainerInput(data=data))
        return True

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of the terminal; called by a signal, so it must not wait."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(ContainerInput(resize=TerminalSize(rows=rows, columns=columns)))

    def signal(self, name: str) -> None:
        """Send a signal to the container; called by a signal, so it must not wait."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(ContainerInput(signal=name))

    def taken(self, count: int) -> None:
        """Hear that there is room for more."""
        with self._changed:
            self._room += count
            self._changed.notify_all()

    def close(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)


@dataclass(frozen=True, slots=True)
class Manner:
    """How somebody is connected to a command, or to a container's own."""

    tty: bool
    stdin: bool
    detach_keys: str
    detach: bool = False
    signals: bool = False  # pass on what is sent to this program


def run(
    conn: Connection,
    target: Target,
    request: ContainerRequest,
    detach_keys: str,
    out: BinaryIO,
    err: BinaryIO,
) -> int:
    """Run the command of an exec request; return its exit code, 0 when the caller detached."""
    asked = request.exec
    return converse(
        conn, target, request, Manner(asked.tty, asked.stdin, detach_keys, asked.detach), out, err
    )


def converse(
    conn: Connection, target: Target, request: ContainerRequest, manner: Manner, out: BinaryIO, err: BinaryIO
) -> int:
    """Carry everything between here and a command; return its exit code, 0 when the caller detached."""
    keys = terminal.DetachKeys(terminal.parse_keys(manner.detach_keys) if manner.tty else b"")
    request.container_id = target.container_id
    caller = Caller(question(request, [target.node_id]))
    try:
        answers = conn.containers.Operate(iter(caller), timeout=None)
        with contextlib.ExitStack() as stack:
            for answer in answers:
                if answer.HasField("started") and not manner.detach:
                    _begin(manner, caller, keys, stack)
                code = _take(answer, caller, out, err)
                if code is not None:
                    return code
    finally:
        caller.close()
    raise OutcomeUnknown("the connection ended before the command did")


def _begin(manner: Manner, caller: Caller, keys: terminal.DetachKeys, stack: contextlib.ExitStack) -> None:
    """Pass on what is typed from now on."""
    if manner.tty:
        stack.enter_context(terminal.raw(caller.resize))
        caller.resize(*terminal.size())  # it may have changed since
    if manner.signals:
        stack.enter_context(passed_signals(caller.signal))
    if manner.stdin:
        typing = threading.Thread(target=_type, args=(caller, keys), name="stdin", daemon=True)
        typing.start()


@contextlib.contextmanager
def passed_signals(send: Callable[[str], None]) -> Iterator[None]:
    """Send on the signals that this program gets; who interrupts it three times is not kept waiting."""
    interrupts = 0

    def pass_on(number: int, _frame: object) -> None:
        nonlocal interrupts
        interrupts += number in {signal.SIGINT, signal.SIGTERM}
        if interrupts >= IMPATIENCE:
            sys.exit(128 + number)
        send(signal.Signals(number).name)

    before = {number: signal.signal(number, pass_on) for number in PASSED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _take(answer: ContainerOutput, caller: Caller, out: BinaryIO, err: BinaryIO) -> int | None:
    """Deal with one answer; the exit code when it was the last one."""
    match answer.WhichOneof("output"):
        case "chunk":
            stream = err if answer.chunk.stream == LOG_STREAM_STDERR else out
            stream.write(answer.chunk.data)
            stream.flush()
        case "taken":
            caller.taken(answer.taken)
        case "exit_code":
            return answer.exit_code
        case "done":
            return 0
    return None


def _type(caller: Caller, keys: terminal.DetachKeys) -> None:
    """Send standard input up to its end, or to the keys that detach."""
    # Read by number: the thread is still in here when the program ends, and must hold no lock then.
    with contextlib.suppress(OSError):
        while data := os.read(sys.stdin.fileno(), CHUNK_BYTES):
            passed = keys.take(data)
            if passed and not caller.put_data(passed):
                return
            if keys.found:
                caller.put(ContainerInput(detach=True))
                return
    caller.put(ContainerInput(end=True))
