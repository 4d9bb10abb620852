"""Jobs and drains in the loops of the orchestrator: what wakes them, commits of unknown outcome."""

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState
from swarm.clock import SECOND, SystemClock, timestamp
from swarm.errors import NoQuorum
from swarm.manager.orchestrator.enforcer import plan_evictions
from swarm.manager.orchestrator.restart import NO_LONGER_FITS
from swarm.manager.store.testing import LocalProposer
from swarm.model import task_state
from swarm.model.service import new_service
from tests.unit.orchestrator.bench import Bench, a_node, a_spec, running
from tests.unit.orchestrator.test_jobs import a_global_job, a_job
from tests.unit.orchestrator.test_loop import (
    a_service,
    change,
    count,
    leading,
    report,
    run_all,
    store_of,
    until,
)


def named(spec: ServiceSpec) -> Service:
    spec.annotations.name = "j"
    return new_service("j", spec)


async def test_a_node_that_becomes_ready_gets_the_global_job() -> None:
    late = a_node("n2")
    late.status.state = NodeState.NODE_STATE_DISCONNECTED
    store = store_of(a_node("n1"), late, named(a_global_job()))
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        await change(store, late, lambda node: setattr(node.status, "state", NodeState.NODE_STATE_READY))
        await until(lambda: count(store, task_state.ASSIGNED) == 2)


async def test_a_job_runs_to_its_end_by_itself() -> None:
    store = store_of(a_node("n1"), named(a_job(3, 1)))

    def completed() -> bool:
        return count(store, task_state.COMPLETE) == 3

    async with leading(store):
        for _ in range(3):
            await until(lambda: count(store, task_state.ASSIGNED) == 1)
            await run_all(store)
            (task,) = [task for task in store.view.tasks if task.status.state == task_state.RUNNING]
            await change(store, task, report(task_state.COMPLETE))
        await until(completed)
    assert sorted(task.slot for task in store.view.tasks) == [1, 2, 3]


def a_due_cron(now_ns: int) -> Service:
    """Return a cron job whose time has come just now; its next one is far away."""
    spec = a_spec()
    spec.cron.schedule = "0 0 1 1 *"
    spec.cron.total_completions = 150  # more than one commit takes
    spec.cron.starting_deadline_ns = 400 * 86400 * SECOND
    service = named(spec)
    service.job_status.spec_version = service.spec_version
    service.job_status.next_run.CopyFrom(timestamp(now_ns - SECOND))
    return service


@pytest.mark.parametrize("fate", ["lost", "late", "committed"])
async def test_a_commit_whose_outcome_is_not_known_makes_no_second_run(fate: str) -> None:
    store = store_of(a_node("n1"), a_due_cron(SystemClock().now_ns()))
    proposer = LocalProposer(store)
    store.attach(proposer)
    for _ in range(3):
        proposer.fail_next(NoQuorum("simulated"), fate)
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 150)
        await run_all(store)
    service = store.view.services.get("j")
    assert service is not None
    assert service.job_status.iteration == 1
    assert {task.job_iteration for task in store.view.tasks} == {1}
    assert sorted(task.slot for task in store.view.tasks) == list(range(1, 151))


async def test_a_drain_that_is_asked_again_not_to_wait_stops_at_once() -> None:
    store = store_of(a_node("n1"), a_service(1))
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        await run_all(store)
        (old,) = store.view.tasks

        def drain(node) -> None:
            node.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
            node.spec.drain_started_at.CopyFrom(timestamp(SystemClock().now_ns()))

        await change(store, a_node("n1"), drain)
        await until(lambda: len(store.view.tasks) == 2 and count(store, task_state.PENDING) == 1)
        assert store.view.tasks.get(old.id).desired_state == task_state.RUNNING
        await change(store, a_node("n1"), lambda node: setattr(node.spec, "drain_timeout_ns", 0))
        await until(lambda: store.view.tasks.get(old.id).desired_state == task_state.SHUTDOWN)


def test_a_task_of_a_job_that_its_node_may_not_keep_is_run_elsewhere_and_counts_as_no_attempt() -> None:
    spec = a_job(1, max_attempts=1)
    spec.task.placement.constraints.append("node.labels.disk==ssd")
    bench = Bench(spec, nodes=0)
    for name in ("n1", "n2"):
        bench.write(lambda tx, name=name: tx.create(a_node(name, disk="ssd")))
    bench.run()
    for _ in range(3):
        (task,) = running(bench)
        node = bench.tables.nodes.get(task.node_id)
        bench.change_node(node.id, lambda node: node.spec.annotations.labels.clear())
        node = bench.tables.nodes.get(task.node_id)
        assert plan_evictions(node, bench.tasks, bench.tables) == (task.id,)
        bench.report(task, task_state.REJECTED, NO_LONGER_FITS)
        bench.change_node(node.id, lambda node: node.spec.annotations.labels.update(disk="ssd"))
        bench.run(10)
    assert len(running(bench)) == 1


def test_a_completed_task_of_a_job_is_never_evicted() -> None:
    spec = a_job(1)
    spec.task.placement.constraints.append("node.labels.disk==ssd")
    bench = Bench(spec, nodes=0)
    bench.write(lambda tx: tx.create(a_node("n1", disk="ssd")))
    bench.run()
    bench.report(running(bench)[0], task_state.COMPLETE)
    bench.change_node("n1", lambda node: node.spec.annotations.labels.clear())
    assert plan_evictions(bench.tables.nodes.get("n1"), bench.tasks, bench.tables) == ()
