"""Which secrets and configs a node is told of: what its tasks need, before they do, and no longer."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.assignments import AssignmentStream
from swarm.api.v1.dispatcher_pb2 import Assignments
from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.manager.dispatcher.assignments import MESSAGE_BYTES, AssignmentSet
from swarm.manager.dispatcher.data import needed
from swarm.manager.store.tables import ReadView, Tables
from swarm.model.task_state import ASSIGNED, FAILED, READY, REMOVE, RUNNING, SHUTDOWN


def a_secret(data_id: str, data: bytes = b"s3cret") -> Secret:
    secret = Secret(id=data_id)
    secret.spec.annotations.name = f"name-{data_id}"
    secret.spec.annotations.labels["a"] = "b"
    secret.spec.secret_data = data
    return secret


def a_config(data_id: str, data: bytes = b"a=1") -> Config:
    config = Config(id=data_id)
    config.spec.annotations.name = f"name-{data_id}"
    config.spec.data = data
    return config


def a_task(
    task_id: str, *needs: str, state: int = ASSIGNED, desired: int = RUNNING, node: str = "n1"
) -> Task:
    """A task that refers to secrets s… and configs c…."""
    task = Task(id=task_id, node_id=node, desired_state=desired)
    task.status.state = state
    for one in needs:
        if one.startswith("s"):
            task.spec.container.secrets.add(secret_id=one, secret_name=f"name-{one}")
        else:
            task.spec.container.configs.add(config_id=one, config_name=f"name-{one}")
    return task


def tables_with(*objects: Task | Secret | Config) -> Tables:
    tables = Tables()
    for obj in objects:
        tables.of(type(obj)).put(obj)
    return tables


def test_a_task_needs_its_data_from_assigned_until_it_has_ended_or_is_to_end() -> None:
    assert needed(Tables(), a_task("t1", "s1", "c1")) == {"s1", "c1"}
    assert needed(Tables(), a_task("t1", "s1", state=RUNNING, desired=RUNNING)) == {"s1"}
    assert needed(Tables(), a_task("t1", "s1", desired=READY)) == {"s1"}
    for task in (a_task("t1", "s1", state=FAILED), a_task("t1", "s1", desired=SHUTDOWN), a_task("t1")):
        assert needed(Tables(), task) == frozenset()


def test_only_what_the_tasks_of_the_node_need_is_sent_once_and_without_labels() -> None:
    tables = tables_with(
        a_secret("s1"), a_secret("s2"), a_config("c1"), a_config("c2"),
        a_task("t1", "s1", "c1"), a_task("t2", "s1"), a_task("t3", "s2", "c2", node="n2"),
    )  # fmt: skip
    (message,) = AssignmentSet("n1").complete(tables)
    assert [(one.id, one.spec.secret_data) for one in message.secrets] == [("s1", b"s3cret")]
    assert [(one.id, one.spec.data) for one in message.configs] == [("c1", b"a=1")]
    assert not message.secrets[0].spec.annotations.labels
    assert "s3cret" not in str(list(message.tasks))


def test_data_comes_with_the_first_task_that_needs_it_and_goes_with_the_last() -> None:
    tables = tables_with(a_secret("s1"), a_task("t1"))
    told = AssignmentSet("n1")
    told.complete(tables)
    for task_id in ("t2", "t3"):
        tables.tasks.put(a_task(task_id, "s1"))
    (first,) = told.changes(tables, ["t2"])
    assert [one.id for one in first.secrets] == ["s1"]
    (second,) = told.changes(tables, ["t3"])
    assert (list(second.secrets), [one.id for one in second.tasks]) == ([], ["t3"])
    tables.tasks.put(a_task("t2", "s1", state=FAILED))
    assert told.changes(tables, ["t2"]) == []
    tables.tasks.put(a_task("t3", "s1", desired=SHUTDOWN))
    (last,) = told.changes(tables, ["t3"])
    assert list(last.removed_data_ids) == ["s1"]
    assert told.changes(tables, ["t2", "t3"]) == []


def test_data_goes_when_the_task_is_gone_or_ended_by_its_own_report() -> None:
    for after in (None, a_task("t1", "s1", state=FAILED), a_task("t1", "s1", state=FAILED, desired=REMOVE)):
        tables = tables_with(a_secret("s1"), a_task("t1", "s1"))
        told = AssignmentSet("n1")
        told.complete(tables)
        tables.tasks.delete("t1")
        if after is not None:
            tables.tasks.put(after)
        (message,) = told.changes(tables, ["t1"])
        assert list(message.removed_data_ids) == ["s1"]


def test_what_does_not_exist_any_more_is_sent_without_data() -> None:
    (message,) = AssignmentSet("n1").complete(tables_with(a_task("t1", "s1", "c1")))
    assert [(one.id, one.spec.secret_data) for one in message.secrets] == [("c1", b""), ("s1", b"")]


def test_large_data_is_split_over_messages_and_is_never_later_than_its_task() -> None:
    names = [f"s{number}" for number in range(5)]
    large = [a_secret(name, b"x" * 500_000) for name in names]
    tables = tables_with(*large, a_task("t1", *names))
    told = AssignmentSet("n1")
    messages = told.complete(tables)
    assert len(messages) > 2
    assert all(message.ByteSize() < 2 * MESSAGE_BYTES for message in messages)
    assert [len(message.tasks) for message in messages][:-1] == [0] * (len(messages) - 1)
    stream = AssignmentStream()
    *nothing, changes = [stream.take(message, ()) for message in messages]
    assert not any(nothing)
    assert changes is not None
    assert ([one.id for one in changes.data.put], changes.data.complete) == (names, True)
    # The same as increments: each is applied as it comes.
    for name in names:
        tables.of(Secret).put(a_secret(f"{name}b", b"x" * 500_000))
    tables.tasks.put(a_task("t2", *(f"{name}b" for name in names)))
    seen: set[str] = set()
    for message in told.changes(tables, ["t2"]):
        seen |= {one.id for one in message.secrets}
        for task in message.tasks:
            assert needed(Tables(), task) <= seen


class Answers:
    """What drivers say, set by the test."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}
        self.asked: set[str] = set()

    def told(self, view: ReadView, secret: Secret, task_id: str) -> Secret | None:
        key = f"{secret.id}.{task_id}"
        self.asked.add(key)
        if key not in self.known:
            return None
        answer = Secret(id=key)
        answer.spec.secret_data = self.known[key]
        return answer

    def drop(self, key: str) -> None:
        self.asked.discard(key)

    def close(self) -> None:
        self.asked.clear()


