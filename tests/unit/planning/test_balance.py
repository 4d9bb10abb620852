"""As few tasks as needed move, to where the scheduler would put them; then there is nothing to move."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.control_pb2 import PlannedStep
from swarm.api.v1.objects_pb2 import Cluster, Rebalance
from swarm.api.v1.types_pb2 import PlacementStrategy
from swarm.errors import FailedPrecondition
from swarm.manager.planning.scratch import Scratch
from swarm.model import task_state
from tests.unit.orchestrator.bench import a_node
from tests.unit.planning.world import (
    World,
    a_job_spec,
    a_service_spec,
    draining,
    moving,
    nodes,
    scaling,
    updating,
)

ACTIVE = 0


def grown(replicas: int, before: int, after: int, **more: object) -> World:
    """Return a world whose service was placed when there were fewer nodes."""
    world = World(*nodes(before))
    world.run(a_service_spec(replicas=replicas, **more))
    world.do(lambda tx: [tx.create(node) for node in nodes(after)[before:]] and [])
    return world


def test_a_new_node_gets_its_share_and_no_other_task_moves() -> None:
    world = grown(6, before=2, after=3)
    moves = world.rebalance("web")
    assert len(moves) == 2
    assert world.where("web") == {"n1": 2, "n2": 2, "n3": 2}
    assert world.service("web").rebalance.state == Rebalance.STATE_COMPLETED
    assert world.service("web").rebalance.message == "2 tasks moved"
    assert world.moves("web") == []


def test_a_difference_of_one_is_balanced() -> None:
    world = grown(2, before=2, after=3)
    assert world.moves("web") == []


def test_no_more_tasks_move_than_asked_for() -> None:
    world = grown(9, before=1, after=3)
    assert len(world.rebalance("web", max_moves=2)) == 2
    assert world.where("web") == {"n1": 7, "n2": 1, "n3": 1}
    assert len(world.rebalance("web")) == 4


def test_nodes_that_a_service_may_not_use_get_nothing() -> None:
    world = World(a_node("n1", disk="ssd"))
    world.run(a_service_spec(replicas=4, constraints=["node.labels.disk==ssd"]))
    world.do(lambda tx: tx.create(a_node("n2")) and [])
    world.do(lambda tx: tx.create(a_node("n3", disk="ssd")) and [])
    world.do(draining("n3", 1))  # paused
    assert world.moves("web") == []
    world.do(draining("n3", ACTIVE))
    world.rebalance("web")
    assert world.where("web") == {"n1": 2, "n2": 0, "n3": 2}


def test_tasks_move_no_further_than_there_is_room() -> None:
    world = World(*nodes(1, cpus=6))
    world.run(a_service_spec(replicas=6, cpus=1))
    world.do(lambda tx: tx.create(nodes(2, cpus=1)[1]) and [])
    assert len(world.rebalance("web")) == 1
    assert world.where("web") == {"n1": 5, "n2": 1}
    assert world.moves("web") == []


def test_branches_of_the_preferences_are_balanced_first_then_the_nodes_in_them() -> None:
    world = World(a_node("a1", zone="a"), a_node("a2", zone="a"))
    world.run(a_service_spec(replicas=6, spread=["node.labels.zone"]))
    world.do(lambda tx: tx.create(a_node("b1", zone="b")) and [])
    assert len(world.rebalance("web")) == 3
    assert world.where("web")["b1"] == 3
    world.do(lambda tx: tx.create(a_node("b2", zone="b")) and [])
    assert len(world.rebalance("web")) == 1
    assert sorted(world.where("web").values()) == [1, 1, 2, 2]
    assert world.moves("web") == []


@pytest.mark.parametrize("order", [0, 1])
def test_it_goes_on_in_the_steps_of_an_update(order: int) -> None:
    world = grown(8, before=1, after=4, order=order, parallelism=2)
    assert len(world.rebalance("web")) == 6
    assert set(world.where("web").values()) == {2}
    moved = [task for task in world.tables.tasks if task.history[0].message == "moved to balance"]
    assert len(moved) == 6


def test_a_moved_task_says_why_in_its_history_and_so_does_the_one_it_replaces() -> None:
    world = grown(2, before=1, after=2)
    (move,) = world.rebalance("web")
    old = world.tables.tasks.get(move.task_id)
    assert old.desired_state == task_state.SHUTDOWN
    assert "moved to balance" in [status.message for status in old.history]
    new = next(task for task in world.tables.tasks if task.previous_task_id == old.id)
    assert "moved to balance" in [status.message for status in new.history]
    assert new.node_id == move.to_node_id


def test_a_global_service_and_one_that_is_being_updated_are_refused() -> None:
    world = grown(4, before=1, after=2)
    world.run(a_service_spec("agent", replicas=None))
    with pytest.raises(FailedPrecondition, match="global"):
        world.moves("agent")
    changed = updating(world.service("web"), lambda spec: setattr(spec.task.container, "image", "v2"))
    Scratch(world.tables, world.now_ns).change(changed)  # and nobody has begun with it
    with pytest.raises(FailedPrecondition, match="being updated"):
        world.moves("web")


def test_a_job_is_refused_by_name() -> None:
    world = grown(4, before=1, after=2)
    world.run(a_job_spec(total=3, concurrent=3))
    with pytest.raises(FailedPrecondition, match=r"service fill is a job \(replicated-job\)"):
        world.moves("fill")


@pytest.mark.parametrize(
    "strategy",
    [PlacementStrategy.PLACEMENT_STRATEGY_BINPACK, PlacementStrategy.PLACEMENT_STRATEGY_LEAST_RESERVED],
)
def test_a_service_that_is_not_placed_by_numbers_of_tasks_is_never_out_of_balance(strategy: int) -> None:
    world = grown(6, before=1, after=3, strategy=strategy, cpus=1)
    assert world.moves("web") == []
    cluster = Cluster(id="c")
    cluster.spec.placement_strategy = strategy
    world = grown(6, before=1, after=3)
    assert len(world.moves("web")) == 4
    world.do(lambda tx: tx.create(cluster) and [])
    assert world.moves("web") == []


def test_a_dry_run_tells_the_moves_and_makes_none() -> None:
    world = grown(4, before=1, after=2)
    answer = world.ask(moving("s-web", world.moves("web")))
    assert [step.kind for step in answer.steps] == [PlannedStep.KIND_MOVE] * 2
    assert {step.reason for step in answer.steps} == {"moved to balance"}
    assert world.where("web") == {"n1": 4, "n2": 0}


def fewest_moves(counts: list[int]) -> int:
    low, rest = divmod(sum(counts), len(counts))
    high = low + (rest > 0)
    return max(sum(max(0, one - high) for one in counts), sum(max(0, low - one) for one in counts))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_moves_are_fewest_and_a_second_rebalance_finds_nothing(data: st.DataObject) -> None:
    before = data.draw(st.integers(1, 3), label="nodes before")
    after = before + data.draw(st.integers(0, 3), label="nodes more")
    order = data.draw(st.integers(0, 1), label="order")
    world = grown(data.draw(st.integers(1, 12), label="replicas"), before, after, order=order)
    if data.draw(st.booleans(), label="another service"):
        world.run(a_service_spec("other", replicas=data.draw(st.integers(1, 8))))
    if after > 1 and data.draw(st.booleans(), label="drained once"):
        world.do(draining("n1"))
        world.do(draining("n1", ACTIVE))
    if data.draw(st.booleans(), label="scaled"):
        world.do(scaling(world.service("web"), data.draw(st.integers(1, 12))))
    counts = list(world.where("web").values())
    moves = world.rebalance("web")
    assert len(moves) == fewest_moves(counts)
    now = world.where("web").values()
    assert max(now) - min(now) <= 1
    assert sum(now) == sum(counts)
    assert world.moves("web") == []


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_whatever_limits_it_a_rebalance_ends_balanced_within_the_limits(data: st.DataObject) -> None:
    zones = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), label="zones")
    cpus = data.draw(st.lists(st.integers(1, 6), min_size=len(zones), max_size=len(zones)), label="cpus")
    found = [a_node(f"n{at}", zone=zone) for at, zone in enumerate(zones, 1)]
    for node, cpu in zip(found, cpus, strict=True):
        node.description.resources.nano_cpus = cpu * 10**9
    world = World(*found)
    drained = data.draw(st.lists(st.sampled_from([node.id for node in found]), max_size=3, unique=True))
    for node_id in drained:
        world.do(draining(node_id))
    per_node = data.draw(st.sampled_from([0, 2, 3]), label="per node")
    spread = ["node.labels.zone"] if data.draw(st.booleans(), label="spread") else []
    replicas = data.draw(st.integers(1, 10), label="replicas")
    world.run(
        a_service_spec(
            replicas=replicas, cpus=1, per_node=per_node, spread=spread, order=data.draw(st.integers(0, 1))
        )
    )
    for node_id in drained:
        world.do(draining(node_id, ACTIVE))
    running = sum(world.where("web").values())
    world.rebalance("web")
    now = world.where("web")
    assert sum(now.values()) == running
    for node in found:
        assert now[node.id] * 10**9 <= node.description.resources.nano_cpus
        assert not per_node or now[node.id] <= per_node
    assert world.moves("web") == []
