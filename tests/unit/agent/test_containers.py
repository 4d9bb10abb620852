"""Commands in containers, and questions about them: from any manager to a node that only dials out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.containers.conversation import WINDOW_BYTES
from swarm.agent.plain.requests import PlainRequests
from swarm.api.v1.containers_pb2 import (
    ContainerInput,
    ContainerOutput,
    ContainerQuestion,
    ContainerRequest,
    ExecOptions,
    InspectContainer,
    ListContainers,
    PauseContainer,
    PruneContainers,
    RemoveContainer,
    SampleContainers,
    StopContainer,
    TerminalSize,
    WaitContainer,
)
from swarm.api.v1.objects_pb2 import Task
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    Unavailable,
)
from swarm.manager.containers.control import ContainerControl
from swarm.model.task_state import RUNNING
from swarm.runtime.base import ExecConfig
from swarm.runtime.fake import FakeDriver
from swarm.runtime.images.base import ImageConfig
from swarm.security.identity import Identity, Role
from tests.unit.agent.lab import Lab, Manager, a_lab, a_task, until

PERSON = Identity(node_id="", role=Role.LOCAL, cluster_id="c")


class Shell:
    """An ExecProcess that gives back what is written to it; `exit N` ends it."""

    def __init__(self, config: ExecConfig) -> None:
        self.config = config
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[str] = []
        self.received = 0
        self.reads = asyncio.Event()  # its input is read
        self.reads.set()
        self.stubborn = False
        self._said: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        while (said := await self._said.get()) is not None:
            yield said

    async def write(self, data: bytes) -> None:
        await self.reads.wait()
        self.received += len(data)
        if data.startswith(b"exit"):
            self.exit(int(data.split()[1]))
        else:
            self.say(data)

    async def refusal(self) -> str:
        return 'exec: "nope": not found' if self.config.command == ("nope",) else ""

    def say(self, data: bytes, stream: str = "stdout") -> None:
        self._said.put_nowait((stream, data))

    def exit(self, code: int, *, output_ends: bool = True) -> None:
        if not self._code.done():
            self._code.set_result(code)
        if output_ends:
            self._said.put_nowait(None)

    @property
    def ended(self) -> bool:
        return self._code.done()

    async def close_stdin(self) -> None:
        self.say(b"<end>")
        self.exit(0)

    async def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    async def signal(self, name: str) -> None:
        self.signals.append(name)
        if name == "HUP" and not self.stubborn:
            self.exit(129)

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def kill(self) -> None:
        self.signals.append("killed")
        self.exit(137)


WRITTEN_BYTES = 4096  # by each container


class ShellDriver(FakeDriver):
    """A fake runtime whose containers have a shell."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shells: list[Shell] = []

    async def exec(self, container_id: str, config: ExecConfig) -> Any:
        self._called("exec")
        self.shells.append(Shell(config))
        return self.shells[-1]

    async def disk_bytes(self, container_id: str, *, output: bool = True) -> int:
        return WRITTEN_BYTES


class Person:
    """Somebody in a conversation, at some manager."""

    def __init__(self, manager: Manager, question: ContainerQuestion, *, viewing: bool = False) -> None:
        self.said: asyncio.Queue[ContainerInput | None] = asyncio.Queue()
        self.said.put_nowait(ContainerInput(question=question))
        self.heard: list[ContainerOutput] = []
        control = ContainerControl(manager.store, manager.calls)
        self._stream = control.converse(self._inputs(), PERSON, viewing=viewing)
        self._task = asyncio.create_task(self._listen())

    async def _inputs(self) -> AsyncIterator[ContainerInput]:
        while (message := await self.said.get()) is not None:
            yield message

    async def _listen(self) -> None:
        async for output in self._stream:
            self.heard.append(output)

    def types(self, data: bytes) -> None:
        self.said.put_nowait(ContainerInput(data=data))

    @property
    def text(self) -> bytes:
        return b"".join(one.chunk.data for one in self.heard if one.HasField("chunk"))

    @property
    def taken(self) -> int:
        return sum(one.taken for one in self.heard if one.HasField("taken"))

    async def until(self, kind: str) -> ContainerOutput:
        await until(lambda: any(one.HasField(kind) for one in self.heard) or self._task.done())
        if self._task.done():
            self._task.result()
        return next(one for one in self.heard if one.HasField(kind))

    async def end(self) -> list[ContainerOutput]:
        """Wait for the end; raises what the conversation raised."""
        async with asyncio.timeout(60):
            await self._task
        return self.heard

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()  # type: ignore[attr-defined]


