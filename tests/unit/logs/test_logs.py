"""Logs from fake containers on several nodes, through several managers, to one reader."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from swarm.api.v1.logs_pb2 import (
    LOG_STREAM_STDERR,
    LogMessage,
    LogOptions,
    LogSelector,
    LogSubscription,
    PublishLogsRequest,
)
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.clock import SECOND, SystemClock, timestamp
from swarm.manager.logs.broker import LogBroker, relaying
from swarm.manager.logs.control import LogControl
from swarm.manager.logs.replay import Replay
from swarm.manager.store.testing import store_with
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.model.task_state import FAILED, READY, REJECTED, RUNNING
from swarm.runtime.fake import Script
from tests.unit.agent.lab import AgentHandle, Lab, Manager, a_lab, a_task, until

WEB = LogSelector(service_ids=["service-web"])
BOTH = {"stdout": True, "stderr": True}


async def gather(
    manager: Manager, selector: LogSelector = WEB, **options: Any
) -> tuple[list[LogMessage], list[str]]:
    """Read to the end."""
    messages, notices = [], []
    async with asyncio.timeout(60):
        async for answer in manager.logs.stream(selector, LogOptions(**{**BOTH, **options})):
            if answer.HasField("message"):
                messages.append(answer.message)
            else:
                notices.append(answer.notice)
    return messages, notices


class Follower:
    """Reads on and on."""

    def __init__(self, manager: Manager, selector: LogSelector = WEB, **options: Any) -> None:
        self.lines: list[bytes] = []
        self.notices: list[str] = []
        self._stream = manager.logs.stream(selector, LogOptions(**{**BOTH, **options}, follow=True))
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for answer in self._stream:
            if answer.HasField("message"):
                self.lines.append(answer.message.data)
            else:
                self.notices.append(answer.notice)

    async def __aenter__(self) -> "Follower":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()  # type: ignore[attr-defined]


async def running(lab: Lab, *tasks: Task) -> None:
    await lab.write(*tasks)
    await until(lambda: all(lab.task(task.id).status.state == RUNNING for task in tasks))


@contextlib.asynccontextmanager
async def two_nodes(folder: Path, managers: int = 1) -> AsyncIterator[tuple[Lab, AgentHandle, AgentHandle]]:
    async with a_lab(folder, managers=managers, nodes=("n1", "n2")) as lab:
        first, second = await lab.agent("n1"), await lab.agent("n2")
        await until(lambda: first.agent.connected and second.agent.connected)
        yield lab, first, second


@pytest.mark.parametrize("managers", [1, 3])
async def test_lines_of_all_tasks_arrive_in_order_per_task_and_the_stream_ends(
    tmp_path: Path, managers: int
) -> None:
    async with two_nodes(tmp_path, managers) as (lab, first, second):
        one, two = a_task("n1"), a_task("n2")
        await running(lab, one, two)
        for number in range(700):
            first.driver.write(one.id, b"one %d" % number)
            second.driver.write(two.id, b"two %d" % number, "stderr")
        messages, notices = await gather(lab.managers[-1])
        assert notices == []
        of_one = [message for message in messages if message.task_id == one.id]
        of_two = [message for message in messages if message.task_id == two.id]
        assert [message.data for message in of_one] == [b"one %d" % number for number in range(700)]
        assert [message.data for message in of_two] == [b"two %d" % number for number in range(700)]
        assert {(m.node_id, m.service_id, m.stream) for m in of_two} == {
            ("n2", "service-web", LOG_STREAM_STDERR)
        }


async def test_options_reach_the_runtime(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, _):
        task = a_task("n1")
        await running(lab, task)
        for number in range(10):
            first.driver.write(task.id, b"%d" % number, "stderr" if number % 2 else "stdout")
        messages, _ = await gather(lab.managers[0], tail=3)
        assert [message.data for message in messages] == [b"7", b"8", b"9"]
        messages, _ = await gather(lab.managers[0], stdout=False)
        assert [message.data for message in messages] == [b"1", b"3", b"5", b"7", b"9"]
        messages, _ = await gather(lab.managers[0], since=timestamp(time.time_ns() + 60 * SECOND))
        assert messages == []


async def test_details_come_with_each_line_when_they_are_asked_for(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, _):
        task = a_task("n1")
        task.spec.container.log.tag = "{{.ImageName}}"
        await running(lab, task)
        first.driver.write(task.id, b"one")
        for details in (True, False):
            (message,), _notices = await gather(lab.managers[0], details=details)
            assert dict(message.attributes) == ({"tag": "web:1"} if details else {})


async def test_one_task_can_be_asked_for(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, _):
        one, two = a_task("n1"), a_task("n1")
        await running(lab, one, two)
        first.driver.write(one.id, b"one")
        first.driver.write(two.id, b"two")
        messages, _ = await gather(lab.managers[0], LogSelector(task_ids=[two.id]))
        assert [message.data for message in messages] == [b"two"]


async def test_a_task_that_does_not_run_yet_or_never_did_contributes_nothing(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, _):
        first.driver.scripts["bad:1"] = Script(create_error="no")
        waiting, rejected = a_task("n1"), a_task("n1")
        waiting.desired_state = READY
        rejected.spec.container.image = "bad:1"
        await lab.write(waiting, rejected)
        await until(
            lambda: (
                lab.task(waiting.id).status.state == READY and lab.task(rejected.id).status.state == REJECTED
            )
        )
        assert await gather(lab.managers[0]) == ([], [])


async def test_output_of_a_finished_task_can_still_be_read(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, _):
        first.driver.default = Script(runs_s=0.05, exit_code=1, output=(b"last words",))
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == FAILED)
        messages, _ = await gather(lab.managers[0])
        assert [message.data for message in messages] == [b"last words"]


async def test_a_node_that_is_down_or_does_not_answer_is_named_with_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_nodes(tmp_path) as (lab, first, second):
        one, two = a_task("n1"), a_task("n2")
        await running(lab, one, two)
        first.driver.write(one.id, b"here")
        await second.stop()
        messages, notices = await gather(lab.managers[0])
        assert [message.data for message in messages] == [b"here"]
        assert len(notices) == 1
        assert "host-n2" in notices[0]
        assert f"web.1.{two.id}" in notices[0]
        assert one.id not in notices[0]
        await until(lambda: lab.node("n2").status.state == 1)
        monkeypatch.setattr("swarm.manager.logs.control.ANSWER_TIMEOUT_S", 300.0)
        began = time.monotonic()
        _, notices = await gather(lab.managers[0])
        assert "is down" in notices[0]
        assert time.monotonic() - began < 60, "who is down is not asked"


async def test_follow_shows_new_lines_and_tasks_created_later(tmp_path: Path) -> None:
    async with two_nodes(tmp_path, managers=2) as (lab, first, second):
        one = a_task("n1")
        await running(lab, one)
        first.driver.write(one.id, b"old")
        async with Follower(lab.managers[0]) as follower:
            await until(lambda: follower.lines == [b"old"])
            first.driver.write(one.id, b"new")
            await until(lambda: follower.lines == [b"old", b"new"])
            later = a_task("n2")
            await running(lab, later)
            second.driver.write(later.id, b"later")
            await until(lambda: b"later" in follower.lines)
            assert follower.notices == []
        for node in (first, second):
            await until(lambda: not node.agent._logs._tasks)  # noqa: B023


def of_stack(node_id: str, stack: str, service: str) -> Task:
    task = a_task(node_id, service_id=f"service-{service}")
    task.service_annotations.labels[NAMESPACE_LABEL] = stack
    return task


async def test_a_stack_is_followed_with_services_that_are_made_later_and_no_others(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, second):
        service = Service(id="service-web")
        service.spec.annotations.name = "shop_web"
        service.spec.annotations.labels[NAMESPACE_LABEL] = "shop"
        await lab.write(service)
        one = of_stack("n1", "shop", "web")
        await running(lab, one)
        first.driver.write(one.id, b"old")
        async with Follower(lab.managers[0], LogSelector(stack="shop")) as follower:
            await until(lambda: follower.lines == [b"old"])
            other, later = of_stack("n2", "other", "x"), of_stack("n2", "shop", "late")
            await running(lab, other, later, a_task("n2"))
            second.driver.write(other.id, b"of another stack")
            second.driver.write(later.id, b"later")
            await until(lambda: len(follower.lines) > 1)
            second.driver.write(later.id, b"last")
            await until(lambda: follower.lines == [b"old", b"later", b"last"])
        lines, _ = await gather(lab.managers[0], LogSelector(stack="shop"))
        assert b"old" in [one.data for one in lines]
        assert {one.service_id for one in lines} <= {"service-web", "service-late"}


async def test_a_node_that_goes_down_while_it_is_followed_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.manager.logs.control.LOSSES_S", 0.05)
    async with two_nodes(tmp_path) as (lab, first, second):
        one, two = a_task("n1"), a_task("n2")
        await running(lab, one, two)
        async with Follower(lab.managers[0]) as follower:
            first.driver.write(one.id, b"1")
            await until(lambda: follower.lines == [b"1"])
            await second.stop()
            await until(lambda: follower.notices)
            first.driver.write(one.id, b"2")
            await until(lambda: follower.lines == [b"1", b"2"])
            assert len(follower.notices) == 1
            assert "host-n2 is down" in follower.notices[0]
            assert f"web.1.{two.id}" in follower.notices[0]


async def test_follow_goes_on_without_repeating_when_the_session_moves_to_another_manager(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path, managers=3) as lab:
        node = await lab.agent("n1")
        await until(lambda: node.agent.connected)
        task = a_task("n1")
        await running(lab, task)
        holder = next(one for one in lab.managers if one.node_id == node.agent.manager.node_id)
        reader = next(one for one in lab.managers if one is not holder)
        if lab.managers[0] is holder:
            await lab.elect(reader)
        node.driver.write(task.id, b"1")
        async with Follower(reader) as follower:
            await until(lambda: follower.lines == [b"1"])
            await holder.stop()
            node.driver.write(task.id, b"2")
            await until(lambda: follower.lines == [b"1", b"2"])
            node.driver.write(task.id, b"3")
            await until(lambda: follower.lines == [b"1", b"2", b"3"])


async def test_a_manager_that_could_not_be_reached_at_once_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been too busy to shake hands in time."""
    monkeypatch.setattr("swarm.manager.logs.control.ANSWER_TIMEOUT_S", 30.0)
    async with a_lab(tmp_path, managers=2) as lab:
        node = await lab.agent("n1")
        await until(lambda: node.agent.connected)
        task = a_task("n1")
        await running(lab, task)
        node.driver.write(task.id, b"1")
        reader = next(one for one in lab.managers if one.node_id != node.agent.manager.node_id)
        addresses, dial = [f"unix:{tmp_path}/nobody"], reader.dial
        monkeypatch.setattr(reader.logs, "_dial", lambda addr: dial(addresses.pop() if addresses else addr))
        messages, notices = await gather(reader)
        assert ([message.data for message in messages], notices, addresses) == ([b"1"], [], [])


