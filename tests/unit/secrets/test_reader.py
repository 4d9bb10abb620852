"""How often drivers are asked, what holds for how long, and what agents are told meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.api.v1.objects_pb2 import Node, Secret, Task
from swarm.clock import SystemClock
from swarm.errors import TaskRejected, Unavailable
from swarm.manager.secrets.drivers import Drivers
from swarm.manager.secrets.question import Answer, Lookup, Question, StoredData, question_for
from swarm.manager.secrets.reader import BACKOFF_MAX_S, REUSE_S, Reader, backoff_s
from swarm.manager.secrets.values import SessionValues
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Tables
from swarm.model.limits import SECRET_BYTES
from tests.unit.secrets.vaults import TASK, a_question

Said = Callable[[Question], bytes]


class Hand(SystemClock):
    """A clock that is set by hand."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


class Scripted:
    """A driver that says what a test wants."""

    def __init__(self, say: Said, *, reusable: bool = True, per_task: bool = False) -> None:
        self.say = say
        self.asked: list[str] = []
        self._reusable = reusable
        self._per_task = per_task
        self.at_once = self.most_at_once = 0

    def per_task(self, question: Question) -> bool:
        return self._per_task

    async def read(self, question: Question, lookup: Lookup) -> Answer:
        self.asked.append(question.task.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        return Answer(self.say(question), reusable=self._reusable)

    async def close(self) -> None:
        pass


class OneDriver(Drivers):
    def __init__(self, driver: Scripted) -> None:
        super().__init__(SystemClock(), [Path("/nowhere")], tuple)
        self._made["mine"] = driver


def a_reader(driver: Scripted, clock: Hand | None = None) -> Reader:
    clock = clock or Hand()
    return Reader(Store(clock, "n"), clock, OneDriver(driver))


def asked_by(task_id: str, **options: str) -> Question:
    task = type(TASK)(**{name: getattr(TASK, name) for name in TASK.__slots__} | {"id": task_id})
    return a_question(options, "mine", task)


async def test_tasks_that_ask_for_the_same_at_once_are_one_question_and_later_ones_for_a_while() -> None:
    driver, clock = Scripted(lambda _: b"v"), Hand()
    reader = a_reader(driver, clock)
    found = await asyncio.gather(*(reader.read(asked_by(f"t{number}")) for number in range(50)))
    assert {one.value for one in found} == {b"v"}
    await reader.read(asked_by("later"))
    assert len(driver.asked) == 1
    await reader.read(asked_by("t1", path="another"))
    assert len(driver.asked) == 2
    clock.now_s += REUSE_S
    await reader.read(asked_by("later"))
    assert len(driver.asked) == 3


async def test_what_may_depend_on_the_task_is_asked_for_each_and_not_by_all_at_once() -> None:
    driver = Scripted(lambda question: question.task.id.encode(), per_task=True)
    reader = a_reader(driver)
    found = await asyncio.gather(*(reader.read(asked_by(f"t{number}")) for number in range(40)))
    assert [one.value for one in found] == [f"t{number}".encode() for number in range(40)]
    assert driver.most_at_once <= 16
    await reader.read(asked_by("t1"))  # a new session of the same node
    assert len(driver.asked) == 40


async def test_what_must_not_be_reused_is_asked_for_each_time() -> None:
    driver = Scripted(lambda _: b"v", reusable=False)
    reader = a_reader(driver)
    for _ in range(3):
        await reader.read(asked_by("t1"))
    assert len(driver.asked) == 3


async def test_a_driver_that_fails_is_left_alone_for_longer_and_longer() -> None:
    def fail(_: Question) -> bytes:
        raise Unavailable("it is sealed")

    driver, clock = Scripted(fail), Hand()
    reader = a_reader(driver, clock)
    waits = []
    for number in range(1, 10):
        found = await reader.read(asked_by("t1"))
        again = await reader.read(asked_by("t2"))
        assert (found.problem, found.refused, again) == ("it is sealed", False, found)
        assert len(driver.asked) == number
        waits.append(found.until_s - clock.now_s)
        clock.now_s = found.until_s
    assert waits[0] <= 1.0
    assert all(BACKOFF_MAX_S / 2 <= one <= BACKOFF_MAX_S for one in waits[-3:])
    driver.say = lambda _: b"v"
    assert (await reader.read(asked_by("t1"))).value == b"v"
    assert backoff_s(10_000) <= BACKOFF_MAX_S


async def test_whatever_a_driver_does_becomes_a_reason() -> None:
    def refuse(_: Question) -> bytes:
        raise TaskRejected("nothing there")

    def broken(_: Question) -> bytes:
        raise ZeroDivisionError("with a secret in it")

    for say, problem, refused in (
        (refuse, "nothing there", True),
        (broken, "its driver mine does not work: ZeroDivisionError", False),
        (lambda _: b"", "what its driver gave is empty", True),
        (lambda _: b"x" * (SECRET_BYTES.value + 1), "what its driver gave: 512001 bytes; the limit", True),
    ):
        found = await a_reader(Scripted(say)).read(asked_by("t1"))
        assert found.problem.startswith(problem)
        assert (found.refused, found.value) == (refused, b"")
    nobody = await a_reader(Scripted(refuse)).read(a_question({}, "nobody"))
    assert nobody.refused
    assert "no secret driver nobody" in nobody.problem


def a_secret(**options: str) -> Secret:
    secret = Secret(id="s1")
    secret.spec.annotations.name = "key@2"
    secret.spec.driver.name = "mine"
    secret.spec.driver.options.update(options)
    return secret


def tables_with_a_task() -> Tables:
    tables = Tables()
    task = Task(id="t1", node_id="n1", service_id="w", slot=3)
    task.service_annotations.name = "web"
    node = Node(id="n1")
    node.description.hostname = "worker"
    tables.tasks.put(task)
    tables.nodes.put(node)
    return tables


def test_placeholders_are_filled_in_as_on_the_node() -> None:
    tables = tables_with_a_task()
    (task,) = tables.tasks
    secret = a_secret(path="{{.Service.Name}}/{{.Task.Slot}}/{{.Node.Hostname}}", field="a")
    found = question_for(tables, secret, task)
    assert found.options == {"path": "web/3/worker", "field": "a"}
    assert (found.secret_name, found.task.name) == ("key", "web.3.t1")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_an_agent_is_told_why_it_has_to_wait_and_then_the_value() -> None:
    sealed = True

    def say(_: Question) -> bytes:
        if sealed:
            raise Unavailable("it is sealed")
        return b"v"

    clock, news = SystemClock(), []
    driver = Scripted(say)
    reader = Reader(Store(clock, "n"), clock, OneDriver(driver))
    tables = tables_with_a_task()
    values = SessionValues(reader, clock, news.append)
    assert values.told(tables, a_secret(), "t1") is None
    await until(lambda: bool(news))
    told = values.told(tables, a_secret(), "t1")
    assert told is not None
    assert (told.id, told.problem, told.refused, told.spec.secret_data) == (
        "s1.t1", "it is sealed", False, b"",
    )  # fmt: skip
    sealed = False
    await until(lambda: len(news) == 2)
    told = values.told(tables, a_secret(), "t1")
    assert told is not None
    assert (told.problem, told.spec.secret_data) == ("", b"v")
    assert news == ["s1.t1", "s1.t1"]
    values.close()


async def test_nobody_is_asked_for_a_task_that_needs_nothing_any_more() -> None:
    def say(_: Question) -> bytes:
        raise Unavailable("it is sealed")

    clock, news = SystemClock(), list[str]()
    driver = Scripted(say)
    reader = Reader(Store(clock, "n"), clock, OneDriver(driver))
    values = SessionValues(reader, clock, news.append)
    values.told(tables_with_a_task(), a_secret(), "t1")
    await until(lambda: bool(news))
    before = asyncio.all_tasks()
    values.drop("s1.t1")
    await until(lambda: len(asyncio.all_tasks()) < len(before))
    assert not reader._turns


async def test_a_placeholder_that_means_nothing_is_a_refusal() -> None:
    clock = SystemClock()
    values = SessionValues(a_reader(Scripted(lambda _: b"v")), clock, lambda _: None)
    told = values.told(tables_with_a_task(), a_secret(path="{{.Nothing.There}}"), "t1")
    assert told is not None
    assert told.refused
    assert "means nothing" in told.problem


def test_what_a_driver_is_asked_with_is_the_version_in_force() -> None:
    tables = Tables()
    for number, name in ((1, "token@1"), (2, "token")):
        secret = Secret(id=str(number))
        secret.spec.annotations.name = name
        secret.spec.secret_data = name.encode()
        tables.secrets.put(secret)
    tables.secrets.put(a_secret())
    data = StoredData(tables, a_question({"a-secret": "token", "b-secret": "none", "c-secret": "key@2"}))
    assert data.secret("token") == b"token"
    for name, reason in (
        ("none", "does not exist"),
        ("key@2", "has a driver itself"),
        ("other", "its options do not name"),
    ):
        with pytest.raises(TaskRejected, match=reason):
            data.secret(name)