def exec_of(task: Task, *command: str, **options: Any) -> ContainerQuestion:
    request = ContainerRequest(
        container_id=task.id, exec=ExecOptions(command=command or ("sh",), stdin=True, **options)
    )
    return ContainerQuestion(node_ids=[task.node_id], request=request)


@contextlib.asynccontextmanager
async def a_container(
    folder: Path, managers: int = 1, driver: ShellDriver | None = None
) -> AsyncIterator[tuple[Lab, ShellDriver, Task]]:
    async with a_lab(folder, managers=managers) as lab:
        driver = driver or ShellDriver()
        node = await lab.agent("n1", driver=driver)
        await until(lambda: node.agent.connected)
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        yield lab, driver, task


@pytest.mark.parametrize("asked", [0, 1, 2])
async def test_a_command_runs_from_every_manager_and_its_exit_code_comes_back(
    tmp_path: Path, asked: int
) -> None:
    async with a_container(tmp_path, managers=3) as (lab, driver, task):
        person = Person(
            lab.managers[asked],
            exec_of(
                task, "sh", "-l", env=["A=1"], user="app", working_dir="/x", tty=True, rows=24, columns=80
            ),
        )
        await person.until("started")
        assert driver.shells[0].config == ExecConfig(
            ("sh", "-l"), ("A=1",), "/x", "app", tty=True, stdin=True, rows=24, columns=80
        )
        person.types(b"hello")
        await until(lambda: person.text == b"hello")
        driver.shells[0].say(b"oh", "stderr")
        person.said.put_nowait(ContainerInput(resize=TerminalSize(rows=30, columns=100)))
        await until(lambda: driver.shells[0].sizes == [(30, 100)])
        person.types(b"exit 7")
        assert (await person.end())[-1].exit_code == 7
        assert [one.chunk.stream for one in person.heard if one.HasField("chunk")] == [1, 2]
        await until(lambda: not len(lab.managers[asked].calls) and not len(lab.agents["n1"].agent._calls))


async def test_the_end_of_the_input_reaches_the_command(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, _driver, task):
        person = Person(lab.managers[0], exec_of(task))
        person.types(b"x")
        person.said.put_nowait(ContainerInput(end=True))
        assert (await person.end())[-1].exit_code == 0
        assert person.text == b"x<end>"


async def test_a_caller_that_leaves_takes_the_command_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.containers.execs.HANGUP_GRACE_S", 0.2)
    async with a_container(tmp_path, managers=2) as (lab, driver, task):
        for stubborn in (False, True):
            person = Person(lab.managers[1], exec_of(task))
            await person.until("started")
            shell = driver.shells[-1]
            shell.stubborn = stubborn
            await person.leave()
            await until(lambda: shell.ended, timeout_s=60.0)  # noqa: B023
            assert shell.signals == (["HUP", "killed"] if stubborn else ["HUP"])


