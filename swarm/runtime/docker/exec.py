"""A command in a container of an engine: its streams come over the engine's socket, its processes are the
node's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from swarm.errors import InvalidArgument, SwarmError
from swarm.runtime.base import ExecConfig
from swarm.runtime.command import environment
from swarm.runtime.docker.client import EngineClient, Stream
from swarm.runtime.docker.logs import frames
from swarm.runtime.exec_process import NOT_FOUND, NOT_RUNNABLE, exec_mark
from swarm.runtime.oci.conmon import readable_error
from swarm.runtime.processes import Process, carriers, descendants, kill_all, living, signal_number
from swarm.runtime.terminal import END_OF_INPUT

_MARK = exec_mark("").encode()
_COMPLAINT = b"OCI runtime exec failed"
_END_TIMEOUT_S = 20.0  # an engine on a busy machine takes its time to say which process it has started
_AGAIN_S = 0.02


def exec_request(config: ExecConfig, mark: str) -> dict[str, object]:
    """Return the body of `containers/ID/exec`; raises TaskRejected for a senseless environment."""
    variables = environment({"TERM": "xterm"} if config.tty else {}, config.env, [mark])
    return {
        "AttachStdin": config.stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": config.tty,
        "Cmd": list(config.command),
        "Env": [f"{key}={value}" for key, value in variables.items()],
        "WorkingDir": config.working_dir,
        "User": config.user,
        "Privileged": config.privileged,
    }


def marked_ids(pids: list[int]) -> set[str]:
    """Return the commands, by the id in their mark, to which processes belong."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                if entry.startswith(_MARK):
                    found.add(entry[len(_MARK) :].decode("ascii", "replace"))
    return found


def kill_marked(exec_id: str, pids: Callable[[], list[int]], first: tuple[int, int] = (0, 0)) -> None:
    """Kill all processes of a command; blocks. `pids` returns those of its container.

    `first` is the command's own process and when it started; it may not have its environment yet.
    """

    def find() -> list[Process]:
        process = Process.open(*first)
        started = living([process, *descendants([process.pid])] if process else [])
        seen = {one.pid for one in started}
        return [*started, *carriers(exec_mark(exec_id), [pid for pid in pids() if pid not in seen])]

    kill_all(find)


