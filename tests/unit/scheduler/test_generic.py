"""Generic resources: counted and named ones, given to tasks and taken back."""

from swarm.model import task_state
from swarm.model.generic_resources import environment
from tests.unit.scheduler.cluster import Cluster, a_node, reasons


def given(cluster: Cluster, service: str = "s") -> list[tuple[str, ...]]:
    tasks = [task for task in cluster.tasks.values() if task.service_id == service]
    return [environment(task.assigned_generic) for task in tasks if not task_state.is_done(task)]


def test_tasks_go_where_enough_of_a_kind_is_free_and_no_further() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2", generic="ssd=3"))
    plan = cluster.run_new(3, generic="ssd=2")
    assert cluster.spread() == {"n1": 0, "n2": 1}
    assert reasons(plan) == ["no suitable node (insufficient resources on 2 nodes)"]
    assert given(cluster) == [("DOCKER_RESOURCE_SSD=2",)]
    assert len(cluster.run_new(5, "other", generic="ssd=1").assignments) == 1


def test_every_named_thing_is_given_to_one_task() -> None:
    cluster = Cluster(a_node("n1", generic="gpu=b,gpu=a,gpu=c"))
    cluster.run_new(2, generic="gpu=1")
    assert given(cluster) == [("DOCKER_RESOURCE_GPU=a",), ("DOCKER_RESOURCE_GPU=b",)]
    assert reasons(cluster.run_new(1, "other", generic="gpu=2"))


def test_what_a_task_had_is_free_when_it_has_ended_and_no_sooner() -> None:
    cluster = Cluster(a_node("n1", generic="gpu=a,gpu=b"))
    first, second, third = cluster.new_tasks(3, generic="gpu=1")
    cluster.place([first, second])
    first.desired_state = task_state.SHUTDOWN
    cluster.report(first, task_state.RUNNING)
    assert not cluster.place([third]).assignments
    cluster.report(first, task_state.SHUTDOWN)
    cluster.place([third])
    assert environment(third.assigned_generic) == ("DOCKER_RESOURCE_GPU=a",)


def test_another_leader_knows_from_the_tasks_what_is_given_away() -> None:
    cluster = Cluster(a_node("n1", generic="gpu=a,gpu=b"))
    cluster.run_new(1, generic="gpu=1")
    heir = Cluster()
    for task in cluster.tasks.values():  # tasks may be heard of before their node
        heir.report(task, task.status.state)
    heir.put_node(a_node("n1", generic="gpu=a,gpu=b"))
    heir.run_new(2, "other", generic="gpu=1")
    assert given(heir, "other") == [("DOCKER_RESOURCE_GPU=b",)]


def test_several_kinds_must_all_be_free() -> None:
    cluster = Cluster(a_node("n1", generic="gpu=a,ssd=1"), a_node("n2", generic="gpu=a"))
    assert len(cluster.run_new(2, generic=["gpu=1", "ssd=1"]).assignments) == 1
    assert given(cluster) == [("DOCKER_RESOURCE_GPU=a", "DOCKER_RESOURCE_SSD=1")]


def test_a_task_of_a_global_service_is_given_what_its_node_has() -> None:
    cluster = Cluster(a_node("n1", generic="gpu=a"))
    plan = cluster.check_bound(cluster.new_tasks(2, node_id="n1", generic="gpu=1"))
    assert [claim.names for claim in plan.assignments[0].claims] == [("a",)]
    assert reasons(plan) == ["no suitable node (insufficient resources on 1 node)"]


def test_a_node_that_lost_some_gives_no_more_than_it_has() -> None:
    cluster = Cluster(a_node("n1", generic="ssd=4"))
    cluster.run_new(3, generic="ssd=1")
    cluster.put_node(a_node("n1", generic="ssd=2"))
    assert reasons(cluster.run_new(1, "other", generic="ssd=1"))
    assert cluster.run_new(1, "modest").assignments


def test_planning_gives_away_nothing_twice_when_the_commit_comes_back() -> None:
    cluster = Cluster(a_node("n1", generic="gpu=a,gpu=b,gpu=c"))
    tasks = cluster.new_tasks(1, generic="gpu=2")
    cluster.place(tasks)
    cluster.report(tasks[0], task_state.ASSIGNED)
    cluster.report(tasks[0], task_state.RUNNING)
    assert len(cluster.run_new(2, "other", generic="gpu=1").assignments) == 1
