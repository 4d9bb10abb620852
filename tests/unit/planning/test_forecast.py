"""What would happen is told, and what is told happens."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.control_pb2 import PlanChangesResponse
from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability, PlacementStrategy
from swarm.errors import NameConflict
from swarm.manager.store.tables import copy_of
from swarm.model import task_state
from tests.unit.planning.world import (
    KINDS,
    World,
    a_job_spec,
    a_service_spec,
    creating,
    draining,
    kinds,
    nodes,
    scaling,
    told,
    updating,
)


def test_a_new_service_starts_spread_over_the_nodes_and_nothing_is_stored() -> None:
    world = World(*nodes(2))
    answer = world.ask(creating(a_service_spec(replicas=2), "s"))
    assert sorted(told(answer)) == ["start web.1 - n1", "start web.2 - n2"]
    assert len(world.tables.tasks) == 0
    assert len(world.tables.services) == 0


def test_what_does_not_fit_is_told_with_the_reason_of_the_scheduler() -> None:
    world = World(*nodes(2, cpus=2))
    answer = world.ask(creating(a_service_spec(replicas=5, cpus=1), "s"))
    assert kinds(answer) == {"start": 4, "wait": 1}
    waiting = next(step for step in answer.steps if not step.node_id)
    assert waiting.reason == (
        "no suitable node (insufficient resources on 2 nodes): needs 1 CPU, the most free is 0 CPUs on n1"
    )


def test_scaling_down_tells_which_tasks_stop() -> None:
    world = World(*nodes(3))
    service = world.run(a_service_spec(replicas=5))
    answer = world.ask(scaling(service, 3))
    assert kinds(answer) == {"stop": 2}
    assert {step.reason for step in answer.steps} == {"fewer tasks are wanted"}
    assert answer.services[0].kept == 3


def test_room_that_becomes_free_is_given_to_tasks_of_other_services_that_wait() -> None:
    world = World(*nodes(1, cpus=2))
    web = world.run(a_service_spec("web", replicas=2, cpus=1))
    world.run(a_service_spec("db", replicas=1, cpus=1))
    assert told(world.ask(scaling(web, 1))) == ["start db.1 - n1", "stop web.2 n1 -"]


def test_an_update_replaces_tasks_on_their_nodes_when_only_there_is_room() -> None:
    world = World(*nodes(2, cpus=1))
    service = world.run(a_service_spec(replicas=2, cpus=1))
    change = updating(service, lambda spec: setattr(spec.task.container, "image", "v2"))
    assert sorted(told(world.ask(change))) == ["replace web.1 n1 n1", "replace web.2 n2 n2"]


def test_an_update_that_starts_first_and_finds_no_room_waits_with_its_old_task() -> None:
    world = World(*nodes(1, cpus=1))
    service = world.run(a_service_spec(replicas=1, cpus=1, order=1))
    change = updating(service, lambda spec: setattr(spec.task.container, "image", "v2"))
    answer = world.ask(change)
    assert told(answer) == ["wait web.1 n1 -"]
    assert "insufficient resources" in answer.steps[0].reason


def test_an_update_that_changes_nothing_of_the_tasks_leaves_them_alone() -> None:
    world = World(*nodes(2))
    service = world.run(a_service_spec(replicas=2))
    answer = world.ask(updating(service, lambda spec: setattr(spec.update, "parallelism", 2)))
    assert told(answer) == []
    assert answer.services[0].kept == 2


def test_a_removed_service_stops_everywhere() -> None:
    world = World(*nodes(2))
    service = world.run(a_service_spec(replicas=2))
    answer = world.ask(lambda tx: tx.remove(service))
    assert sorted(told(answer)) == ["stop web.1 n1 -", "stop web.2 n2 -"]
    assert {step.reason for step in answer.steps} == {"the service is removed"}


def test_a_drained_node_gives_its_tasks_to_the_others() -> None:
    world = World(*nodes(3))
    world.run(a_service_spec("web", replicas=3))
    world.run(a_service_spec("agent", replicas=None))
    answer = world.ask(draining("n1"))
    assert kinds(answer) == {"move": 1, "stop": 1}
    moved = next(step for step in answer.steps if step.node_id)
    assert (moved.from_hostname, moved.reason) == ("n1", "its node is drained")
    assert {one.service_name: one.kept for one in answer.services} == {"agent": 2, "web": 2}


def test_a_drain_tells_what_fits_nowhere_else() -> None:
    world = World(*nodes(2, cpus=1))
    world.run(a_service_spec(replicas=2, cpus=1))
    assert kinds(world.ask(draining("n2"))) == {"wait": 1}


def test_a_drain_that_waits_for_replacements_moves_what_fits_elsewhere_before_it_stops() -> None:
    world = World(*nodes(2))
    world.run(a_service_spec(replicas=2))
    drain = draining("n1", since_ns=world.now_ns)
    answer = world.ask(drain)
    assert told(answer) == ["move web.1 n1 n2"]
    assert answer.steps[0].reason == "its node is drained"
    world.do(drain)
    assert world.where("web") == {"n1": 0, "n2": 2}


def test_a_drain_does_not_wait_for_ever_for_what_fits_nowhere_else() -> None:
    world = World(*nodes(2, cpus=1))
    world.run(a_service_spec(replicas=2, cpus=1))
    answer = world.ask(draining("n2", since_ns=world.now_ns))
    assert told(answer) == ["wait web.2 - -"], "the old task is stopped at the end"
    assert "insufficient resources" in answer.steps[0].reason


def test_canaries_are_told_and_that_the_others_wait_for_their_promotion() -> None:
    world = World(*nodes(3))
    service = world.run(a_service_spec(replicas=3, canary=1))
    answer = world.ask(updating(service, lambda spec: setattr(spec.task.container, "image", "v2")))
    assert kinds(answer) == {"replace": 1}
    assert answer.services[0].kept == 2
    assert answer.notes[-1] == "the other tasks of web stay as they are until its canaries are promoted"


def test_of_a_job_is_told_what_starts_now_and_of_another_run_what_it_stops() -> None:
    world = World(*nodes(2))
    answer = world.ask(creating(a_job_spec(total=10, concurrent=3), "s-fill"))
    assert kinds(answer) == {"start": 3}
    job = world.run(a_job_spec(total=10, concurrent=3))
    answer = world.ask(updating(job, again))
    assert kinds(answer) == {"stop": 3, "start": 3}
    assert {step.reason for step in answer.steps if step.from_node_id} == {"another run of the job begins"}


def test_a_cron_job_starts_nothing_now_and_says_when_it_runs() -> None:
    spec = a_service_spec("backup")
    spec.cron.schedule = "30 2 * * *"
    answer = World(*nodes(1)).ask(creating(spec, "s"))
    assert told(answer) == []
    assert list(answer.notes) == ["backup runs at 2023-11-15T02:30:00Z"]


def test_the_strategy_of_the_cluster_counts() -> None:
    world = World(*nodes(2))
    cluster = Cluster(id="c")
    cluster.spec.placement_strategy = PlacementStrategy.PLACEMENT_STRATEGY_BINPACK
    world.do(lambda tx: tx.create(cluster) and [])
    world.run(a_service_spec("web", replicas=1, cpus=1))
    (used,) = [node_id for node_id, number in world.where("web").items() if number]
    answer = world.ask(creating(a_service_spec("db", replicas=2, cpus=1), "s-db"))
    assert {step.hostname for step in answer.steps} == {used}


def test_what_waits_for_the_company_of_another_service_is_placed_when_that_comes() -> None:
    world = World(*nodes(3))
    spec = a_service_spec("near", replicas=1)
    spec.task.placement.affinities.add(expression="service==web")

    def change(tx) -> None:
        creating(spec, "s-near")(tx)
        creating(a_service_spec("web", replicas=1), "s-web")(tx)

    answer = world.ask(change)
    assert kinds(answer) == {"start": 2}
    assert len({step.hostname for step in answer.steps}) == 1


def test_a_node_whose_labels_change_loses_the_tasks_that_may_not_be_there() -> None:
    first, second = nodes(2)
    first.spec.annotations.labels["disk"] = second.spec.annotations.labels["disk"] = "ssd"
    world = World(first, second)
    world.run(a_service_spec(replicas=2, constraints=["node.labels.disk==ssd"]))

    def change(tx) -> None:
        node = copy_of(tx.nodes.get("n1"))
        del node.spec.annotations.labels["disk"]
        tx.update(node)

    answer = world.ask(change)
    assert kinds(answer) == {"move": 1}
    assert answer.steps[0].hostname == "n2"


def test_several_changes_count_together() -> None:
    world = World(*nodes(1, cpus=2))
    world.run(a_service_spec("old", replicas=2, cpus=1))

    def change(tx) -> None:
        tx.remove(tx.services.by_name("old"))
        creating(a_service_spec("new", replicas=2, cpus=1), "n")(tx)

    assert kinds(world.ask(change)) == {"stop": 2, "start": 2}


def test_what_is_wrong_with_a_change_is_raised() -> None:
    world = World(*nodes(1))
    world.run(a_service_spec("web"))
    with pytest.raises(NameConflict):
        world.ask(creating(a_service_spec("web"), "other"))


def test_what_is_still_to_be_done_is_told_without_a_change() -> None:
    world = World(*nodes(2, cpus=1))
    service = world.run(a_service_spec(replicas=3, cpus=1))
    answer = world.ask(lambda tx: [service.id])
    assert kinds(answer) == {"wait": 1}
    world.do(lambda tx: tx.create(nodes(3, cpus=1)[2]) and [])
    assert told(world.ask(lambda tx: [service.id])) == []


def test_a_held_back_task_is_looked_at_when_its_time_has_come() -> None:
    world = World(*nodes(1))
    service = world.run(a_service_spec(replicas=1))
    task = copy_of(world.tables.tasks.by_service(service.id)[0])
    task.status.state = task_state.FAILED
    world.tables.tasks.put(task)
    answer = world.ask(lambda tx: [service.id])  # the restart delay is 5 s
    assert told(answer) == ["start web.1 - n1"]
    assert answer.steps[0].reason == "the task before it ended"


def test_an_update_of_many_tasks_does_not_take_the_square_of_their_time() -> None:
    world = World(*nodes(100, cpus=100))
    service = world.run(a_service_spec(replicas=1000, parallelism=10))
    began = time.process_time()
    answer = world.ask(updating(service, lambda spec: setattr(spec.task.container, "image", "v2")))
    took_s = time.process_time() - began
    assert sum(kinds(answer).values()) == 1000
    assert any("larger steps" in note for note in answer.notes)
    assert took_s < 20, "something grows with the square of the tasks"


def again(spec: ServiceSpec) -> None:
    spec.task.force_update += 1


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_told_is_what_happens_and_never_exceeds_a_node(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 4), label="nodes")
    world = World(*nodes(number, cpus=data.draw(st.integers(1, 4), label="cpus")))
    order, parallelism = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 3))
    spec = a_service_spec(
        replicas=data.draw(st.integers(0, 6)),
        cpus=1,
        order=order,
        parallelism=parallelism,
        per_node=data.draw(st.integers(0, 2)),
    )
    service = world.run(spec)
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        what = data.draw(st.sampled_from(["scale", "image", "drain", "activate"]))
        node_id = f"n{data.draw(st.integers(1, number))}"
        if what == "scale":
            change = scaling(service, data.draw(st.integers(0, 7)))
        elif what == "image":
            change = updating(
                service, lambda spec: setattr(spec.task, "force_update", spec.task.force_update + 1)
            )
        elif what == "drain":
            change = draining(node_id)
        else:
            change = draining(node_id, NodeAvailability.NODE_AVAILABILITY_ACTIVE)
        before = world.where("web")
        places = {task.id: task.node_id for task in world.tables.tasks}
        answer = world.ask(change)
        assert world.where("web") == before
        world.do(change)
        service = world.service("web")
        expected = expected_after(before, answer, places)
        running = world.where("web")
        assert running == {**dict.fromkeys(running, 0), **expected}
        limit = spec.task.placement.max_replicas_per_node
        for node in world.tables.nodes:
            assert running[node.id] * 10**9 <= node.description.resources.nano_cpus
            assert not limit or running[node.id] <= limit
        left = world.ask(lambda tx: [tx.services.by_name("web").id])
        assert set(kinds(left)) <= {"wait"}


def expected_after(
    before: dict[str, int], answer: PlanChangesResponse, places: dict[str, str]
) -> dict[str, int]:
    """Return how many tasks run on each node when `answer` came true; `places`: nodes of the tasks now."""
    after = Counter(before)
    for step in answer.steps:
        if KINDS[step.kind] == "wait":
            if step.task_id and not step.from_node_id:  # it stops before its successor finds a node
                after[places[step.task_id]] -= 1
        else:
            after[step.from_node_id] -= bool(step.from_node_id)
            after[step.node_id] += bool(step.node_id)
    return {node_id: number for node_id, number in after.items() if node_id}


def test_tasks_that_would_wait_for_another_service_are_told_and_those_that_would_not_start() -> None:
    world = World(*nodes(2))
    spec = a_service_spec("web", replicas=1)
    spec.depends_on.add(service="db", condition=1)
    answer = world.ask(creating(spec, "s"))
    assert kinds(answer) == {"wait": 1}
    assert answer.steps[0].reason == "it waits for service db to be healthy (there is no such service yet)"
    world.run(a_service_spec("db", replicas=1))
    assert kinds(world.ask(creating(spec, "s"))) == {"start": 1}


@pytest.mark.parametrize("concurrent", [1, 3])
def test_jobs_that_others_wait_for_do_their_work_and_then_the_others_start(concurrent: int) -> None:
    world = World(*nodes(2))
    web, db = a_service_spec("web", replicas=2), a_service_spec("db")
    web.depends_on.add(service="db", condition=1)
    db.depends_on.add(service="setup", condition=2)

    def change(tx) -> None:
        creating(web, "w")(tx)
        creating(db, "d")(tx)
        creating(a_job_spec("setup", total=3, concurrent=concurrent), "j")(tx)

    answer = world.ask(change)
    assert Counter(step.service_name for step in answer.steps) == {"web": 2, "db": 1, "setup": 3}
    assert kinds(answer) == {"start": 6}


def test_a_job_that_runs_already_is_finished_for_those_that_wait() -> None:
    world = World(*nodes(2))
    world.run(a_job_spec("setup", total=3, concurrent=1))
    web = a_service_spec("web")
    web.depends_on.add(service="setup", condition=2)
    answer = world.ask(creating(web, "w"))
    assert kinds(answer) == {"start": 3}
    assert Counter(step.service_name for step in answer.steps) == {"setup": 2, "web": 1}