class DockerExec:
    """An ExecProcess."""

    def __init__(
        self,
        engine: EngineClient,
        engine_id: str,
        exec_id: str,
        config: ExecConfig,
        stream: Stream,
        pids: Callable[[], list[int]],
        on_closed: Callable[[], None],
    ) -> None:
        """`engine_id` is the engine's name for it, `exec_id` ours; `stream` is this object's from now on.

        `pids` returns the processes of the container. `on_closed` is called when nothing is held any more.
        """
        self.exec_id = exec_id
        self._engine = engine
        self._path = f"/exec/{engine_id}"
        self._config = config
        self._stream = stream
        self._pids = pids
        self._on_closed = on_closed
        self._complaint = b""
        self._first = (0, 0)  # its process, and when that started
        self._closed = asyncio.Event()  # all of its output was read, or is given up
        self._started = asyncio.Event()  # its process is known, or has ended
        self.reaper = asyncio.get_running_loop().create_task(self._reap(), name=f"exec {exec_id}")
        self.reaper.add_done_callback(self._reaped)

    async def _reap(self) -> int:
        """Return the exit code; the end of a process is known before whoever holds its output goes."""
        process: Process | None = None
        try:
            while True:
                about = await self._engine.request("GET", f"{self._path}/json")
                if not about.get("Running") and about.get("ExitCode") is not None:
                    return int(about["ExitCode"])
                if process is None and about.get("Pid"):
                    process = Process.open(int(about["Pid"]))
                    self._first = (process.pid, process.started) if process else (0, 0)
                    self._started.set()
                if process is not None and process.alive:
                    await process.wait()
                else:
                    await asyncio.sleep(_AGAIN_S)
        except SwarmError:  # the container is gone, and all of it
            return 128 + 9
        finally:
            self._started.set()
            if process is not None:
                process.close()

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (stream, chunk) until the output is closed, at last why the command did not start."""
        chunks = self._chunks()
        if self._config.tty:
            async for data in chunks:
                if not self._holds_back(data):
                    yield "stdout", data
        else:
            async for stream, data in frames(chunks):
                if data and not self._holds_back(data):
                    yield stream, data
        if self._complaint:
            code = await self.wait()
            if code in {NOT_FOUND, NOT_RUNNABLE}:
                yield "stderr", f"{self._why()}\n".encode()
            else:
                yield "stdout", self._complaint

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            if self._stream.status == 101:
                while data := await self._stream.reader.read(32 * 1024):
                    yield data
            else:
                async for data in self._stream.chunks():
                    yield data
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return
        finally:
            self._close()

    def _reaped(self, _: "asyncio.Task[int]") -> None:
        if self._stream.writer.is_closing():
            self._on_closed()

    def _close(self) -> None:
        self._closed.set()
        self._stream.writer.close()
        if self.reaper.done():
            self._on_closed()

    async def refusal(self) -> str:
        """Return why the command did not start, empty once it did; while somebody reads its output."""
        await self._started.wait()
        if self._first[0] or await self.wait() not in {NOT_FOUND, NOT_RUNNABLE}:
            return ""
        await self._closed.wait()
        return self._why()

    def _why(self) -> str:
        text = self._complaint.decode("utf-8", "replace")
        return readable_error(text, self._config.command[0]) if text else ""

    def _holds_back(self, data: bytes) -> bool:
        """Tell whether this may be the engine that complains in place of a command that never ran."""
        if data.startswith(_COMPLAINT):
            self._complaint += data
            return True
        return False

    async def write(self, data: bytes) -> None:
        """Write to its standard input; ignored once it has ended or was started without."""
        if self._config.stdin and not self.reaper.done():
            with suppress(OSError):
                self._stream.writer.write(data)
                await self._stream.writer.drain()

    async def close_stdin(self) -> None:
        """Let it read the end of its input."""
        with suppress(OSError):
            if self._config.tty:
                await self.write(END_OF_INPUT)
            elif self._config.stdin and self._stream.writer.can_write_eof():
                self._stream.writer.write_eof()

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal; ignored without one."""
        if self._config.tty and rows and columns:
            await self._started.wait()
            with suppress(SwarmError):
                await self._engine.request("POST", f"{self._path}/resize", {"h": rows, "w": columns})

    async def signal(self, name: str) -> None:
        """Send a signal to the command; raises InvalidArgument for an unknown one."""
        try:
            number = signal_number(name)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        await self._started.wait()
        process = None if self.reaper.done() else Process.open(*self._first)
        if process is not None:
            process.send(number)
            process.close()

    async def wait(self) -> int:
        """Return the exit code once the command has ended."""
        code = await asyncio.shield(self.reaper)
        # Some engines say 126 of a program that is not there.
        if code == NOT_RUNNABLE and self._stream_says_missing():
            return NOT_FOUND
        return code

    def _stream_says_missing(self) -> bool:
        text = self._complaint.decode("utf-8", "replace")
        return "not found" in text or "no such file" in text

    async def kill(self) -> None:
        """Kill it and everything that it started; returns when nothing is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._started.wait()
        for _ in range(2):  # what it started last may have its environment only now
            first = (0, 0) if self.reaper.done() else self._first
            await asyncio.to_thread(kill_marked, self.exec_id, self._pids, first)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await asyncio.shield(self.reaper)
        self._close()

    async def let_go(self) -> None:
        """Kill it and wait for all tasks of this object."""
        await self.kill()
        self.reaper.cancel()
        await asyncio.gather(self.reaper, return_exceptions=True)
