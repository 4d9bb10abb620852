"""A command beside a container's own, held by a process of this node whose output is read through pipes.

What a driver adds: which process is the command itself, which others belong to it, what an exit code means.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError
from swarm.ids import new_id
from swarm.runtime.base import ExecProcess
from swarm.runtime.processes import Process, kill_all, signal_number
from swarm.runtime.state import remove_tree
from swarm.runtime.terminal import END_OF_INPUT, Terminal

log = structlog.get_logger(__name__)

CHUNK_BYTES = 32 * 1024
BUFFER_BYTES = 128 * 1024  # read ahead of whoever reads the output; then the command has to wait
KILL_AGAIN_S = 0.05
END_TIMEOUT_S = 5.0  # from the kill of a command to the end of the process that holds it
SIGNAL_AGAIN_S = 0.01
NOT_FOUND = 127
NOT_RUNNABLE = 126


class CannotRun(FailedPrecondition):
    """No command can be run as asked for, such as that of a user whom the container has not."""


def exec_mark(exec_id: str) -> str:
    """Return the entry in the environment by which a command is known, with all that it starts.

    Its session would not do: whoever leaves it would be left behind.
    """
    return f"SWARM_EXEC_ID={exec_id}"


@dataclass(frozen=True, slots=True)
class ExecFiles:
    """Where the traces of one command are, so that the next agent finds what this one left behind."""

    directory: Path  # of the container
    exec_id: str

    @property
    def request(self) -> Path:
        """What is to be run; whoever comes too late to read it runs nothing."""
        return self.directory / f"{self.exec_id}.json"

    @property
    def pid(self) -> Path:
        """The command's process id."""
        return self.directory / f"{self.exec_id}.pid"

    @property
    def complaint(self) -> Path:
        """Why the command could not be started."""
        return self.directory / f"{self.exec_id}.log"

    @property
    def console(self) -> Path:
        """The socket over which the command's terminal comes."""
        return self.directory / f"{self.exec_id}.tty"

    def remove(self) -> None:
        """Remove all of them, and the directory after the last."""
        for path in (self.request, self.pid, self.complaint, self.console):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()

    @classmethod
    def found(cls, directory: Path) -> list[Self]:
        """Return the commands of a container that left traces."""
        try:
            return [cls(directory, name) for name in sorted({path.stem for path in directory.iterdir()})]
        except (FileNotFoundError, NotADirectoryError):
            return []


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Says when the process has ended, also while others still hold its output."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=BUFFER_BYTES // 2, loop=loop)
        self.exited: asyncio.Future[None] = loop.create_future()

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)
        super().process_exited()


