"""Running a command in a container for somebody who may leave at any time.

Who leaves takes the command along: it is told that its terminal hung up, and killed with all it started if
that does not end it. Only who detaches lets it run on, with nobody to hear it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from swarm.agent.containers.conversation import Conversation
from swarm.api.v1.containers_pb2 import ContainerOutput, ExecOptions
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.runtime.base import ExecConfig, ExecProcess, RuntimeDriver
from swarm.runtime.exec_process import CannotRun
from swarm.runtime.images.shown import plain

HANGUP_GRACE_S = 3.0
# A child that the command left behind may hold its output open for ever: after such a pause it has ended.
LAST_OUTPUT_S = 0.5
START_S = 10.0  # so long at most who detaches waits to hear whether a command starts
NOT_RUN = 126  # the exit code of what could not be run as it was asked for
COMMANDS_MAX = 256  # of one node at once, detached ones too


class Execs:
    """All commands that people run in containers of this node."""

    def __init__(self, driver: RuntimeDriver) -> None:
        """Run them with `driver`."""
        self._driver = driver
        self._background: set[asyncio.Task[None]] = set()
        self._witnesses: set[asyncio.Task[None]] = set()

    async def run(
        self,
        container_id: str,
        options: ExecOptions,
        conversation: Conversation,
        on_end: Callable[[int], None] = lambda code: None,
    ) -> bool:
        """Run a command and answer with its output and exit code; ends it when cancelled.

        `on_end` hears the exit code, whoever listens by then. Returns whether the caller left it running.
        """
        if not options.command:
            raise InvalidArgument("there is no command to run")
        if len(self._background) >= COMMANDS_MAX:
            raise FailedPrecondition(f"{COMMANDS_MAX} commands run in containers of this node already")
        try:
            process = await self._driver.exec(container_id, exec_config(options))
        except CannotRun as error:
            if options.detach:
                raise FailedPrecondition(str(error)) from error
            await conversation.send_chunks(f"{error}\n".encode(), "stderr")
            await conversation.send(ContainerOutput(exit_code=NOT_RUN))
            return False
        witness = asyncio.create_task(_tell_end(process, on_end), name="agent-exec-end")
        self._witnesses.add(witness)
        witness.add_done_callback(self._witnesses.discard)
        attendant = _Attendant(process, conversation, listened_to=not options.detach)
        passing = self._keep(attendant.pass_on())
        to_end = True
        try:
            if options.detach and (reason := await _refusal(process)):
                raise FailedPrecondition(reason)
            await conversation.send(ContainerOutput(started=True))
            to_end = not options.detach and await attendant.attend(passing)
        finally:
            attendant.listened_to = False
            if to_end:
                self._keep(end(process))
        if not to_end:
            await conversation.send(ContainerOutput(done=True))
        return not to_end

    async def close(self) -> None:
        """Forget all commands; the driver ends them."""
        tasks = (*self._background, *self._witnesses)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name="agent-exec")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task


class _Attendant:
    """Carries everything between one command and its caller."""

    def __init__(self, process: ExecProcess, conversation: Conversation, *, listened_to: bool) -> None:
        self._process = process
        self._conversation = conversation
        self._chunks = 0
        self._sending = False
        self.listened_to = listened_to

    async def attend(self, passing: "asyncio.Task[None]") -> bool:
        """Return whether the command has to be ended, or has ended; False when the caller detached."""
        feeding = asyncio.create_task(self._feed())
        obeying = asyncio.create_task(self._obey())
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait((ended, obeying), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                obeying.result()
                return False
            await self._last_output(passing)
            await self._conversation.send(ContainerOutput(exit_code=ended.result()))
            return True
        finally:
            for task in (feeding, obeying, ended):
                task.cancel()
            await asyncio.gather(feeding, obeying, ended, return_exceptions=True)

    async def pass_on(self) -> None:
        """Take the output to its end, also when nobody listens: a command must not wait for that."""
        async for stream, data in self._process.output():
            self._chunks += 1
            if not self.listened_to:
                continue
            self._sending = True
            try:
                await self._conversation.send_chunks(data, stream)
            except Unavailable:
                self.listened_to = False
            finally:
                self._sending = False

    async def _last_output(self, passing: "asyncio.Task[None]") -> None:
        while not passing.done():
            before = self._chunks
            await asyncio.wait((passing,), timeout=LAST_OUTPUT_S)
            if self._chunks == before and not self._sending:
                return

    async def _feed(self) -> None:
        async for data in self._conversation.data():
            await self._process.write(data)
        await self._process.close_stdin()

    async def _obey(self) -> None:
        """Resize and signal; returns when the caller detaches."""
        while True:
            order = await self._conversation.orders.get()
            kind = order.WhichOneof("input")
            if kind == "detach":
                return
            if kind == "resize":
                await self._process.resize(order.resize.rows, order.resize.columns)
            elif kind == "signal":
                await self._process.signal(order.signal)


def exec_config(options: ExecOptions) -> ExecConfig:
    """Return what the driver is to run; raises CannotRun."""
    if options.working_dir and not options.working_dir.startswith("/"):
        raise CannotRun(f'the working directory "{plain(options.working_dir)}" is not an absolute path')
    return ExecConfig(
        command=tuple(options.command),
        env=tuple(options.env),
        working_dir=options.working_dir,
        user=options.user,
        tty=options.tty,
        stdin=options.stdin,
        privileged=options.privileged,
        rows=options.rows,
        columns=options.columns,
    )


async def _refusal(process: ExecProcess) -> str:
    """Return why a command did not start; empty once it did, or when that is long in coming."""
    try:
        async with asyncio.timeout(START_S):
            return await process.refusal()
    except TimeoutError:
        return ""


async def _tell_end(process: ExecProcess, on_end: Callable[[int], None]) -> None:
    on_end(await process.wait())


async def end(process: ExecProcess) -> None:
    """End a command whose caller has left; does nothing to one that ended by itself."""
    waiting = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((waiting,), timeout=0)
        if waiting.done():
            return
        async with asyncio.timeout(HANGUP_GRACE_S):
            await process.signal("HUP")
            await asyncio.shield(waiting)
    except TimeoutError:
        await process.kill()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
