from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.types_pb2 import NodeAvailability, NodeState
from swarm.clock import SECOND
from swarm.manager.scheduler import rank
from swarm.model import task_state
from tests.unit.scheduler.cluster import NOW_NS, Cluster, a_node, reasons


def three_nodes() -> Cluster:
    return Cluster(*(a_node(f"n{number}") for number in (1, 2, 3)))


def test_nine_replicas_on_three_equal_nodes_are_three_each() -> None:
    cluster = three_nodes()
    cluster.run_new(9)
    assert cluster.spread() == {"n1": 3, "n2": 3, "n3": 3}


def test_as_many_replicas_as_nodes_are_one_each_whatever_else_runs() -> None:
    cluster = three_nodes()
    cluster.run_new(7, "other", constraints="node.id==n1")
    cluster.run_new(3)
    assert cluster.spread() == {"n1": 1, "n2": 1, "n3": 1}


def test_among_nodes_without_the_service_the_emptiest_comes_first() -> None:
    cluster = three_nodes()
    cluster.run_new(2, "other", constraints="node.id==n1")
    cluster.run_new(1, "another", constraints="node.id==n2")
    cluster.run_new(2)
    assert cluster.spread() == {"n1": 0, "n2": 1, "n3": 1}


def test_reservations_do_not_rank() -> None:
    cluster = Cluster(a_node("small", cpus=1), a_node("large", cpus=64))
    cluster.run_new(2, cpus=0.5)
    assert cluster.spread() == {"small": 1, "large": 1}


def test_without_a_ready_node_tasks_wait_and_say_why() -> None:
    cluster = three_nodes()
    for number, state in ((1, NodeState.NODE_STATE_DOWN), (2, NodeState.NODE_STATE_UNKNOWN), (3, 3)):
        node = a_node(f"n{number}")
        node.status.state = state
        cluster.put_node(node)
    waiting = cluster.new_tasks(2)
    assert reasons(cluster.place(waiting)) == ["no suitable node (3 nodes not available for new tasks)"]
    cluster.put_node(a_node("n2"))
    assert len(cluster.place(waiting).assignments) == 2
    assert cluster.spread()["n2"] == 2


def test_without_any_node_the_reason_is_short() -> None:
    assert reasons(Cluster().run_new(1)) == ["no suitable node"]


def test_paused_and_drained_nodes_get_nothing() -> None:
    paused, drained = a_node("paused"), a_node("drained")
    paused.spec.availability = NodeAvailability.NODE_AVAILABILITY_PAUSE
    drained.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
    cluster = Cluster(paused, drained, a_node("n1"))
    cluster.run_new(3)
    assert cluster.spread() == {"paused": 0, "drained": 0, "n1": 3}


def test_reservations_that_fit_nowhere_wait_for_a_larger_node() -> None:
    cluster = three_nodes()
    waiting = cluster.new_tasks(1, cpus=16)
    assert reasons(cluster.place(waiting)) == ["no suitable node (insufficient resources on 3 nodes)"]
    cluster.put_node(a_node("big", cpus=32))
    assert cluster.place(waiting).assignments[0].node_id == "big"


def test_what_a_finished_task_reserved_is_free_again() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    first, second = cluster.new_tasks(2, cpus=1)
    cluster.place([first])
    assert not cluster.place([second]).assignments
    cluster.report(first, task_state.COMPLETE)
    assert cluster.place([second]).assignments


def test_a_task_that_is_being_stopped_still_holds_its_resources_and_counts_no_more_in_the_ranking() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=1))
    (old,) = cluster.new_tasks(1, cpus=1)
    cluster.place([old])
    old.desired_state = task_state.SHUTDOWN
    cluster.report(old, task_state.RUNNING)
    cluster.run_new(2, cpus=1)
    assert Counter(cluster.spread()) == Counter({"n1": 1, "n2": 1})
    node = cluster.view.get(old.node_id)
    assert node is not None
    assert node.active == 0