def a_driven(data_id: str) -> Secret:
    secret = a_secret(data_id, b"")
    secret.spec.driver.name = "mine"
    return secret


def sent(messages: Iterable[Assignments]) -> list[tuple[str, bytes]]:
    return [(one.id, one.spec.secret_data) for message in messages for one in message.secrets]


def test_what_a_driver_gives_is_for_one_task_and_comes_when_it_answers() -> None:
    tables = tables_with(a_driven("s1"), a_secret("s2"), a_task("t1", "s1", "s2"), a_task("t2", "s1"))
    answers = Answers()
    told = AssignmentSet("n1", answers)
    assert sent(told.complete(tables)) == [("s2", b"s3cret")]
    assert answers.asked == {"s1.t1", "s1.t2"}
    answers.known["s1.t1"] = b"one"
    told.note_answer("s1.t1")
    assert sent(told.changes(tables, [])) == [("s1.t1", b"one")]
    assert told.changes(tables, []) == []
    answers.known |= {"s1.t1": b"one more", "s1.t2": b"two"}
    told.note_answer("s1.t1")
    told.note_answer("s1.t2")
    assert sent(told.changes(tables, [])) == [("s1.t1", b"one more"), ("s1.t2", b"two")]


def test_a_task_that_runs_needs_its_driver_no_more_and_a_new_session_asks_for_it_no_more() -> None:
    tables = tables_with(a_driven("s1"), a_task("t1", "s1"))
    answers = Answers()
    answers.known["s1.t1"] = b"one"
    told = AssignmentSet("n1", answers)
    assert sent(told.complete(tables)) == [("s1.t1", b"one")]
    told.note_answer("s1.t1")  # and at once:
    tables.tasks.put(a_task("t1", "s1", state=RUNNING))
    (message,) = told.changes(tables, ["t1"])
    assert (list(message.secrets), list(message.removed_data_ids)) == ([], ["s1.t1"])
    assert answers.asked == set()
    assert sent(told.complete(tables)) == []
    assert answers.asked == set()


def test_a_secret_with_a_driver_that_is_gone_is_told_as_such() -> None:
    tables = tables_with(a_driven("s1"), a_task("t1", "s1"))
    told = AssignmentSet("n1", Answers())
    assert sent(told.complete(tables)) == []
    tables.secrets.delete("s1")
    told.note_answer("s1.t1")
    assert sent(told.changes(tables, [])) == [("s1.t1", b"")]


IDS = ["t1", "t2", "t3"]
tasks = st.builds(
    lambda task_id, needs, state, desired, node: a_task(
        task_id, *sorted(needs), state=state, desired=desired, node=node
    ),
    st.sampled_from(IDS),
    st.sets(st.sampled_from(["s1", "s2", "c1"])),
    st.sampled_from([ASSIGNED, RUNNING, FAILED]),
    st.sampled_from([READY, RUNNING, SHUTDOWN, REMOVE]),
    st.sampled_from(["n1", "n1", "n2"]),
)


@given(st.lists(st.tuples(tasks, st.booleans()), max_size=12))
def test_an_agent_that_follows_has_exactly_what_its_tasks_need(steps: list[tuple[Task, bool]]) -> None:
    tables = tables_with(a_secret("s1"), a_secret("s2"), a_config("c1"))
    told, stream, has = AssignmentSet("n1"), AssignmentStream(), set[str]()
    messages = told.complete(tables)
    for task, removed in [(Task(id="none"), True), *steps]:
        if removed:
            tables.tasks.delete(task.id)
        else:
            tables.tasks.put(task)
        for message in (*messages, *told.changes(tables, [task.id])):
            changes = stream.take(message, ())
            assert changes is not None
            has = (set() if changes.data.complete else has) | {one.id for one in changes.data.put}
            has -= set(changes.data.drop)
        messages = []
        mine = [one for one in tables.tasks if one.node_id == "n1"]
        assert has == {one for mine_one in mine for one in needed(tables, mine_one)}
