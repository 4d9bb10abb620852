"""Who has to go, who waits for whom, and who never has to."""

import pytest

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState
from swarm.manager.scheduler.nominate import NO_USE
from swarm.model import task_state
from tests.unit.scheduler.cluster import Cluster, a_node


def run(cluster: Cluster, service: str, number: int = 1, **needs: object) -> list[Task]:
    tasks = cluster.new_tasks(number, service, **needs)
    plan = cluster.wait(tasks)
    assert len(plan.assignments) == number
    return tasks


def ask(cluster: Cluster, **needs: object) -> Task:
    """Return a task of a service that preempts, after the scheduler looked at it."""
    (task,) = cluster.new_tasks(1, **{"service": "high", "priority": 10, "preempt": True, **needs})  # type: ignore[arg-type]
    cluster.wait([task])
    return task


def victims(task: Task) -> list[str]:
    return sorted(task.nomination.victims)


def test_a_task_that_fits_nowhere_is_kept_room_where_the_lowest_priority_has_to_go() -> None:
    cluster = Cluster(a_node("n1", cpus=2), a_node("n2", cpus=2))
    run(cluster, "mid", 1, cpus=2, priority=5)
    (low,) = run(cluster, "low", 1, cpus=2)
    task = ask(cluster, cpus=1)
    assert (task.nomination.node_id, victims(task)) == (low.node_id, [low.id])
    assert task.nomination.priority == 10
    assert not task.node_id


def test_where_there_is_room_nobody_has_to_go() -> None:
    cluster = Cluster(a_node("n1", cpus=2), a_node("n2", cpus=2))
    (low,) = run(cluster, "low", 1, cpus=2)
    task = ask(cluster, cpus=1)
    assert task.node_id not in {"", low.node_id}


@pytest.mark.parametrize(
    "needs", [{"preempt": False}, {"priority": 0}, {"priority": -1}], ids=["not asked for", "equal", "lower"]
)
def test_nobody_goes_for_whoever_did_not_ask_or_is_not_more_important(needs: dict[str, object]) -> None:
    cluster = Cluster(a_node("n1", cpus=2))
    run(cluster, "low", 1, cpus=2)
    task = ask(cluster, cpus=1, **needs)
    assert not task.HasField("nomination")
    assert not task.node_id


@pytest.mark.parametrize(
    "needs",
    [
        {"cpus": 8},
        {"constraints": ["node.labels.zone==b"]},
        {"platforms": ["windows/amd64"]},
        {"device": "vendor.com/net=x"},
        {"generic": "gpu=1"},
        {"affinity": "service==gone"},
    ],
    ids=lambda needs: next(iter(needs)),
)
def test_nobody_goes_where_that_would_not_help(needs: dict[str, object]) -> None:
    cluster = Cluster(a_node("n1", cpus=2, zone="a"))
    run(cluster, "low", 2, cpus=1)
    (task,) = cluster.new_tasks(1, "high", priority=10, preempt=True, **{"cpus": 1, **needs})
    plan = cluster.wait([task])
    assert not plan.nominees
    assert plan.refusals[0].text.endswith(NO_USE)


@pytest.mark.parametrize(
    ("held", "needs"),
    [
        ({"ports": ["80"]}, {"ports": ["80"]}),
        ({"generic": "gpu=1"}, {"generic": "gpu=1"}),
        ({"device": "vendor.com/net=x"}, {"gpus": "device=x,kind=vendor.com/net"}),
        ({"gpus": "1"}, {"gpus": "all"}),
        ({"affinity": "service!=high"}, {}),
        ({}, {"affinity": "service!=low"}),
    ],
    ids=["port", "counted", "device", "gpu", "objection", "apart"],
)
def test_whoever_holds_what_is_needed_goes_and_nobody_else(
    held: dict[str, object], needs: dict[str, object]
) -> None:
    node = a_node("n1", generic="gpu=1", devices="vendor.com/net=x,nvidia.com/gpu=g1")
    cluster = Cluster(node)
    run(cluster, "other", 2, cpus=1)
    (low,) = run(cluster, "low", 1, **held)
    task = ask(cluster, **needs)
    assert victims(task) == [low.id]
    cluster.stop(low.id)
    cluster.wait([task])
    assert task.node_id == "n1"


def test_the_company_that_a_task_seeks_does_not_have_to_go_for_it() -> None:
    cluster = Cluster(a_node("n1", cpus=2))
    run(cluster, "db", 1, cpus=1)
    (low,) = run(cluster, "low", 1, cpus=1)
    task = ask(cluster, cpus=1, affinity="service==db")
    assert victims(task) == [low.id]


