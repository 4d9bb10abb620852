"""A node goes to a manager that calls it, again and again until it is there."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.containers.calls import CallAnswerer
from swarm.agent.containers.conversation import Conversation
from swarm.agent.plain.requests import PlainRequests
from swarm.api.v1.containers_pb2 import (
    ContainerCall,
    ContainerError,
    ContainerOutput,
    ContainerRequest,
    InspectContainer,
    ListProcesses,
)
from swarm.cli.event_view import CONTAINER_ACTIONS
from swarm.errors import FailedPrecondition
from swarm.model.task_state import RUNNING
from swarm.runtime.exec_process import CannotRun
from swarm.runtime.fake import Script
from tests.unit.agent.lab import a_lab, a_task, until
from tests.unit.agent.test_containers import Person, ShellDriver, a_container, about, exec_of


async def test_a_call_whose_connection_failed_is_answered_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manager may have been too busy to shake hands in time."""
    async with a_lab(tmp_path) as lab:
        manager = lab.managers[0]
        for task in manager.tasks:
            task.cancel()  # they would find that the node has no agent, and so is down
        addresses = [f"unix:{tmp_path}/nobody"]

        def dial(addr: str, options: Any) -> Any:
            return lab.dial_as("n1")(addresses.pop() if addresses else addr, options)

        async def answer(_request: ContainerRequest, conversation: Conversation) -> None:
            await conversation.send(ContainerOutput(done=True))

        answerer = CallAnswerer(dial, list, answer)

        def deliver(_node_id: str, call: ContainerCall) -> bool:
            answerer.take(call)
            return True

        monkeypatch.setattr(manager.dispatcher.sessions, "send_container_call", deliver)
        heard = [
            one async for one in manager.calls.converse("n1", ContainerRequest(inspect=InspectContainer()))
        ]
        assert [one.done for one in heard] == [True]
        assert not addresses
        await answerer.close()


class Stream:
    """Takes a message when it is let; a write that is given up ends it, as gRPC's."""

    def __init__(self) -> None:
        self.writing, self.room = asyncio.Event(), asyncio.Event()
        self.taken: list[str] = []
        self.over = False

    async def write(self, output: ContainerOutput) -> None:
        if self.over:
            raise asyncio.CancelledError
        self.writing.set()
        try:
            await self.room.wait()
        except asyncio.CancelledError:
            self.over = True
            raise
        self.taken.append(output.WhichOneof("output") or "")


async def test_who_is_cancelled_while_it_sends_takes_no_reason_from_those_who_send_after_it() -> None:
    stream = Stream()
    conversation = Conversation(stream)
    sender = asyncio.create_task(conversation.send(ContainerOutput(taken=1)))
    await stream.writing.wait()
    sender.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender
    reason = asyncio.create_task(conversation.send(ContainerOutput(error=ContainerError(message="full"))))
    stream.room.set()
    await reason
    assert stream.taken == ["taken", "error"]


async def test_what_cannot_be_run_as_asked_for_ends_as_if_it_had_been(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        relative = Person(lab.managers[0], exec_of(task, working_dir="data"))
        assert (await relative.end())[-1].exit_code == 126
        assert relative.text == b'the working directory "data" is not an absolute path\n'
        driver.broken["exec"] = CannotRun("no such user")
        nobody = Person(lab.managers[0], exec_of(task, user="nobody"))
        assert (await nobody.end())[-1].exit_code == 126
        assert nobody.text == b"no such user\n"


async def test_who_detaches_is_told_what_did_not_start(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        with pytest.raises(FailedPrecondition, match='exec: "nope": not found'):
            await Person(lab.managers[0], exec_of(task, "nope", detach=True)).end()
        driver.broken["exec"] = CannotRun("no such user")
        with pytest.raises(FailedPrecondition, match="no such user"):
            await Person(lab.managers[0], exec_of(task, user="nobody", detach=True)).end()


async def test_what_is_done_with_a_container_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(PlainRequests, "tell", lambda _self, _id, event, _more=None: told.append(event))
    async with a_container(tmp_path) as (lab, _driver, task):
        await Person(lab.managers[0], about(task, top=ListProcesses())).end()
        await Person(lab.managers[0], exec_of(task, "sleep", "9", detach=True)).end()
        await until(lambda: "exec_detach" in told)
    assert told[:3] == ["top", "exec_create: sleep", "exec_start: sleep"]
    assert {one.partition(":")[0] for one in told} <= set(CONTAINER_ACTIONS)  # which filters take


async def test_a_container_that_ended_answers_for_itself(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        driver = ShellDriver(Script(runs_s=0.01, exit_code=4))
        await lab.agent("n1", driver=driver)
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state > RUNNING)
        details = await Person(lab.managers[0], about(task, inspect=InspectContainer())).until("details")
        assert (details.details.summary.state, details.details.summary.exit_code) == ("exited", 4)
