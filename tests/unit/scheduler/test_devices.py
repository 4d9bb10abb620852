"""Devices: only nodes that have them, and a whole one to one task at a time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.manager.scheduler.detail import against
from swarm.model import task_state
from swarm.model.devices import given_devices
from tests.unit.scheduler.cluster import Cluster, a_node, reasons

GPUS = "nvidia.com/gpu=0,nvidia.com/gpu=1,nvidia.com/gpu=GPU-b:1,nvidia.com/gpu=all:0+1"


def devices(cluster: Cluster, service: str = "s") -> list[tuple[str, ...]]:
    tasks = [task for task in cluster.tasks.values() if task.service_id == service]
    return [given_devices(task) for task in tasks if not task_state.is_done(task)]


def test_nodes_without_the_device_are_out_of_the_question() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"), a_node("n3", devices=GPUS))
    cluster.run_new(2, device="nvidia.com/gpu=0")
    assert cluster.spread() == {"n1": 0, "n2": 0, "n3": 2}
    (reason,) = reasons(cluster.run_new(1, "other", device="nvidia.com/gpu=7"))
    assert reason == "no suitable node (no device nvidia.com/gpu=7 on 3 nodes)"
    (reason,) = reasons(cluster.run_new(1, "third", gpus="1,kind=amd.com/gpu"))
    assert reason == "no suitable node (no device amd.com/gpu on 3 nodes)"


def test_a_path_is_for_the_node_to_find() -> None:
    cluster = Cluster(a_node("n1"))
    assert cluster.run_new(1, device="/dev/fuse").assignments


def test_no_two_tasks_get_the_same_whole_device() -> None:
    cluster = Cluster(a_node("n1", devices=GPUS), a_node("n2", devices=GPUS))
    plan = cluster.run_new(5, gpus="1")
    assert sorted(devices(cluster)) == [("nvidia.com/gpu=0",)] * 2 + [("nvidia.com/gpu=1",)] * 2
    assert cluster.spread() == {"n1": 2, "n2": 2}
    (refusal,) = plan.refusals
    assert refusal.text == (
        "no suitable node (insufficient resources on 2 nodes): "
        "needs 1 of nvidia.com/gpu, the most free is 0 on n1"
    )


def test_all_are_all_of_a_node_and_only_when_nobody_has_any() -> None:
    cluster = Cluster(a_node("n1", devices=GPUS), a_node("n2", devices="nvidia.com/gpu=0"))
    cluster.run_new(1, "one", gpus="2")
    cluster.run_new(2, gpus="all")
    assert devices(cluster) == [("nvidia.com/gpu=0",)]
    assert cluster.spread() == {"n1": 0, "n2": 1}


def test_named_whole_devices_are_for_one_task_under_all_their_names() -> None:
    cluster = Cluster(a_node("n1", devices=GPUS))
    assert len(cluster.run_new(2, gpus="device=GPU-b").assignments) == 1
    plan = cluster.run_new(1, "other", gpus="device=1")
    (refusal,) = plan.refusals
    assert refusal.text == (
        "no suitable node (insufficient resources on 1 node): "
        "the device nvidia.com/gpu=1 is in use on 1 node"
    )
    assert cluster.run_new(1, "third", gpus="device=0").assignments


def test_what_is_asked_for_by_device_is_shared_but_not_with_who_wants_it_alone() -> None:
    cluster = Cluster(a_node("n1", devices=GPUS))
    assert len(cluster.run_new(3, device="nvidia.com/gpu=0").assignments) == 3
    cluster.run_new(2, "alone", gpus="1")
    assert devices(cluster, "alone") == [("nvidia.com/gpu=1",)]
    plan = cluster.run_new(1, "late", device="nvidia.com/gpu=1")
    node = cluster.view.get("n1")
    assert node is not None
    demand = cluster.view.demand(plan.refusals[0].tasks[0])
    assert against(cluster.view, node, demand) == ("the device nvidia.com/gpu=1 is in use by another task",)


def test_another_leader_knows_who_has_and_who_shares_what() -> None:
    cluster = Cluster(a_node("n1", devices=GPUS))
    cluster.run_new(1, device="nvidia.com/gpu=0")
    heir = Cluster()
    for task in cluster.tasks.values():
        heir.report(task, task.status.state)
    heir.put_node(a_node("n1", devices=GPUS))
    heir.run_new(2, "other", gpus="1")
    assert devices(heir, "other") == [("nvidia.com/gpu=1",)]


def test_a_device_that_appears_is_used() -> None:
    cluster = Cluster(a_node("n1"))
    tasks = cluster.new_tasks(1, gpus="1")
    assert not cluster.place(tasks).assignments
    cluster.put_node(a_node("n1", devices=GPUS))
    assert cluster.place(tasks).assignments


ASKS = st.sampled_from(
    [{"gpus": "1"}, {"gpus": "2"}, {"gpus": "all"}, {"gpus": "device=GPU-b"}, {"gpus": "device=0"},
     {"device": "nvidia.com/gpu=0"}, {"device": "nvidia.com/gpu=all"}, {"device": "nvidia.com/gpu=1"}]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ASKS, st.integers(1, 3), st.integers(0, 20)), max_size=12))
def test_whatever_is_asked_and_whoever_ends_nobody_who_is_alone_has_company(
    steps: list[tuple[dict[str, str], int, int]],
) -> None:
    cluster = Cluster(a_node("n1", devices=GPUS), a_node("n2", devices=GPUS))
    for place, (ask, number, ends) in enumerate(steps):
        cluster.run_new(number, f"s{place}", **ask)
        live = [task for task in cluster.tasks.values() if not task_state.is_done(task)]
        if live and ends < len(live):
            live[ends].desired_state = task_state.SHUTDOWN
            cluster.report(live[ends], task_state.SHUTDOWN)
        alone: list[tuple[str, str]] = []
        shared: set[tuple[str, str]] = set()
        for task in cluster.tasks.values():
            if not task_state.is_done(task):
                alone += [(task.node_id, one.named) for one in task.assigned_generic]
                shared |= {(task.node_id, one.named) for one in task.shared_devices}
        assert len(alone) == len(set(alone))
        assert not shared & set(alone)