class PipedExec(ABC):
    """An ExecProcess whose output comes through pipes, or through a terminal."""

    def __init__(self, files: ExecFiles, terminal: Terminal | None = None) -> None:
        """`launch` comes next. The `terminal` is this object's from now on."""
        self._files = files
        self._terminal = terminal
        self._process: asyncio.subprocess.Process
        self._transport: asyncio.SubprocessTransport
        self._reaper: asyncio.Task[tuple[int, str]]

    # What a driver adds; these block for milliseconds and run in threads.

    @abstractmethod
    def _command_pid(self) -> int:
        """Return the process id of the command itself, 0 while or when there is none."""

    @abstractmethod
    def _members(self) -> list[Process]:
        """Return every living process of the command, also those that outlived it."""

    def _outcome(self, code: int) -> tuple[int, str]:
        """Return the command's exit code for that of the process which holds it, and why it never ran."""
        return code, ""

    async def _is_under_way(self) -> bool:
        """Return whether the command was started, once that is known: till then its holder may speak."""
        return True

    # The contract.

    async def launch(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: bool,
        program: str | None = None,
    ) -> None:
        """Start the process that is, or holds, the command; raises OSError."""
        loop = asyncio.get_running_loop()
        pipe = asyncio.subprocess.PIPE
        nothing = _ended_pipe()
        streams: dict[str, Any] = {
            "stdin": pipe if stdin else nothing,
            "stdout": pipe,
            "stderr": pipe,
        }
        if self._terminal is not None:
            streams = dict.fromkeys(streams, self._terminal.slave)
            argv, program = self._terminal.command(argv, program), None
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Protocol(loop),
                *argv,
                executable=program,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,  # one name for all that the command starts
                **streams,
            )
        except BaseException:
            self._hang_up()
            raise
        finally:
            os.close(nothing)
        if self._terminal is not None:
            self._terminal.started()
        self._transport = transport
        self._process = asyncio.subprocess.Process(transport, protocol, loop)
        self._reaper = loop.create_task(self._reap(protocol.exited), name=f"exec {self._files.exec_id}")

    async def _reap(self, exited: "asyncio.Future[None]") -> tuple[int, str]:
        await exited
        if self._terminal is not None:
            self._terminal.ended()
        code = self._transport.get_returncode() or 0
        outcome = await asyncio.to_thread(self._outcome, code if code >= 0 else 128 - code)
        await asyncio.to_thread(self._ended)
        return outcome

    def _ended(self) -> None:
        """Remove the traces once the command has ended."""
        self._files.remove()

    @property
    def ended(self) -> bool:
        """Whether the command has ended."""
        return self._transport.get_returncode() is not None

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call `call` once the command has ended."""
        self._reaper.add_done_callback(lambda _: call())

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (stream, chunk) until both streams are closed, at last why the command did not start."""
        heard = False
        try:
            while self._terminal is not None and (data := await self._terminal.read()):
                if not heard:
                    heard = await self._is_under_way()
                if heard:
                    yield "stdout", data
        finally:
            self._hang_up()
        streams = {"stdout": self._process.stdout, "stderr": self._process.stderr}
        reads = {
            asyncio.ensure_future(stream.read(CHUNK_BYTES)): name
            for name, stream in streams.items()
            if stream is not None
        }
        try:
            while reads:
                done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
                for read in done:
                    name = reads.pop(read)
                    stream = streams[name]
                    data = read.result()
                    if data and stream is not None:
                        reads[asyncio.ensure_future(stream.read(CHUNK_BYTES))] = name
                        if not heard:
                            heard = name == "stdout" or await self._is_under_way()
                        if heard:
                            yield name, data
        finally:
            for read in reads:
                read.cancel()
        _, complaint = await asyncio.shield(self._reaper)
        if complaint:
            yield "stderr", f"{complaint}\n".encode()

    async def refusal(self) -> str:
        """Return why the command did not start, empty once it did."""
        if await self._is_under_way():
            return ""
        _, complaint = await asyncio.shield(self._reaper)
        return complaint

    async def write(self, data: bytes) -> None:
        """Write to its standard input; ignored once it has ended or was started without."""
        if self._terminal is not None:
            await self._terminal.write(data)
        if self._process.stdin is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        """Let it read the end of its input."""
        if self._terminal is not None:
            await self._terminal.write(END_OF_INPUT)
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal; ignored without one."""
        if self._terminal is not None:
            self._terminal.resize(rows, columns)

    async def signal(self, name: str) -> None:
        """Send a signal to the command; raises InvalidArgument for an unknown one."""
        try:
            number = signal_number(name)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        # A runtime may say which process it is a moment after that process was first heard of.
        while not self._reaper.done() and not await asyncio.to_thread(self._send, number):
            await asyncio.wait({self._reaper}, timeout=SIGNAL_AGAIN_S)

    def _send(self, number: int) -> bool:
        process = Process.open(self._command_pid())
        if process is None:
            return False
        sent = process.send(number)
        process.close()
        return sent

    async def wait(self) -> int:
        """Return the exit code once the command has ended."""
        code, _ = await asyncio.shield(self._reaper)
        return code

    async def kill(self) -> None:
        """Kill it and everything that it started; returns when nothing is left."""
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                # Again and again: what holds the command may be just about to start it.
                while not self._reaper.done():
                    await asyncio.to_thread(kill_all, self._members)
                    await asyncio.wait({self._reaper}, timeout=KILL_AGAIN_S)
        except TimeoutError:
            log.warning("runtime.exec_does_not_end", exec_id=self._files.exec_id)
            with suppress(ProcessLookupError):
                self._transport.kill()
            await self.wait()
        await asyncio.to_thread(kill_all, self._members)
        self._transport.close()  # a process that hides its environment may still hold the other end
        self._hang_up()

    def _hang_up(self) -> None:
        if self._terminal is not None:
            self._terminal.close()


class FailedExec:
    """An ExecProcess of a command that cannot be run."""

    def __init__(self, code: int, complaint: str) -> None:
        self._code = code
        self._complaint = complaint

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Say why it cannot be run."""
        yield "stderr", f"{self._complaint}\n".encode()

    async def refusal(self) -> str:
        """Return why it cannot be run."""
        return self._complaint

    async def write(self, data: bytes) -> None:
        """Do nothing: it has ended."""

    async def close_stdin(self) -> None:
        """Do nothing: it has ended."""

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: it has ended."""

    async def signal(self, name: str) -> None:
        """Do nothing: it has ended."""

    async def wait(self) -> int:
        """Return what tells that it did not run."""
        return self._code

    async def kill(self) -> None:
        """Do nothing: it has ended."""


class Execs:
    """The commands of a driver's containers, while they run."""

    def __init__(self, directory: Path) -> None:
        """Traces are kept in `directory`, which only this boot needs."""
        self._directory = directory
        self._running: dict[str, dict[str, PipedExec | None]] = {}  # None: about to be started
        self._unfinished: set[asyncio.Task[None]] = set()

    async def start(
        self, container_id: str, begin: Callable[[ExecFiles], Awaitable[ExecProcess]]
    ) -> ExecProcess:
        """Return what `begin` started with the files that it was given; know it until it has ended."""
        starting = asyncio.get_running_loop().create_task(self._start(container_id, begin))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # nobody would ever end it
            ending = asyncio.get_running_loop().create_task(_end_unwanted(starting))
            self._unfinished.add(ending)
            ending.add_done_callback(self._unfinished.discard)
            raise

    async def _start(
        self, container_id: str, begin: Callable[[ExecFiles], Awaitable[ExecProcess]]
    ) -> ExecProcess:
        files = ExecFiles(self._directory / container_id, new_id())
        self._running.setdefault(container_id, {})[files.exec_id] = None
        try:
            await asyncio.to_thread(files.directory.mkdir, parents=True, exist_ok=True, mode=0o700)
            process = await begin(files)
        except BaseException:
            self._let_go(container_id, files.exec_id)
            await asyncio.to_thread(files.remove)
            raise
        if isinstance(process, PipedExec):
            self._running[container_id][files.exec_id] = process
            process.when_ended(lambda: self._let_go(container_id, files.exec_id))
        else:
            self._let_go(container_id, files.exec_id)
        return process

    def _let_go(self, container_id: str, exec_id: str) -> None:
        running = self._running.get(container_id, {})
        running.pop(exec_id, None)
        if not running:
            self._running.pop(container_id, None)

    def left_behind(self) -> list[tuple[str, ExecFiles]]:
        """Return (container id, files) of the commands of an earlier agent; blocks."""
        try:
            directories = sorted(self._directory.iterdir())
        except FileNotFoundError:
            return []
        return [
            (directory.name, files)
            for directory in directories
            for files in ExecFiles.found(directory)
            if files.exec_id not in self._running.get(directory.name, {})
        ]

    async def kill(self, container_id: str) -> None:
        """Kill the commands of a container."""
        running = [one for one in self._running.get(container_id, {}).values() if one is not None]
        await asyncio.gather(*(process.kill() for process in running), return_exceptions=True)

    async def close(self) -> None:
        """Kill all commands."""
        await asyncio.gather(*(self.kill(container_id) for container_id in list(self._running)))
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    def forget(self, container_id: str) -> None:
        """Remove the traces of a container's commands; blocks."""
        remove_tree(self._directory / container_id)


async def _end_unwanted(starting: asyncio.Task[ExecProcess]) -> None:
    with suppress(SwarmError, OSError):
        await (await starting).kill()


def _ended_pipe() -> int:
    """Return a stream without content; not /dev/null: crun gives its streams to the command's user."""
    nothing, end = os.pipe()
    os.close(end)
    return nothing