def test_few_large_tasks_go_rather_than_many_small_ones_and_the_smaller_of_two_that_would_do() -> None:
    cluster = Cluster(a_node("n1", cpus=8))
    (large,) = run(cluster, "large", 1, cpus=4)
    small = run(cluster, "small", 4, cpus=1)
    assert victims(ask(cluster, cpus=4)) == [large.id]
    assert victims(ask(Cluster(a_node("n1", cpus=1)), cpus=1)) == []
    other = Cluster(a_node("n1", cpus=5))
    run(other, "large", 1, cpus=4)
    (one,) = run(other, "small", 1, cpus=1)
    assert victims(ask(other, cpus=1)) == [one.id]
    assert len(small) == 4


def test_the_lowest_priorities_go_first_on_one_node() -> None:
    cluster = Cluster(a_node("n1", cpus=3))
    run(cluster, "mid", 1, cpus=1, priority=5)
    low = run(cluster, "low", 2, cpus=1, priority=-3)
    assert victims(ask(cluster, cpus=2)) == sorted(one.id for one in low)


def service(service_id: str, priority: int = 0, *, preempt: bool = False, updating: bool = False) -> Service:
    made = Service(id=service_id)
    made.spec.task.priority, made.spec.task.preempt = priority, preempt
    made.update_status.state = 1 if updating else 0
    return made


def test_services_that_are_updated_or_have_one_task_only_are_spared_if_others_do() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=1), a_node("n3", cpus=1), a_node("n4", cpus=1))
    cluster.view.put_service(service("updated", updating=True))
    run(cluster, "updated", 2, cpus=1)
    run(cluster, "single", 1, cpus=1)
    (spare,) = run(cluster, "plenty", 1, cpus=1)
    run(cluster, "plenty", 1, version=2)
    assert victims(ask(cluster, cpus=1)) == [spare.id]


def test_what_the_service_says_now_counts_whatever_its_tasks_were_made_of() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    (low,) = run(cluster, "low", 1, cpus=1)
    cluster.view.put_service(service("low", 10))
    assert victims(ask(cluster, cpus=1)) == []
    cluster.view.put_service(service("low", 9))
    assert victims(ask(cluster, cpus=1)) == [low.id]


def test_what_is_stopping_already_is_waited_for_and_nobody_else_goes() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=1))
    one, other = run(cluster, "low", 2, cpus=1)
    cluster.tell_to_stop(one.id)
    task = ask(cluster, cpus=1)
    assert (task.nomination.node_id, victims(task)) == (one.node_id, [])
    second = ask(cluster, cpus=1)
    assert victims(second) == [other.id]


def test_the_room_is_kept_from_everybody_until_the_task_is_there() -> None:
    cluster = Cluster(a_node("n1", cpus=2, generic="gpu=x,gpu=y"))
    low = run(cluster, "low", 2, cpus=1, generic="gpu=1")
    task = ask(cluster, cpus=1, generic="gpu=1")
    (victim,) = victims(task)
    cluster.stop(victim)
    waiting = cluster.new_tasks(1, "low", cpus=1, generic="gpu=1")
    plan = cluster.wait(waiting)
    assert not plan.assignments
    assert not cluster.wait(cluster.new_tasks(1, "equal", cpus=1, priority=10)).assignments
    cluster.wait([task])
    assert task.node_id == "n1"
    gone = next(one for one in low if one.id == victim)
    assert task.assigned_generic == gone.assigned_generic


def test_several_waiting_tasks_have_victims_of_their_own() -> None:
    cluster = Cluster(a_node("n1", cpus=2), a_node("n2", cpus=2))
    low = run(cluster, "low", 4, cpus=1)
    tasks = cluster.new_tasks(3, "high", priority=10, preempt=True, cpus=1)
    cluster.wait(tasks)
    chosen = [victim for task in tasks for victim in task.nomination.victims]
    assert len(chosen) == len(set(chosen)) == 3
    assert set(chosen) < {one.id for one in low}
    for victim in chosen:
        cluster.stop(victim)
    cluster.wait(tasks)
    assert all(task.node_id for task in tasks)