async def test_a_reader_that_hangs_up_ends_the_work_on_the_nodes(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, _):
        task = a_task("n1")
        await running(lab, task)
        for number in range(20_000):
            first.driver.write(task.id, b"%d" % number * 10)
        stream = lab.managers[0].logs.stream(WEB, LogOptions(**BOTH))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await until(lambda: not first.agent._logs._tasks)
        assert not lab.managers[0].broker._relays


async def test_a_node_cannot_publish_lines_of_another_nodes_task(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (lab, first, second):
        one, two = a_task("n1"), a_task("n2")
        await running(lab, one, two)
        first.driver.write(one.id, b"true")
        record = second.agent._worker._held[two.id].record
        second.driver.write(two.id, b"false")
        forged = Task()
        forged.CopyFrom(record.task)
        forged.id = one.id  # claims to be the other task
        object.__setattr__(record, "task", forged)
        second.driver._containers[one.id] = second.driver._containers[two.id]
        messages, _ = await gather(lab.managers[0])
        assert [message.data for message in messages] == [b"true"]


def a_line(at: int, task_id: str = "t", node_id: str = "n") -> LogMessage:
    return LogMessage(task_id=task_id, node_id=node_id, timestamp=timestamp(at))


def news(replay: Replay, stream: str, *times: int, node: str = "n") -> list[int]:
    """The times of those lines that are told on."""
    told = []
    for at in times:
        line = a_line(at, node, node)
        if replay.is_news(stream, line):
            replay.sent(stream, line)
            told.append(at)
    return told


def test_a_node_that_begins_again_is_quiet_until_it_says_something_new() -> None:
    replay = Replay()
    assert news(replay, "first", 1, 2, 3) == [1, 2, 3]
    assert news(replay, "second", 1, 2, 3, 4, 5) == [4, 5]


def test_what_comes_late_of_the_stream_before_is_told_once_and_in_order() -> None:
    replay = Replay()
    assert news(replay, "first", 1, 2) == [1, 2]
    assert news(replay, "second", 1) == []
    assert news(replay, "first", 3, 4) == [3, 4]
    assert news(replay, "second", 2, 3, 4, 5) == [5]
    assert news(replay, "first", 5, 6) == [6]
    assert news(replay, "second", 6, 7) == [7]


def test_a_clock_that_goes_back_loses_no_line_in_a_stream_that_goes_on() -> None:
    assert news(Replay(), "first", 5, 6, 2, 3) == [5, 6, 2, 3]


def test_only_the_node_that_began_again_repeats_itself() -> None:
    replay = Replay()
    for node in ("n", "m"):
        news(replay, node, 5, node=node)
    assert news(replay, "m again", 5, node="m") == []
    assert news(replay, "n", 4) == [4]


class Silent:
    """No node is connected: what agents send comes from the test."""

    def send_log_subscription(self, node_id: str, subscription: LogSubscription) -> bool:
        return False

    def on_open(self, callback: Any) -> None:
        pass


@pytest.mark.parametrize("managers", [1, 2])
async def test_what_is_late_over_the_former_session_is_told_once_and_in_order(
    managers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.manager.logs.control.ANSWER_TIMEOUT_S", 60.0)
    task = a_task("n1")
    task.status.state = RUNNING
    store = store_with(task, Node(id="n1"))
    brokers = [LogBroker(store, Silent()) for _ in range(managers)]
    own, elsewhere = brokers[0], brokers[-1]
    control = LogControl("m1", store, own, list, lambda addr: pytest.fail("asked"), SystemClock())
    control._managers = lambda: [RaftMember(node_id=f"m{n}") for n in range(managers)]  # type: ignore[method-assign]

    async def relay(member: RaftMember, subscription: LogSubscription, events: Any) -> None:
        async with relaying(brokers[int(member.node_id[1:])], subscription) as heard:
            async for event in heard:
                await events.put((member.node_id, event))

    control._relay = relay  # type: ignore[method-assign]
    lines: list[bytes] = []

    async def read() -> None:
        async for answer in control.stream(WEB, LogOptions(**BOTH)):
            assert not answer.notice
            lines.append(answer.message.data)

    reading = asyncio.create_task(read())
    await until(lambda: all(broker._relays for broker in brokers))
    (subscription_id,) = own._relays
    before, after = asyncio.Queue[int | None](), asyncio.Queue[int | None]()

    async def publication(numbers: "asyncio.Queue[int | None]") -> AsyncIterator[PublishLogsRequest]:
        while (number := await numbers.get()) is not None:
            line = LogMessage(task_id=task.id, timestamp=timestamp(number), data=b"%d" % number)
            yield PublishLogsRequest(subscription_id=subscription_id, messages=[line])

    publishing = [
        asyncio.create_task(own.publish("n1", publication(before))),
        asyncio.create_task(elsewhere.publish("n1", publication(after))),
    ]

    async def say(numbers: "asyncio.Queue[int | None]", *said: int, until_last: int) -> None:
        for number in said:
            numbers.put_nowait(number)
        await until(lambda: lines[-1:] == [b"%d" % until_last] and numbers.empty())

    await say(before, 1, 2, until_last=2)
    await say(after, 1, until_last=2)
    await say(before, 3, until_last=3)
    await say(after, 2, 3, 4, until_last=4)
    await say(before, 4, 5, until_last=5)
    after.put_nowait(None)
    async with asyncio.timeout(60):
        await reading
    assert lines == [b"1", b"2", b"3", b"4", b"5"]
    before.put_nowait(None)
    await asyncio.gather(*publishing, return_exceptions=True)


async def relayed(*publications: list[LogMessage]) -> list[str]:
    """What a manager tells of publications of one node, which come one after the other, up to the last."""
    task = a_task("n1")
    task.id = "t"
    broker = LogBroker(store_with(task), Silent())
    heard: list[str] = []

    async def listen() -> None:
        async with relaying(broker, LogSubscription(id="s", selector=WEB)) as events:
            async for event in events:
                heard.append(event.message.data.decode() or str(event.WhichOneof("event")))  # noqa: PERF401 -- as they come

    listening = asyncio.create_task(listen())
    await until(lambda: broker._relays)
    for messages in publications:

        async def requests(messages: list[LogMessage] = messages) -> AsyncIterator[PublishLogsRequest]:
            for message in messages:
                yield PublishLogsRequest(subscription_id="s", messages=[message])

        await broker.publish("n1", requests())
    relay = broker._relays["s"]
    await until(lambda: relay.queue.empty() and heard)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return heard


async def test_a_stream_that_breaks_off_is_not_taken_for_all_that_there_is() -> None:
    mark = LogMessage()
    one, two = (LogMessage(task_id="t", timestamp=timestamp(at), data=b"%d" % at) for at in (1, 2))
    begun = ["node_started", "1", "node_started"]
    assert await relayed([mark, one], [mark]) == begun
    assert await relayed([mark, one], [mark, one, two, mark]) == [*begun, "2", "node_done"]
    # Agents of earlier versions end without a mark.
    assert await relayed([one, two]) == ["node_started", "1", "2", "node_done"]