def test_memory_and_cpu_must_both_fit() -> None:
    cluster = Cluster(a_node("n1", cpus=8, memory_gb=1), a_node("n2", cpus=1, memory_gb=8))
    assert reasons(cluster.run_new(1, cpus=2, memory_gb=2)) == [
        "no suitable node (insufficient resources on 2 nodes)"
    ]


def test_constraints_choose_the_nodes() -> None:
    cluster = Cluster(a_node("n1", disk="ssd"), a_node("n2", disk="hdd"), a_node("n3"))
    cluster.run_new(2, constraints="node.labels.disk==ssd")
    assert cluster.spread() == {"n1": 2, "n2": 0, "n3": 0}
    cluster.run_new(2, "other", constraints="node.labels.disk!=ssd")
    assert cluster.spread("other") == {"n1": 0, "n2": 1, "n3": 1}


def test_a_label_added_later_lets_a_waiting_task_in() -> None:
    cluster = three_nodes()
    waiting = cluster.new_tasks(1, constraints="node.labels.gpu==yes")
    assert reasons(cluster.place(waiting)) == [
        "no suitable node (scheduling constraints not satisfied on 3 nodes)"
    ]
    cluster.put_node(a_node("n2", gpu="yes"))
    assert cluster.place(waiting).assignments[0].node_id == "n2"
    cluster.put_node(a_node("n2"))
    assert reasons(cluster.run_new(1, constraints="node.labels.gpu==yes"))


def test_a_constraint_that_nobody_can_read_is_met_nowhere() -> None:
    assert reasons(three_nodes().run_new(1, constraints="nonsense"))


def test_an_image_runs_on_its_architecture_only_whatever_it_is_called() -> None:
    arm, intel = a_node("arm"), a_node("intel")
    arm.description.platform.architecture = "aarch64"
    intel.description.platform.architecture = "x86_64"
    cluster = Cluster(arm, intel)
    cluster.run_new(2, platforms="linux/amd64")
    assert cluster.spread() == {"arm": 0, "intel": 2}
    assert reasons(cluster.run_new(1, "other", platforms="linux/s390x")) == [
        "no suitable node (unsupported platform on 2 nodes)"
    ]


def test_a_host_port_is_taken_once_per_node_and_protocol() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    plan = cluster.run_new(3, ports="8080")
    assert cluster.spread() == {"n1": 1, "n2": 1}
    assert reasons(plan) == ["no suitable node (host-mode port already in use on 2 nodes)"]
    assert len(cluster.run_new(2, "dns", ports="8080/udp").assignments) == 2


def test_a_host_port_is_free_again_when_its_task_has_stopped() -> None:
    cluster = Cluster(a_node("n1"))
    first, second = cluster.new_tasks(2, ports="8080")
    cluster.place([first])
    assert not cluster.place([second]).assignments
    cluster.report(first, task_state.SHUTDOWN)
    assert cluster.place([second]).assignments


def test_no_more_replicas_on_a_node_than_allowed() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    plan = cluster.run_new(3, per_node=1)
    assert cluster.spread() == {"n1": 1, "n2": 1}
    assert reasons(plan) == ["no suitable node (max replicas per node limit exceed)"]


def test_reasons_come_with_the_most_frequent_first() -> None:
    down = a_node("down")
    down.status.state = NodeState.NODE_STATE_DOWN
    cluster = Cluster(
        down,
        a_node("n1", cpus=1),
        a_node("n2", cpus=1),
        a_node("n3", cpus=1),
        a_node("n4", a="b"),
        a_node("n5", a="b"),
    )
    assert reasons(cluster.run_new(1, cpus=2, constraints="node.labels.a!=b")) == [
        "no suitable node (insufficient resources on 3 nodes; "
        "scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)"
    ]


# Spreading.


def zones(**nodes_of_zone: int) -> Cluster:
    return Cluster(
        *(
            a_node(f"{zone}{number}", cpus=64, zone=zone)
            for zone, nodes in nodes_of_zone.items()
            for number in range(nodes)
        )
    )