def test_room_elsewhere_is_taken_and_the_victim_is_spared() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    run(cluster, "low", 1, cpus=1)
    task = ask(cluster, cpus=1)
    cluster.put_node(a_node("n2", cpus=1))
    plan = cluster.wait([task])
    assert task.node_id == "n2"
    assert plan.freed == ("n1",)
    node = cluster.view.get("n1")
    assert node is not None
    assert node.nano_cpus_free == 0


def drain(cluster: Cluster, low: Task) -> None:
    node = a_node("n1", cpus=1)
    node.spec.availability = NodeAvailability.NODE_AVAILABILITY_PAUSE
    cluster.put_node(node)


@pytest.mark.parametrize(
    "change",
    [
        drain,
        lambda cluster, low: cluster.drop_node("n1"),
        lambda cluster, low: cluster.put_node(a_node("n1", cpus=0.5)),
        lambda cluster, low: cluster.view.put_service(service("low", 10)),
        lambda cluster, low: cluster.view.put_service(service("high", 10)),
        lambda cluster, low: cluster.view.put_service(service("high", 0, preempt=True)),
    ],
    ids=["paused", "removed", "shrunk", "victim became important", "may not preempt", "less important"],
)
def test_a_nomination_that_came_to_nothing_is_withdrawn(change) -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    (low,) = run(cluster, "low", 1, cpus=1)
    task = ask(cluster, cpus=1)
    assert victims(task) == [low.id]
    change(cluster, low)
    plan = cluster.wait([task])
    assert plan.withdrawn == (task.id,)
    assert [one.tasks for one in plan.refusals] == [(task,)]
    assert cluster.view.kept_for(task.id) is None


def test_a_node_that_is_not_heard_of_for_a_moment_keeps_the_room() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    (low,) = run(cluster, "low", 1, cpus=1)
    task = ask(cluster, cpus=1)
    node = a_node("n1", cpus=1)
    node.status.state = NodeState.NODE_STATE_DISCONNECTED
    cluster.put_node(node)
    cluster.stop(low.id)
    plan = cluster.wait([task])
    assert (plan.assignments, plan.withdrawn) == ((), ())
    cluster.put_node(a_node("n1", cpus=1))
    cluster.wait([task])
    assert task.node_id == "n1"


def test_somebody_more_important_takes_over_and_the_other_looks_elsewhere() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=1))
    run(cluster, "low", 2, cpus=1)
    first = ask(cluster, cpus=1)
    second = ask(cluster, cpus=1, service="highest", priority=20, constraints=["node.id==n1"])
    third = ask(cluster, cpus=1, service="highest", version=2, priority=20, constraints=["node.id==n2"])
    assert (second.nomination.node_id, third.nomination.node_id) == ("n1", "n2")
    plan = cluster.wait([first])
    assert plan.withdrawn == (first.id,)
    assert cluster.wait([second]).refusals == ()
    assert cluster.wait([third]).refusals == ()


def test_a_task_that_is_held_back_pushes_nobody_out() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    run(cluster, "low", 1, cpus=1)
    (task,) = cluster.new_tasks(1, "high", priority=10, preempt=True, cpus=1)
    task.desired_state = task_state.READY
    assert not cluster.wait([task]).nominees


def test_a_task_of_a_global_service_makes_room_on_its_own_node() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=1))
    low = run(cluster, "low", 2, cpus=1)
    (task,) = cluster.new_tasks(1, "high", priority=10, preempt=True, cpus=1, node_id="n2")
    cluster.wait([task])
    (victim,) = task.nomination.victims
    assert next(one for one in low if one.id == victim).node_id == "n2"
    again = cluster.wait([task])
    assert (again.nominees, again.withdrawn, again.refusals) == ((), (), ())
    cluster.stop(victim)
    cluster.wait([task])
    assert task.status.state == task_state.ASSIGNED


def test_whoever_reserves_nothing_is_not_kept_out_by_room_that_is_kept() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    run(cluster, "low", 1, cpus=1)
    ask(cluster, cpus=1)
    run(cluster, "light")
    light = cluster.new_tasks(1, "everywhere", node_id="n1")
    assert len(cluster.wait(light).assignments) == 1


def test_the_reason_names_node_and_services() -> None:
    cluster = Cluster(a_node("n1", cpus=3))
    run(cluster, "web", 2, cpus=1)
    run(cluster, "db", 1, cpus=1)
    (task,) = cluster.new_tasks(1, "high", priority=10, preempt=True, cpus=3)
    (nominee,) = cluster.wait([task]).nominees
    assert nominee.reason == (
        "waits for room on node n1: 1 task of db and 2 tasks of web, of lower priority, must stop first"
    )
