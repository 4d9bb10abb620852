"""Whatever is asked for: no plan breaks a promise, nothing is placed twice, and the same comes out again."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Task
from swarm.model import task_state
from swarm.model.affinity import parse_affinities
from swarm.model.constraint import node_matches, parse_constraints
from tests.unit.scheduler.cluster import Cluster, a_node, reasons

SERVICES = ("a", "b", "c", "d")


@dataclass(frozen=True)
class NodeShape:
    cpus: int
    zone: str
    generic: str


@dataclass(frozen=True)
class Wave:
    """Some tasks of one service, and how many of those that run end afterwards."""

    service: str
    number: int
    ends: int
    needs: tuple[tuple[str, object], ...]


def affinities_of(service: str) -> st.SearchStrategy[tuple[str, ...]]:
    others = [f"service=={one}" for one in SERVICES if one != service] + [
        f"service!={one}" for one in SERVICES
    ]
    one = st.builds(
        lambda text, weight: f"{text},weight={weight}" if weight else text,
        st.sampled_from([*others, "service.labels.tier!=x"]),
        st.sampled_from([0, 0, 5, 50]),
    )
    return st.lists(one, max_size=2, unique=True).map(tuple)


def waves_of(service: str) -> st.SearchStrategy[Wave]:
    needs = {
        "cpus": st.sampled_from([0, 0.5, 1, 2]),
        "per_node": st.integers(0, 3),
        "ports": st.sampled_from([(), ("80",), ("80", "81/udp")]),
        "constraints": st.sampled_from([(), ("node.labels.zone==a",), ("node.labels.zone!=a",)]),
        "spread": st.sampled_from([(), ("node.labels.zone",)]),
        "generic": st.sampled_from([(), ("gpu=1",), ("gpu=2",), ("ssd=1", "gpu=1")]),
        "strategy": st.sampled_from(["spread", "binpack", "least-reserved"]),
        "affinity": affinities_of(service),
        "labels": st.sampled_from([(), ("tier=x",)]),
    }
    fixed = st.fixed_dictionaries({}, optional=needs).map(lambda found: tuple(sorted(found.items())))
    return st.builds(Wave, st.just(service), st.integers(1, 6), st.integers(0, 2), fixed)


NODES = st.lists(
    st.builds(
        NodeShape,
        st.integers(0, 4),
        st.sampled_from("abc"),
        st.sampled_from(["", "gpu=2", "gpu=x,gpu=y,gpu=z", "gpu=x,ssd=2"]),
    ),
    min_size=1,
    max_size=5,
)
WAVES = st.lists(st.sampled_from(SERVICES).flatmap(waves_of), min_size=1, max_size=6)


def cluster_of(shapes: list[NodeShape]) -> Cluster:
    return Cluster(
        *(
            a_node(f"n{place}", cpus=shape.cpus, generic=shape.generic, zone=shape.zone)
            for place, shape in enumerate(shapes)
        )
    )


def live_on(cluster: Cluster, node_id: str) -> list[Task]:
    return [
        task for task in cluster.tasks.values() if task.node_id == node_id and not task_state.is_done(task)
    ]


def run(cluster: Cluster, number: int, wave: Wave, *, check: bool = True) -> list[Task]:
    """Place one wave, and check its affinities, which hold at the moment of placing."""
    before = {
        node.id: Counter(task.service_id for task in live_on(cluster, node.id)) for node in cluster.view
    }
    tasks = cluster.new_tasks(wave.number, wave.service, version=number, **dict(wave.needs))
    plan = cluster.place(tasks)
    if not check:
        return tasks
    assert len(plan.assignments) + sum(len(refusal.tasks) for refusal in plan.refusals) == len(tasks)
    for task in tasks:
        for one in parse_affinities(task.spec.placement.affinities) if task.node_id else ():
            if one.together and not one.weight:
                assert before[task.node_id][one.facet[1]], f"{one} on {task.node_id}"
    left = [task for task in tasks if not task.node_id]
    if left:
        again = cluster.place(left)
        assert not again.assignments, "what found no node finds one although nothing changed"
        assert reasons(again) == reasons(plan)
        assert all("(" in reason for reason in reasons(plan))
    return tasks


def end_some(cluster: Cluster, wave: Wave) -> None:
    running = [task for task in cluster.tasks.values() if not task_state.is_done(task)]
    for task in sorted(running, key=lambda task: task.id)[: wave.ends]:
        copy = Task()
        copy.CopyFrom(task)
        cluster.report(copy, task_state.COMPLETE)


@settings(max_examples=80, deadline=None)
@given(NODES, WAVES)
def test_no_plan_breaks_a_promise_and_planning_again_gives_nothing_new(
    shapes: list[NodeShape], waves: list[Wave]
) -> None:
    cluster = cluster_of(shapes)
    for number, wave in enumerate(waves, 1):
        run(cluster, number, wave)
        for place, shape in enumerate(shapes):
            check_node(cluster, f"n{place}", shape)
        end_some(cluster, wave)


def check_node(cluster: Cluster, node_id: str, shape: NodeShape) -> None:
    live = live_on(cluster, node_id)
    assert sum(task.spec.resources.reservations.nano_cpus for task in live) <= shape.cpus * 10**9
    ports = [(port.protocol, port.published_port) for task in live for port in task.endpoint.ports]
    assert len(ports) == len(set(ports))
    check_generic(live, shape.generic)
    check_apart(live)
    view = cluster.view.get(node_id)
    assert view is not None
    assert view.node is not None
    for task in live:
        placement = task.spec.placement
        assert node_matches(parse_constraints(placement.constraints), view.node)
    newest = max(live, key=lambda task: int(task.id[1:]), default=None)
    if newest is not None and newest.spec.placement.max_replicas_per_node:
        mates = [task for task in live if task.service_id == newest.service_id]
        assert len(mates) <= newest.spec.placement.max_replicas_per_node


def check_generic(live: list[Task], owned: str) -> None:
    have = [one for one in owned.split(",") if one]
    given_away: Counter[str] = Counter()
    for task in live:
        wanted = {one.kind: one.count for one in task.spec.resources.reservations.generic}
        got: Counter[str] = Counter()
        for one in task.assigned_generic:
            got[one.kind] += 1 if one.named else one.count
            given_away[f"{one.kind}={one.named}" if one.named else one.kind] += 1 if one.named else one.count
        assert got == wanted
    for what, number in given_away.items():
        totals = [int(one.partition("=")[2]) for one in have if one.startswith(f"{what}=")]
        assert number <= (totals[0] if totals else have.count(what))


def check_apart(live: list[Task]) -> None:
    for task in live:
        for one in parse_affinities(task.spec.placement.affinities):
            if one.together or one.weight:
                continue
            others = [other for other in live if other.id != task.id]
            if one.facet[0] == "service":
                assert one.facet[1] not in {other.service_id for other in others}
            else:
                assert not any(other.service_annotations.labels.get("tier") == "x" for other in others)


@settings(max_examples=25, deadline=None)
@given(NODES, WAVES)
def test_the_same_comes_out_again(shapes: list[NodeShape], waves: list[Wave]) -> None:
    first, second = cluster_of(shapes), cluster_of(shapes)
    for number, wave in enumerate(waves, 1):
        outcome = [
            [(task.id, task.node_id) for task in run(one, number, wave, check=False)]
            for one in (first, second)
        ]
        assert outcome[0] == outcome[1]
        end_some(first, wave)
        end_some(second, wave)


@settings(max_examples=25, deadline=None)
@given(NODES, WAVES)
def test_a_new_leader_sees_what_the_old_one_saw(shapes: list[NodeShape], waves: list[Wave]) -> None:
    old, new = cluster_of(shapes), cluster_of(shapes)
    for number, wave in enumerate(waves, 1):
        run(old, number, wave, check=False)
        end_some(old, wave)
    for task in old.tasks.values():
        new.report(task, task.status.state)
    for node in old.view:
        other = new.view.get(node.id)
        assert other is not None
        for name in ("nano_cpus_free", "memory_bytes_free", "ports", "active", "tasks", "facets", "guards"):
            assert getattr(node, name) == getattr(other, name), name
        for kind in ("gpu", "ssd"):
            assert node.generic.free(kind) == other.generic.free(kind)