async def test_it_is_noticed_also_while_the_command_does_not_read_its_input(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        person = Person(lab.managers[0], exec_of(task))
        await person.until("started")
        driver.shells[0].reads.clear()
        for _ in range(WINDOW_BYTES // 32768):
            person.types(b"." * 32768)
        await asyncio.sleep(0.1)
        assert person.taken == 0
        await person.leave()
        await until(lambda: driver.shells[0].ended)


async def test_more_data_than_the_window_allows_ends_the_conversation(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        person = Person(lab.managers[0], exec_of(task))
        await person.until("started")
        driver.shells[0].reads.clear()
        for _ in range(2 * WINDOW_BYTES // 32768 + 1):
            person.types(b"." * 32768)
        with pytest.raises(OutcomeUnknown):
            await person.end()
        await until(lambda: driver.shells[0].ended)


async def test_much_output_waits_for_a_slow_reader_and_none_is_lost(tmp_path: Path) -> None:
    async with a_container(tmp_path, managers=2) as (lab, driver, task):
        question = exec_of(task)
        calls = lab.managers[1].calls
        outputs = calls.converse("n1", question.request)
        assert (await anext(outputs)).started
        shell = driver.shells[0]
        for number in range(200):
            shell.say(bytes([number]) * 100_000)
        shell.exit(3)
        await asyncio.sleep(0.2)
        assert sum(len(one.outputs._items) for one in calls._open.values()) <= 32
        size = 0
        async for output in outputs:
            size += len(output.chunk.data)
        assert size == 200 * 100_000
        assert output.exit_code == 3


async def test_a_change_of_the_leader_and_of_the_session_ends_no_command(tmp_path: Path) -> None:
    async with a_container(tmp_path, managers=3) as (lab, _driver, task):
        node = lab.agents["n1"]
        holder = next(one for one in lab.managers if one.node_id == node.agent.manager.node_id)
        asked = next(one for one in lab.managers if one is not holder)
        person = Person(asked, exec_of(task))
        await person.until("started")
        if lab.leader is not asked:
            await lab.elect(asked)
        await holder.stop()
        await until(lambda: node.agent.manager is not None and node.agent.manager.node_id != holder.node_id)
        person.types(b"still here")
        await until(lambda: person.text == b"still here")
        person.types(b"exit 0")
        assert (await person.end())[-1].exit_code == 0


async def test_who_detaches_leaves_the_command_running(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        person = Person(lab.managers[0], exec_of(task))
        await person.until("started")
        person.said.put_nowait(ContainerInput(detach=True))
        assert (await person.end())[-1].done
        at_once = Person(lab.managers[0], exec_of(task, detach=True))
        assert (await at_once.end())[-1].done
        for shell in driver.shells:
            for _ in range(100):
                shell.say(b"nobody listens")
            await until(shell._said.empty)
            assert not shell.ended
            shell.exit(0)


async def test_the_end_of_a_command_is_told_with_its_exit_code_whoever_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, dict[str, str]]] = []

    def tell(_: object, container_id: str, event: str, attributes: Mapping[str, str] | None = None) -> None:
        told.append((event, dict(attributes or {})))

    monkeypatch.setattr(PlainRequests, "tell", tell)
    async with a_container(tmp_path) as (lab, driver, task):
        staying = Person(lab.managers[0], exec_of(task))
        await staying.until("started")
        staying.types(b"exit 5")
        await staying.end()
        await until(lambda: ("exec_die", {"exitCode": "5"}) in told)
        await Person(lab.managers[0], exec_of(task, "sleep", "9", detach=True)).end()
        await until(lambda: ("exec_detach", {}) in told)
        driver.shells[-1].exit(6)
        await until(lambda: ("exec_die", {"exitCode": "6"}) in told)
        assert [event for event, _ in told].count("exec_detach") == 1
        leaving = Person(lab.managers[0], exec_of(task))
        await leaving.until("started")
        await leaving.leave()
        await until(lambda: told[-1] == ("exec_die", {"exitCode": "129"}))


async def test_a_child_that_holds_the_output_open_does_not_hold_the_caller(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        person = Person(lab.managers[0], exec_of(task))
        await person.until("started")
        driver.shells[0].say(b"last words")
        driver.shells[0].exit(5, output_ends=False)
        assert (await person.end())[-1].exit_code == 5
        assert person.text == b"last words"


async def test_an_agent_that_dies_is_no_exit_code(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, _driver, task):
        person = Person(lab.managers[0], exec_of(task))
        await person.until("started")
        await lab.agents["n1"].stop()
        with pytest.raises(OutcomeUnknown, match="host-n1 went away"):
            await person.end()


async def test_a_manager_that_stops_lets_its_callers_go(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        person = Person(lab.managers[0], exec_of(task))
        await person.until("started")
        lab.managers[0].calls.end_all()
        with pytest.raises(OutcomeUnknown, match="this manager stops"):
            await person.end()
        await until(lambda: driver.shells[0].ended)


async def test_what_the_node_refuses_reaches_the_caller_as_the_same_error(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        driver.broken["exec"] = FailedPrecondition("not now")
        with pytest.raises(FailedPrecondition, match="not now"):
            await Person(lab.managers[0], exec_of(task)).end()
        driver.broken["exec"] = RuntimeError("a bug")
        with pytest.raises(Exception, match="a bug"):
            await Person(lab.managers[0], exec_of(task)).end()
        nobody = a_task("n1")
        with pytest.raises(NotFound, match="no container"):
            await Person(lab.managers[0], exec_of(nobody)).end()
        with pytest.raises(NotFound, match="no node elsewhere"):
            await Person(lab.managers[0], exec_of(a_task("elsewhere"))).end()
        with pytest.raises(InvalidArgument):
            await Person(lab.managers[0], ContainerQuestion(request=exec_of(task).request)).end()


async def test_a_node_answers_only_its_own_calls(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1", "n2")) as lab:
        calls = lab.managers[0].calls
        asking = asyncio.create_task(anext(calls.converse("n1", ContainerRequest(list=ListContainers()))))
        await until(lambda: len(calls) == 1)
        call_id = next(iter(calls._open))

        async def says() -> AsyncIterator[ContainerOutput]:
            yield ContainerOutput(call_id=call_id)

        async def write(_: ContainerInput) -> None:
            raise AssertionError("nothing is to be told")

        with pytest.raises(NotFound):
            await calls.answer("n2", says(), write)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def about(task: Task, **request: Any) -> ContainerQuestion:
    return ContainerQuestion(
        node_ids=[task.node_id], request=ContainerRequest(container_id=task.id, **request)
    )


async def test_containers_of_all_nodes_are_listed_and_a_silent_node_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_lab(tmp_path, managers=2, nodes=("n1", "n2", "n3")) as lab:
        tasks = [a_task(node) for node in ("n1", "n2", "n3")]
        for node in ("n1", "n2", "n3"):
            await lab.agent(node)
        await lab.write(*tasks)
        await until(lambda: all(lab.task(task.id).status.state == RUNNING for task in tasks))
        everything = ContainerQuestion(request=ContainerRequest(list=ListContainers()))
        lab.agents["n1"].images.says[tasks[0].id] = ImageConfig("sha256:1", command=("serve",))
        heard = await Person(lab.managers[1], everything, viewing=True).end()
        commands = {one.container.id: list(one.container.command) for one in heard if one.node_id == "n1"}
        assert commands[tasks[0].id] == ["serve"]
        assert {(one.node_id, one.container.id) for one in heard if one.HasField("container")} == {
            (task.node_id, task.id) for task in tasks
        }
        assert heard[-1].done
        found = next(one.container for one in heard if one.container.id == tasks[0].id)
        assert (found.state, found.name, found.image) == ("running", f"web.1.{tasks[0].id}", "web:1")
        monkeypatch.setattr("swarm.manager.containers.calls.ANSWER_TIMEOUT_S", 2.0)
        await lab.agents["n2"].stop()
        heard = await Person(lab.managers[0], everything, viewing=True).end()
        assert len([one for one in heard if one.HasField("container")]) == 2
        notices = [one.notice for one in heard if one.HasField("notice")]
        assert len(notices) == 1
        assert "host-n2" in notices[0]
        with pytest.raises(Unavailable, match="host-n2"):
            await Person(lab.managers[0], about(tasks[1], inspect=InspectContainer())).end()


async def test_a_container_stopped_by_hand_ends_its_task_and_can_be_removed(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        manager = lab.managers[0]
        await Person(manager, about(task, pause=PauseContainer())).end()
        details = await Person(manager, about(task, inspect=InspectContainer()), viewing=True).until(
            "details"
        )
        assert details.details.summary.state == "paused"
        with pytest.raises(FailedPrecondition, match="stop it, or"):
            await Person(manager, about(task, remove=RemoveContainer())).end()
        waiting = Person(manager, about(task, wait=WaitContainer()), viewing=True)
        await Person(manager, about(task, stop=StopContainer(signal="INT"))).end()
        assert driver.stop_signals[task.id] == "INT"
        assert (await waiting.end())[-1].exit_code == 143
        await until(lambda: lab.task(task.id).status.state > RUNNING)
        pruned = await Person(
            manager, ContainerQuestion(request=ContainerRequest(prune=PruneContainers()))
        ).end()
        assert [(one.removed, one.removed_bytes) for one in pruned if one.HasField("removed")] == [
            (task.id, WRITTEN_BYTES)
        ]
        assert await driver.inspect(task.id) is None


async def test_samples_come_again_and_again_until_the_caller_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.containers.requests.SAMPLE_PERIOD_S", 0.05)
    async with a_container(tmp_path) as (lab, _driver, _task):
        request = ContainerRequest(stats=SampleContainers(follow=True))
        person = Person(lab.managers[0], ContainerQuestion(request=request), viewing=True)
        await until(lambda: len([one for one in person.heard if one.samples.samples]) >= 2)
        await person.leave()
        await until(lambda: not len(lab.agents["n1"].agent._calls))


async def test_a_viewer_may_look_and_nothing_else(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        for question in (
            exec_of(task),
            about(task, stop=StopContainer()),
            about(task, pause=PauseContainer()),
        ):
            with pytest.raises(NotPermitted):
                await Person(lab.managers[0], question, viewing=True).end()
        assert driver.shells == []
