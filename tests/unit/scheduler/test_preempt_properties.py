"""Nobody of equal or higher priority goes, nobody goes in vain, and what was promised holds."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Task
from swarm.model import task_state
from tests.unit.scheduler.cluster import Cluster
from tests.unit.scheduler.test_properties import (
    NODES,
    WAVES,
    NodeShape,
    Wave,
    check_generic,
    check_node,
    cluster_of,
    live_on,
    waves_of,
)

PRIORITIES = st.lists(st.integers(-2, 2), min_size=10, max_size=10)
ASKING = st.lists(st.sampled_from("ef").flatmap(waves_of), min_size=1, max_size=3)
SUBSETS_MAX = 64


def filled(shapes: list[NodeShape], waves: list[Wave], priorities: list[int], *, preempt: bool) -> Cluster:
    """A cluster whose services took what they found; each has one priority."""
    cluster = cluster_of(shapes)
    for number, wave in enumerate(waves, 1):
        needs = dict(wave.needs) | {"priority": priorities["abcdef".index(wave.service)], "preempt": preempt}
        cluster.place(cluster.new_tasks(wave.number, wave.service, version=number, **needs))
    return cluster


def asking(cluster: Cluster, number: int, wave: Wave, priority: int, *, preempt: bool) -> list[Task]:
    needs = dict(wave.needs) | {"priority": priority, "preempt": preempt}
    return cluster.new_tasks(wave.number, wave.service, version=100 + number, **needs)


def fits_without(cluster: Cluster, shapes: list[NodeShape], task: Task, gone: tuple[str, ...]) -> bool:
    """Whether a scheduler that knows nothing of preemption gives `task` its node when these are gone."""
    other = cluster_of(shapes)
    for one in cluster.tasks.values():
        if one.node_id and one.id not in gone:
            other.report(one, one.status.state)
    probe = Task()
    probe.CopyFrom(task)
    probe.node_id = task.nomination.node_id
    probe.ClearField("nomination")
    return bool(other.check_bound([probe]).assignments)


@settings(max_examples=70, deadline=None)
@given(NODES, WAVES, ASKING, PRIORITIES)
def test_no_more_go_than_are_needed_none_too_important_and_then_the_task_is_placed(
    shapes: list[NodeShape], waves: list[Wave], askers: list[Wave], priorities: list[int]
) -> None:
    cluster = filled(shapes, waves, priorities, preempt=False)
    for number, wave in enumerate(askers):
        for task in asking(cluster, number, wave, 2, preempt=True):
            cluster.wait([task])
            if task.HasField("nomination"):
                check_victims(cluster, shapes, task)
                for victim in task.nomination.victims:
                    cluster.stop(victim)
                promised = task.nomination.node_id
                cluster.wait([task])
                assert task.node_id == promised
            for place, shape in enumerate(shapes):
                check_node(cluster, f"n{place}", shape)


def check_victims(cluster: Cluster, shapes: list[NodeShape], task: Task) -> None:
    victims = tuple(task.nomination.victims)
    on_node = {one.id: one for one in live_on(cluster, task.nomination.node_id)}
    assert victims, "nothing was stopping: somebody must go"
    assert all(on_node[victim].spec.priority < task.spec.priority for victim in victims)
    assert fits_without(cluster, shapes, task, victims)
    subsets = [some for size in range(len(victims)) for some in combinations(victims, size)]
    for some in subsets[::-1][:SUBSETS_MAX]:
        assert not fits_without(cluster, shapes, task, some), f"{some} of {victims} would have been enough"


@settings(max_examples=25, deadline=None)
@given(NODES, WAVES, ASKING, PRIORITIES)
def test_nobody_goes_unless_it_was_asked_for(
    shapes: list[NodeShape], waves: list[Wave], askers: list[Wave], priorities: list[int]
) -> None:
    ours, plain = (filled(shapes, waves, priorities, preempt=False) for _ in range(2))
    for number, wave in enumerate(askers):
        tasks = asking(ours, number, wave, 2, preempt=False)
        same = asking(plain, number, wave, 2, preempt=False)
        plan, expected = ours.wait(tasks), plain.place(same)
        assert (plan.nominees, plan.withdrawn) == ((), ())
        assert plan.assignments == expected.assignments
        assert [one.text for one in plan.refusals] == [one.text for one in expected.refusals]


@settings(max_examples=35, deadline=None)
@given(NODES, WAVES, ASKING, PRIORITIES)
def test_among_those_who_push_others_out_all_comes_to_rest(
    shapes: list[NodeShape], waves: list[Wave], askers: list[Wave], priorities: list[int]
) -> None:
    """Everybody preempts, victims come again: each round somebody more important is placed for them."""
    cluster = filled(shapes, waves, priorities, preempt=True)
    waiting = [
        task
        for number, wave in enumerate(askers)
        for task in asking(cluster, number, wave, priorities["abcdef".index(wave.service)], preempt=True)
    ]
    total = len(waiting) + len(cluster.tasks)
    for _ in range(2 * total + 10):
        if not go_on(cluster, waiting):
            break
    else:
        raise AssertionError("it goes on and on")
    for place, shape in enumerate(shapes):
        live = live_on(cluster, f"n{place}")
        assert sum(task.spec.resources.reservations.nano_cpus for task in live) <= shape.cpus * 10**9
        check_generic(live, shape.generic)


def go_on(cluster: Cluster, waiting: list[Task]) -> bool:
    """Look at all who wait, the most important first; stop victims, who wait again. False: at rest."""
    changed = False
    for task in sorted(waiting, key=lambda one: -one.spec.priority):
        plan = cluster.wait([task])
        changed |= bool(plan.assignments or plan.nominees or plan.withdrawn)
        if task.node_id:
            waiting.remove(task)
        for victim in tuple(task.nomination.victims):
            if not task_state.is_done(cluster.tasks[victim]):
                cluster.stop(victim)
                again = Task()
                again.CopyFrom(cluster.tasks[victim])
                again.id, again.node_id = f"{victim}x", ""
                del again.assigned_generic[:], again.shared_devices[:]
                again.desired_state, again.status.state = task_state.RUNNING, task_state.PENDING
                waiting.append(again)
                changed = True
    return changed
