"""What tasks use, on its way from agents to the leader."""

from swarm.api.v1.dispatcher_pb2 import NodeUsage, TaskUsage
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.manager.dispatcher.usage import (
    BUCKET_S,
    NODE_TASKS_MAX,
    REPORT_TASKS_MAX,
    SampledServices,
    UsageGatherer,
    UsageTable,
    is_sampled,
)
from swarm.manager.store.testing import store_with
from swarm.manager.store.watch import Action, Event
from swarm.model.autoscale import parse_rule
from swarm.model.usage import Usage


def a_service(service_id: str, *rules: str) -> Service:
    service = Service(id=service_id)
    service.spec.annotations.name = service_id
    service.spec.autoscale.rules.extend(map(parse_rule, rules))
    if not rules:
        service.spec.ClearField("autoscale")
    return service


def a_task(task_id: str, node_id: str, service_id: str = "s1") -> Task:
    return Task(id=task_id, node_id=node_id, service_id=service_id, slot=1)


def uses(node_id: str, **nano_cpus: int) -> NodeUsage:
    return NodeUsage(node_id=node_id, tasks=[use(*item) for item in nano_cpus.items()])


def use(task_id: str, nano_cpus: int, memory_bytes: int = 100) -> TaskUsage:
    return TaskUsage(task_id=task_id, nano_cpus=nano_cpus, memory_bytes=memory_bytes)


def test_only_services_that_are_scaled_by_use_are_sampled_where_they_have_tasks() -> None:
    services = [
        a_service("cpu", "cpu=70"),
        a_service("both", "prometheus=http://p|up=1", "memory=5"),
        a_service("query", "prometheus=http://p|up=1"),
        a_service("plain"),
    ]
    assert list(map(is_sampled, services)) == [True, True, False, False]
    tasks = [a_task(f"t{one.id}", "n1", one.id) for one in services]
    view = store_with(*services, *tasks, a_task("elsewhere", "n2", "cpu")).view
    sampled = SampledServices()
    assert sampled.on_node(view, "n1") == []
    sampled.look(services)
    assert sampled.on_node(view, "n1") == ["both", "cpu"]
    assert sampled.on_node(view, "n2") == ["cpu"]
    assert sampled.note(Event(Action.REMOVE, services[0], None))
    assert not sampled.note(Event(Action.UPDATE, services[1], services[1]))
    assert sampled.note(Event(Action.UPDATE, a_service("plain", "cpu=5"), services[3]))
    assert sampled.on_node(view, "n1") == ["both", "plain"]


def test_a_node_speaks_of_its_own_tasks_only() -> None:
    view = store_with(a_task("t1", "n1"), a_task("t2", "n2")).view
    gatherer = UsageGatherer()
    gatherer.add(view, "n1", [use("t1", 5), use("t2", 6), use("unknown", 7)])
    assert gatherer.take() == [uses("n1", t1=5)]
    assert gatherer.take() == []
    gatherer.add(view, "n1", [use("t2", 6)])
    assert gatherer.take() == []


def test_a_report_replaces_one_that_still_waits_and_neither_grows_without_bound() -> None:
    view = store_with(a_task("t1", "n1")).view
    gatherer = UsageGatherer()
    gatherer.add(view, "n1", [use("t1", 5)])
    gatherer.add(view, "n1", [use("t1", 6)] * (NODE_TASKS_MAX + 1))
    (report,) = gatherer.take()
    assert len(report.tasks) == NODE_TASKS_MAX
    assert report.tasks[0].nano_cpus == 6


def test_what_is_too_much_for_one_report_comes_with_the_next() -> None:
    nodes = REPORT_TASKS_MAX // NODE_TASKS_MAX + 1
    view = store_with(*(a_task(f"t{one}", f"n{one}") for one in range(nodes))).view
    gatherer = UsageGatherer()
    for one in range(nodes):
        gatherer.add(view, f"n{one}", [use(f"t{one}", 5)] * NODE_TASKS_MAX)
    assert (len(gatherer.take()), len(gatherer.take())) == (nodes - 1, 1)


def test_the_table_averages_over_seconds_and_forgets_what_nobody_repeats() -> None:
    table = UsageTable()
    assert table.usage_of("t1", 0) is None
    table.take([uses("n1", t1=100, t2=7)], 0)
    table.take([uses("n1", t1=200)], 5)
    assert table.usage_of("t1", 5) == Usage(150, 100)
    table.take([uses("n1", t1=600)], BUCKET_S)
    assert table.usage_of("t1", BUCKET_S) == Usage(300, 100)
    assert table.usage_of("t2", BUCKET_S) == Usage(7, 100)
    assert table.usage_of("t1", 2 * BUCKET_S) == Usage(600, 100)
    assert table.usage_of("t2", 2 * BUCKET_S) is None
    assert table.usage_of("t1", 4 * BUCKET_S) is None
    assert (table._newer, table._older) == ({}, {})