def by_zone(cluster: Cluster, service: str = "s") -> Counter[str]:
    found: Counter[str] = Counter()
    for node_id, tasks in cluster.spread(service).items():
        found[node_id[0]] += tasks
    return found


def test_zones_of_one_and_two_nodes_get_four_of_eight_each() -> None:
    cluster = zones(a=1, b=2)
    cluster.run_new(8, spread="node.labels.zone")
    assert by_zone(cluster) == {"a": 4, "b": 4}
    assert cluster.spread() == {"a0": 4, "b0": 2, "b1": 2}


def test_nodes_without_the_label_are_one_branch() -> None:
    cluster = Cluster(a_node("a0", zone="a"), a_node("x0"), a_node("x1"))
    cluster.run_new(4, spread="node.labels.zone")
    assert by_zone(cluster) == {"a": 2, "x": 2}


def test_the_share_of_a_full_zone_goes_to_the_others() -> None:
    cluster = Cluster(a_node("a0", cpus=1, zone="a"), a_node("b0", zone="b"), a_node("c0", zone="c"))
    cluster.run_new(9, cpus=1, spread="node.labels.zone")
    assert by_zone(cluster) == {"a": 1, "b": 4, "c": 4}


def test_growing_from_three_to_eight_keeps_both_levels_even() -> None:
    cluster = Cluster(
        *(
            a_node(f"{zone}{rack}{number}", zone=zone, rack=f"{zone}{rack}")
            for zone in "ab"
            for rack in "12"
            for number in range(2)
        )
    )
    preferences = ["node.labels.zone", "node.labels.rack"]
    for number in (3, 5):
        cluster.run_new(number, spread=preferences)
        tasks = cluster.spread()
        assert spread_of(Counter({key[0]: 0 for key in tasks}), tasks, 1) <= 1
        assert spread_of(Counter({key[:2]: 0 for key in tasks}), tasks, 2) <= 1
    assert sum(cluster.spread().values()) == 8


def spread_of(found: Counter[str], tasks: dict[str, int], letters: int) -> int:
    for node_id, number in tasks.items():
        found[node_id[:letters]] += number
    return max(found.values()) - min(found.values())


def test_many_small_services_do_not_all_go_to_the_first_zone() -> None:
    cluster = zones(a=2, b=2, c=2)
    for number in range(30):
        cluster.run_new(1, f"s{number}", spread="node.labels.zone")
    loads = Counter(task.node_id[0] for task in cluster.tasks.values())
    assert set(loads.values()) == {10}


def test_a_preference_that_is_no_label_changes_nothing() -> None:
    cluster = three_nodes()
    cluster.run_new(6, spread="node.hostname")
    assert cluster.spread() == {"n1": 2, "n2": 2, "n3": 2}


# Failures.


def fail_on(cluster: Cluster, node_id: str, times: int, version: int = 1, at_ns: int = NOW_NS) -> None:
    for task in cluster.new_tasks(times, version=version):
        task.node_id = node_id
        cluster.report(task, task_state.FAILED, at_ns)


def test_a_node_where_the_service_failed_five_times_is_asked_last() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    cluster.run_new(3, constraints="node.id==n2", version=2)
    fail_on(cluster, "n1", 4)
    assert cluster.run_new(1).assignments[0].node_id == "n1"
    fail_on(cluster, "n1", 1)
    assert cluster.run_new(1).assignments[0].node_id == "n2"
    assert cluster.run_new(1, "other").assignments[0].node_id == "n1"


def test_a_new_version_starts_with_a_clean_slate() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    cluster.run_new(3, constraints="node.id==n2", version=2)
    fail_on(cluster, "n1", 5)
    assert cluster.run_new(1, version=3).assignments[0].node_id == "n1"


def test_failures_are_forgotten_after_five_minutes() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    cluster.run_new(3, constraints="node.id==n2", version=2)
    fail_on(cluster, "n1", 5)
    waiting = cluster.new_tasks(1)
    assert cluster.place(waiting, NOW_NS + 301 * SECOND).assignments[0].node_id == "n1"


