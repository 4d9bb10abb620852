"""Affinity: where other services run, or where they do not."""

from swarm.api.v1.types_pb2 import Affinity
from swarm.model import task_state
from tests.unit.scheduler.cluster import Cluster, a_node, reasons


def three_nodes(**size: float) -> Cluster:
    return Cluster(*(a_node(f"n{one}", **size) for one in (1, 2, 3)))  # type: ignore[arg-type]


def db_on(cluster: Cluster, *nodes: str, **needs: object) -> None:
    for node in nodes:
        assert cluster.run_new(
            1, "db", constraints=f"node.id=={node}", version=ord(node[-1]), **needs
        ).assignments


def test_a_service_goes_only_where_the_other_one_runs() -> None:
    cluster = three_nodes(cpus=4)
    db_on(cluster, "n2")
    plan = cluster.run_new(6, cpus=1, affinity="service==db")
    assert cluster.spread() == {"n1": 0, "n2": 4, "n3": 0}
    assert reasons(plan) == [
        "no suitable node (affinity service==db not satisfied on 2 nodes; insufficient resources on 1 node)"
    ]


def test_a_service_goes_only_where_the_other_one_does_not() -> None:
    cluster = three_nodes()
    db_on(cluster, "n1", "n2")
    cluster.run_new(4, affinity="service!=db")
    assert cluster.spread() == {"n1": 0, "n2": 0, "n3": 4}


def test_the_other_one_is_kept_away_as_well() -> None:
    cluster = three_nodes()
    cluster.run_new(1, "db", affinity="service!=web", constraints="node.id==n1")
    cluster.run_new(4, "web")
    assert cluster.spread("web") == {"n1": 0, "n2": 2, "n3": 2}
    (bound,) = cluster.new_tasks(1, "web", version=2, node_id="n1")
    assert reasons(cluster.check_bound([bound])) == [
        "no suitable node (kept away by the affinity of another service on 1 node)"
    ]


def test_a_service_can_keep_its_own_tasks_apart() -> None:
    cluster = three_nodes()
    plan = cluster.run_new(4, "web", affinity="service!=web")
    assert cluster.spread("web") == {"n1": 1, "n2": 1, "n3": 1}
    assert reasons(plan) == ["no suitable node (affinity service!=web not satisfied on 3 nodes)"]


def test_tasks_that_stop_or_have_ended_count_no_more() -> None:
    cluster = three_nodes()
    (other,) = cluster.new_tasks(1, "db", constraints="node.id==n2")
    cluster.place([other])
    assert cluster.run_new(1, "a", affinity="service==db").assignments
    cluster.report(other, task_state.FAILED)
    assert reasons(cluster.run_new(1, "b", affinity="service==db"))
    assert cluster.run_new(3, "c", affinity="service!=db").assignments
    assert cluster.spread("c") == {"n1": 1, "n2": 1, "n3": 1}


def test_services_are_known_by_name_by_id_and_by_their_labels() -> None:
    for expression in ("service==store", "service==db", "service.labels.tier==data"):
        cluster = three_nodes()
        db_on(cluster, "n3", name="store", labels=["tier=data"])
        cluster.run_new(2, affinity=expression)
        assert cluster.spread() == {"n1": 0, "n2": 0, "n3": 2}, expression


def test_all_hard_ones_must_hold() -> None:
    cluster = three_nodes()
    db_on(cluster, "n1", "n2")
    cluster.run_new(1, "noisy", constraints="node.id==n1")
    cluster.run_new(2, affinity=["service==db", "service!=noisy"])
    assert cluster.spread() == {"n1": 0, "n2": 2, "n3": 0}


def test_a_wish_is_followed_as_far_as_there_is_room() -> None:
    cluster = three_nodes(cpus=4)
    db_on(cluster, "n2")
    cluster.run_new(6, cpus=1, affinity="service==db,weight=10")
    assert cluster.spread() == {"n1": 1, "n2": 4, "n3": 1}
    cluster = three_nodes(cpus=2)
    db_on(cluster, "n2")
    cluster.run_new(5, cpus=1, affinity="service!=db,weight=10")
    assert cluster.spread() == {"n1": 2, "n2": 1, "n3": 2}


def test_the_heavier_wish_wins() -> None:
    cluster = three_nodes()
    db_on(cluster, "n1")
    cluster.run_new(1, "cache", constraints="node.id==n2")
    cluster.run_new(1, affinity=["service==db,weight=20", "service==cache,weight=30"])
    assert cluster.spread() == {"n1": 0, "n2": 1, "n3": 0}
    cluster.run_new(1, "t", affinity=["service!=db,weight=20", "service!=cache,weight=30"])
    assert cluster.spread("t") == {"n1": 0, "n2": 0, "n3": 1}


def test_a_service_that_wishes_to_keep_its_tasks_apart_does_so_before_its_other_wishes() -> None:
    cluster = three_nodes()
    db_on(cluster, "n1")
    cluster.run_new(3, affinity=["service!=s,weight=50", "service==db,weight=20"])
    assert cluster.spread() == {"n1": 1, "n2": 1, "n3": 1}
    cluster.run_new(3, "t", affinity=["service!=t,weight=20", "service==db,weight=50"])
    assert cluster.spread("t") == {"n1": 3, "n2": 0, "n3": 0}


def test_affinity_works_below_spread_preferences() -> None:
    cluster = Cluster(*(a_node(f"{zone}{one}", zone=zone) for zone in "ab" for one in (1, 2)))
    for node in ("a1", "b2"):
        cluster.run_new(1, "db", constraints=f"node.id=={node}", version=ord(node[0]))
    cluster.run_new(4, affinity="service==db", spread="node.labels.zone")
    assert cluster.spread() == {"a1": 2, "a2": 0, "b1": 0, "b2": 2}


def test_what_nobody_can_read_is_satisfied_nowhere() -> None:
    cluster = three_nodes()
    (task,) = cluster.new_tasks(1)
    task.spec.placement.affinities.append(Affinity(expression="node~=7"))
    assert reasons(cluster.place([task])) == [
        "no suitable node (affinity that this version cannot read on 3 nodes)"
    ]
