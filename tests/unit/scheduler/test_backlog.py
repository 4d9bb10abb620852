from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.backlog import TASKS_PER_PLAN, Backlog
from swarm.manager.scheduler.demand import group_of
from swarm.model import task_state
from tests.unit.scheduler.cluster import Cluster


def ids(tasks: tuple[Task, ...]) -> list[str]:
    return [task.id for task in tasks]


def backlog_of(*tasks: Task) -> Backlog:
    backlog = Backlog()
    for task in tasks:
        backlog.put(task)
    return backlog


def test_tasks_come_out_group_by_group_and_once() -> None:
    make = Cluster()
    tasks = make.new_tasks(2, "a") + make.new_tasks(1, "b")
    backlog = backlog_of(*tasks)
    assert ids(backlog.take_fresh()) == ["t1", "t2"]
    assert ids(backlog.take_fresh()) == ["t3"]
    assert backlog.take_fresh() == ()


def test_a_large_group_comes_out_in_parts() -> None:
    tasks = Cluster().new_tasks(TASKS_PER_PLAN + 5)
    backlog = backlog_of(*tasks)
    first = backlog.take_fresh()
    assert len(first) == TASKS_PER_PLAN
    for task in first:
        backlog.drop(task.id)
    assert len(backlog.take_fresh()) == 5


def test_what_found_no_node_is_looked_at_again_only_after_a_change() -> None:
    (task,) = Cluster().new_tasks(1)
    backlog = backlog_of(task)
    backlog.take_fresh()
    backlog.give_up(group_of(task))
    assert not backlog.has_fresh
    assert not backlog.has_stale
    backlog.note_room("n1")
    assert backlog.has_stale
    assert ids(backlog.take_stale()) == ["t1"]
    assert backlog.take_stale() == ()


def test_another_reason_on_a_waiting_task_is_no_news() -> None:
    (task,) = Cluster().new_tasks(1)
    backlog = backlog_of(task)
    backlog.take_fresh()
    explained = Task()
    explained.CopyFrom(task)
    explained.status.err = "no suitable node"
    backlog.put(explained)
    assert not backlog.has_fresh
    assert backlog.waiting_in(group_of(task))[0].status.err == "no suitable node"


def test_a_task_that_is_to_stop_or_is_assigned_waits_no_more() -> None:
    for change in (
        lambda task: setattr(task, "desired_state", task_state.SHUTDOWN),
        lambda task: setattr(task.status, "state", task_state.ASSIGNED),
    ):
        (task,) = Cluster().new_tasks(1)
        backlog = backlog_of(task)
        changed = Task()
        changed.CopyFrom(task)
        change(changed)
        backlog.put(changed)
        assert len(backlog) == 0
        assert backlog.take_fresh() == ()


def test_a_new_task_is_not_the_schedulers_yet() -> None:
    (task,) = Cluster().new_tasks(1)
    task.status.state = task_state.NEW
    assert len(backlog_of(task)) == 0


def test_tasks_bound_to_a_node_come_out_by_node_and_again_when_it_has_room() -> None:
    make = Cluster()
    backlog = backlog_of(*make.new_tasks(2, node_id="n1"), *make.new_tasks(1, node_id="n2"))
    assert ids(backlog.take_bound()) == ["t1", "t2"]
    assert ids(backlog.take_bound()) == ["t3"]
    assert backlog.take_bound() == ()
    backlog.note_room("n2")
    assert ids(backlog.take_bound()) == ["t3"]
    assert backlog.take_bound() == ()


def test_only_who_cares_for_company_is_looked_at_again_when_some_came() -> None:
    make = Cluster()
    choosy, plain = make.new_tasks(1, "a", affinity="service==db"), make.new_tasks(1, "b")
    (bound,) = make.new_tasks(1, "c", affinity="service==db", node_id="n1")
    backlog = backlog_of(*choosy, *plain, bound)
    backlog.take_bound()
    for _ in range(2):
        backlog.give_up(group_of(backlog.take_fresh()[0]))
    backlog.note_company(["n2"])
    assert backlog.take_bound() == ()
    assert ids(backlog.take_stale()) == [choosy[0].id]
    assert not backlog.has_stale
    backlog.note_company([])
    assert not backlog.has_stale, "nobody came: to look again would never end"
    backlog.note_company(["n1"])
    assert ids(backlog.take_bound()) == [bound.id]
    backlog.drop(choosy[0].id)
    assert backlog.take_stale() == ()


def test_who_takes_tasks_may_ask_for_more_at_once() -> None:
    backlog = backlog_of(*Cluster().new_tasks(TASKS_PER_PLAN + 5))
    assert len(backlog.take_fresh(lambda _group: TASKS_PER_PLAN + 5)) == TASKS_PER_PLAN + 5
    assert not backlog.has_fresh


def prioritised(service: str, priority: int, **needs: object) -> Task:
    (task,) = Cluster().new_tasks(1, service, priority=priority, **needs)
    task.id = f"{service}-{task.id}"
    return task


def take_all(backlog: Backlog) -> list[str]:
    found = []
    while tasks := (backlog.take_bound() or backlog.take_fresh()):
        found += [task.service_id for task in tasks]
        for task in tasks:
            backlog.drop(task.id)
    return found


def test_higher_priorities_come_first_then_who_came_first() -> None:
    backlog = backlog_of(
        prioritised("low", -5),
        prioritised("first", 0),
        prioritised("second", 0),
        prioritised("bound", 0, node_id="n1"),
        prioritised("high", 10),
        prioritised("high-bound", 10, node_id="n2"),
    )
    assert take_all(backlog) == ["high-bound", "high", "bound", "first", "second", "low"]


def test_what_had_no_luck_comes_before_new_tasks_of_lower_priority_only() -> None:
    high, equal = prioritised("high", 10), prioritised("equal", 0)
    backlog = backlog_of(high, equal)
    for task in (high, equal):
        backlog.take_fresh()
        backlog.give_up(group_of(task))
    backlog.put(prioritised("new", 0))
    assert not backlog.has_urgent_stale, "nothing happened that may help it"
    backlog.note_room("n1")
    assert backlog.has_urgent_stale
    assert [task.service_id for task in backlog.take_stale()] == ["high"]
    backlog.give_up(group_of(high))
    assert not backlog.has_urgent_stale
    assert take_all(backlog)[0] == "new"


def test_another_priority_counts_at_once() -> None:
    priorities = {"a": 0, "b": 0}
    backlog = Backlog(lambda task: priorities[task.service_id])
    for task in (prioritised("a", 0), prioritised("b", 0), prioritised("b", 0, node_id="n1")):
        task.id += task.node_id
        backlog.put(task)
    priorities["a"] = -1
    backlog.note_precedence("a")
    assert take_all(backlog) == ["b", "b", "a"]
    backlog.put(prioritised("a", 0))
    backlog.take_fresh()
    backlog.give_up(("a", 1))
    priorities["a"] = 5
    backlog.note_precedence("a")
    assert [task.service_id for task in backlog.take_stale()] == ["a"]
