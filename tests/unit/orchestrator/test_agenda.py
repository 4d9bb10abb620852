from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Cluster, Node, Service, Task
from swarm.manager.orchestrator.agenda import Agenda
from swarm.manager.orchestrator.concerns import node_concerned, services_concerned
from swarm.manager.store.watch import Action, Event
from swarm.model import task_state
from tests.unit.orchestrator.bench import Bench, a_node, a_spec


def test_each_id_is_looked_at_once_and_in_order() -> None:
    agenda = Agenda()
    for one in ("a", "b", "a", ""):
        agenda.add(one)
    assert agenda.take() == "a"
    assert agenda.take() == "b"
    assert not agenda


def test_an_alarm_rings_when_its_time_has_come() -> None:
    agenda = Agenda()
    agenda.set_alarm("a", 100)
    agenda.ring(99)
    assert not agenda
    assert agenda.next_alarm_ns() == 100
    agenda.ring(100)
    assert agenda.take() == "a"
    assert agenda.next_alarm_ns() is None


def test_a_new_alarm_takes_the_place_of_the_old_one() -> None:
    agenda = Agenda()
    agenda.set_alarm("a", 100)
    agenda.set_alarm("a", 50)
    agenda.set_alarm("b", 70)
    agenda.set_alarm("b", None)
    assert agenda.next_alarm_ns() == 50
    agenda.ring(1000)
    assert agenda.take() == "a"
    assert not agenda


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 50))), st.integers(0, 60))
def test_what_rings_is_what_was_set_last(alarms: list[tuple[str, int | None]], now: int) -> None:
    agenda = Agenda()
    last: dict[str, int | None] = {}
    for one, at in alarms:
        agenda.set_alarm(one, at)
        last[one] = at
    agenda.ring(now)
    rung = set()
    while agenda:
        rung.add(agenda.take())
    assert rung == {one for one, at in last.items() if at is not None and at <= now}
    assert agenda.next_alarm_ns() == min(
        (at for at in last.values() if at is not None and at > now), default=None
    )


def task_event(before: int, after: int) -> Event:
    old, new = Task(id="t", service_id="s"), Task(id="t", service_id="s")
    old.status.state, new.status.state = before, after
    return Event(Action.UPDATE, new, old)


def test_only_states_that_can_change_a_decision_concern_a_service() -> None:
    view = Bench(a_spec(1)).tables
    assert list(services_concerned(task_event(task_state.ASSIGNED, task_state.PREPARING), view)) == []
    assert list(services_concerned(task_event(task_state.RUNNING, task_state.RUNNING), view)) == []
    assert list(services_concerned(task_event(task_state.STARTING, task_state.RUNNING), view)) == ["s"]
    assert list(services_concerned(task_event(task_state.STARTING, task_state.FAILED), view)) == ["s"]
    gone = Event(Action.REMOVE, Task(service_id="s"), Task(service_id="s"))
    assert list(services_concerned(gone, view)) == ["s"]
    service = Event(Action.CREATE, Service(id="x"), None)
    assert list(services_concerned(service, view)) == ["x"]


def test_a_node_concerns_the_services_it_has_tasks_of_and_the_global_ones() -> None:
    bench = Bench(a_spec(3), nodes=3)
    bench.run()
    changed = a_node("n1", new="label")
    event = Event(Action.UPDATE, changed, bench.tables.nodes.get("n1"))
    assert list(services_concerned(event, bench.tables)) == ["s"]
    assert list(services_concerned(Event(Action.CREATE, a_node("n9"), None), bench.tables)) == []
    everywhere = Bench(a_spec(None), nodes=0)
    assert list(services_concerned(Event(Action.CREATE, a_node("n9"), None), everywhere.tables)) == ["s"]


def test_a_heartbeat_concerns_nobody() -> None:
    before, after = a_node("n1"), Node()
    after.CopyFrom(before)
    after.meta.version.index = 9
    after.status.message = "alive"
    assert not node_concerned(Event(Action.UPDATE, after, before))
    after.status.state = 1
    assert node_concerned(Event(Action.UPDATE, after, before))


def test_another_history_limit_concerns_everybody() -> None:
    view = Bench(a_spec(1)).tables
    before, after = Cluster(), Cluster()
    assert list(services_concerned(Event(Action.UPDATE, after, before), view)) == []
    after.spec.task_history_limit = 1
    assert list(services_concerned(Event(Action.UPDATE, after, before), view)) == ["s"]
