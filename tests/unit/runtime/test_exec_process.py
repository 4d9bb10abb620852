"""Commands held by a process of this node, whatever a driver makes of them."""

import asyncio
import os
from pathlib import Path

from swarm.runtime.exec_process import ExecFiles, Execs, FailedExec, PipedExec, exec_mark
from swarm.runtime.processes import Process, carriers


class SlowToSay(PipedExec):
    """Which process the command is, is known only after some asking."""

    unknown = 3

    def _command_pid(self) -> int:
        self.unknown -= 1
        return 0 if self.unknown > 0 else self._process.pid

    def _members(self) -> list[Process]:
        return carriers(exec_mark(self._files.exec_id))


async def _begin(files: ExecFiles) -> SlowToSay:
    files.request.touch()
    process = SlowToSay(files)
    env = {"PATH": os.environ["PATH"], **dict([exec_mark(files.exec_id).split("=", 1)])}
    script = "trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done"
    await process.launch(["sh", "-c", script], env=env, cwd="/", stdin=False)
    return process


async def test_a_signal_is_not_lost_when_the_command_is_not_known_yet(tmp_path: Path) -> None:
    execs = Execs(tmp_path)
    process = await execs.start("c1", _begin)
    async with asyncio.timeout(60):
        async for _, data in process.output():
            assert data == b"up\n"
            await process.signal("SIGUSR1")
        assert await process.wait() == 5
    await process.signal("SIGUSR1")  # it has ended: nothing to do
    await process.kill()


async def test_only_commands_of_an_earlier_agent_are_left_behind(tmp_path: Path) -> None:
    execs = Execs(tmp_path)
    process = await execs.start("c1", _begin)
    assert execs.left_behind() == []
    ((container_id, files),) = Execs(tmp_path).left_behind()  # the next agent
    assert (container_id, files.request.exists()) == ("c1", True)
    await execs.close()
    assert await process.wait() == 128 + 9
    assert not carriers(exec_mark(files.exec_id))
    assert Execs(tmp_path).left_behind() == []
    assert not list(tmp_path.iterdir())


async def test_a_command_that_cannot_run_says_so() -> None:
    failed = FailedExec(127, "there is no such thing")
    assert [one async for one in failed.output()] == [("stderr", b"there is no such thing\n")]
    assert await failed.wait() == 127
    assert await failed.refusal() == "there is no such thing"