def test_a_failure_reported_twice_counts_once() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    (task,) = cluster.new_tasks(1)
    task.node_id = "n1"
    for _ in range(5):
        cluster.report(task, task_state.FAILED)
    assert cluster.run_new(1).assignments[0].node_id == "n1"


def test_when_it_fails_everywhere_it_goes_where_it_failed_least() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2"))
    fail_on(cluster, "n1", 7)
    fail_on(cluster, "n2", 6)
    assert cluster.run_new(1).assignments[0].node_id == "n2"


# Tasks that have their node already.


def test_a_task_bound_to_a_full_node_waits_there_and_starts_when_there_is_room() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=8))
    (first,) = cluster.new_tasks(1, cpus=1, constraints="node.id==n1")
    cluster.place([first])
    (bound,) = cluster.new_tasks(1, "everywhere", cpus=1, node_id="n1")
    assert reasons(cluster.check_bound([bound])) == ["no suitable node (insufficient resources on 1 node)"]
    cluster.report(first, task_state.SHUTDOWN)
    assert cluster.check_bound([bound]).assignments[0].node_id == "n1"


def test_bound_tasks_see_each_other() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    plan = cluster.check_bound(cluster.new_tasks(2, cpus=1, node_id="n1"))
    assert len(plan.assignments) == 1
    assert len(plan.refusals) == 1


def test_a_task_bound_to_a_node_that_is_gone_is_left_alone() -> None:
    cluster = Cluster(a_node("n1"))
    plan = cluster.check_bound(cluster.new_tasks(1, node_id="gone"))
    assert not plan.assignments
    assert not plan.refusals


def test_a_large_cluster_is_looked_at_in_steps() -> None:
    cluster = Cluster(*(a_node(f"n{number}", cpus=0.5) for number in range(2 * rank.LOOKS_MAX + 7)))
    plan = cluster.run_new(3, cpus=1)
    assert reasons(plan) == [f"no suitable node (insufficient resources on {2 * rank.LOOKS_MAX + 7} nodes)"]
    cluster.put_node(a_node("big", cpus=4))
    assert len(cluster.run_new(3, cpus=1).assignments) == 3


@settings(max_examples=150)
@given(st.data())
def test_no_plan_ever_breaks_a_reservation_a_limit_or_a_constraint(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=6), label="cpus of nodes")
    cluster = Cluster(
        *(a_node(f"n{place}", cpus=cpus, zone="ab"[place % 2]) for place, cpus in enumerate(sizes))
    )
    for number in range(data.draw(st.integers(1, 5), label="services")):
        needs: dict[str, object] = {
            "cpus": data.draw(st.sampled_from([0, 0.5, 1, 2])),
            "per_node": data.draw(st.integers(0, 3)),
            "ports": data.draw(st.sampled_from([[], ["80"], ["80", "81/udp"]])),
            "constraints": data.draw(st.sampled_from([[], ["node.labels.zone==a"]])),
            "spread": data.draw(st.sampled_from([[], ["node.labels.zone"]])),
        }
        tasks = cluster.new_tasks(data.draw(st.integers(1, 8)), f"s{number}", **needs)
        plan = cluster.place(tasks)
        left = sum(len(refusal.tasks) for refusal in plan.refusals)
        assert len(plan.assignments) + left == len(tasks)
        for task in tasks:
            if task.node_id and data.draw(st.booleans()):
                cluster.report(task, task_state.COMPLETE)
    for node in cluster.view:
        assert node.nano_cpus_free >= 0
        here = [task for task in cluster.tasks.values() if task.node_id == node.id]
        live = [task for task in here if not task_state.is_done(task)]
        ports = [port.published_port for task in live for port in task.endpoint.ports]
        assert len(ports) == len(set(ports))
        for service, replicas in Counter(task.service_id for task in live).items():
            limit = next(
                task for task in live if task.service_id == service
            ).spec.placement.max_replicas_per_node
            assert not limit or replicas <= limit
        for task in here:
            zone = node.node.spec.annotations.labels["zone"] if node.node else ""
            assert not task.spec.placement.constraints or zone == "a"
