"""The loops of the orchestrator, with allocator and scheduler beside them, over a real store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.api.v1.objects_pb2 import Cluster, Service, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.clock import SECOND, SystemClock, timestamp
from swarm.errors import NoQuorum, NotLeader
from swarm.manager.allocator.loop import AllocatorLoop
from swarm.manager.orchestrator.loop import OrchestratorLoop
from swarm.manager.orchestrator.service_loop import ServiceLoopSettings
from swarm.manager.scheduler.loop import SchedulerLoop
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Object, copy_of
from swarm.manager.store.testing import LocalProposer, store_with
from swarm.model import task_state
from swarm.model.history import record_status
from swarm.model.service import new_service, replace_spec
from tests.unit.orchestrator.bench import a_node, a_spec

QUICK = ServiceLoopSettings(failure_rest_s=0.001)


def store_of(*objects: Object) -> Store:
    return store_with(*objects, clock=SystemClock())


def a_service(replicas: int | None = 3, service_id: str = "s") -> Service:
    spec = a_spec(replicas)
    spec.annotations.name = service_id
    return new_service(service_id, spec)


@asynccontextmanager
async def leading(store: Store) -> AsyncIterator[asyncio.Task[None]]:
    """Run the loops; ends with the orchestrator's task."""
    clock = SystemClock()
    loops = (OrchestratorLoop(store, clock, QUICK), AllocatorLoop(store, clock), SchedulerLoop(store, clock))
    running = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield running[0]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def change(store: Store, obj: Object, how: Callable[[Object], None]) -> None:
    def write(tx) -> None:
        copy = copy_of(tx.of(type(obj)).get(obj.id))
        how(copy)
        tx.update(copy)

    await store.update(write)


def report(state: int) -> Callable[[Object], None]:
    return lambda task: record_status(task, TaskStatus(state=state))  # type: ignore[arg-type]


async def run_all(store: Store) -> None:
    """Let agents do what is asked of them."""
    for task in tuple(store.view.tasks):
        if task.status.state == task_state.ASSIGNED and task.desired_state == task_state.RUNNING:
            await change(store, task, report(task_state.RUNNING))
        elif task.desired_state > task_state.RUNNING and not task_state.is_done(task):
            await change(store, task, report(task_state.SHUTDOWN))


def count(store: Store, state: int) -> int:
    return sum(task.status.state == state for task in store.view.tasks)


async def test_a_service_is_assigned_in_three_commits_after_its_own() -> None:
    store = store_of(a_node("n1"), a_node("n2"))
    async with leading(store):
        await asyncio.sleep(0.01)
        before = store.view.index
        await store.update(lambda tx: tx.create(a_service(50)))
        await until(lambda: count(store, task_state.ASSIGNED) == 50)
        assert store.view.index == before + 4


async def test_a_large_service_is_created_in_bounded_commits() -> None:
    store = store_of(a_node("n1"))
    proposer = LocalProposer(store)
    store.attach(proposer)
    async with leading(store):
        await store.update(lambda tx: tx.create(a_service(250)))
        await until(lambda: count(store, task_state.ASSIGNED) == 250)
    per_service_commit = 3  # 100 + 100 + 50, by each of the three loops
    assert len(proposer.entries) <= 1 + 3 * per_service_commit


async def test_a_failed_task_is_replaced_after_its_delay_by_the_loops_own_alarm() -> None:
    service = a_service(1)
    service.spec.task.restart.delay_ns = SECOND // 5
    store = store_of(a_node("n1"), service)
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        await run_all(store)
        old = next(iter(store.view.tasks))
        await change(store, old, report(task_state.FAILED))
        await until(lambda: len(store.view.tasks) == 2)
        new = next(task for task in store.view.tasks if task.id != old.id)
        assert new.desired_state == task_state.READY
        await until(lambda: store.view.tasks.get(new.id).desired_state == task_state.RUNNING)  # type: ignore[union-attr]
        assert SystemClock().now_ns() >= new.start_not_before.ToNanoseconds()


async def test_a_node_that_is_lost_loses_its_tasks_to_the_others() -> None:
    store = store_of(a_node("n1"), a_node("n2"), a_service(4))
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 4)
        await run_all(store)
        node = store.view.nodes.get("n1")
        assert node is not None
        await change(store, node, lambda node: setattr(node.status, "state", 1))
        await until(lambda: count(store, task_state.ASSIGNED) == 2)
        assert {task.node_id for task in store.view.tasks if task_state.wants_to_run(task)} == {"n2"}


async def test_a_label_that_forbids_a_task_rejects_it_and_another_node_takes_it() -> None:
    service = a_service(1)
    service.spec.task.placement.constraints.append("node.labels.disk==ssd")
    service.spec.task.restart.delay_ns = 0
    store = store_of(a_node("n1", disk="ssd"), service)
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        await run_all(store)
        await store.update(lambda tx: tx.create(a_node("n2", disk="ssd")))
        node = store.view.nodes.get("n1")
        assert node is not None
        await change(store, node, lambda node: node.spec.annotations.labels.clear())  # type: ignore[union-attr]
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        rejected = next(task for task in store.view.tasks if task.node_id == "n1")
        assert rejected.status.state == task_state.REJECTED
        assert rejected.status.err == "assigned node no longer meets constraints"
        assert rejected.desired_state == task_state.SHUTDOWN


async def test_tasks_of_nodes_that_are_gone_become_orphans_and_are_replaced() -> None:
    lost = Task(
        id="old", service_id="s", slot=1, node_id="gone", desired_state=task_state.RUNNING, spec_version=1
    )
    lost.status.state = task_state.RUNNING
    store = store_of(a_node("n1"), a_service(1), lost)
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        await until(lambda: count(store, task_state.ORPHANED) == 1)


async def test_tasks_whose_service_went_while_nobody_led_are_stopped_and_forgotten() -> None:
    left = Task(id="left", service_id="gone", slot=1, node_id="n1", desired_state=task_state.RUNNING)
    left.status.state = task_state.RUNNING
    store = store_of(a_node("n1"), left)
    async with leading(store):
        await until(lambda: next(iter(store.view.tasks)).desired_state == task_state.REMOVE)
        await run_all(store)
        await until(lambda: len(store.view.tasks) == 0)


async def test_a_lower_history_limit_takes_effect_at_once() -> None:
    tasks = []
    for number in range(5):
        task = Task(id=f"t{number}", service_id="s", slot=1, node_id="n1", desired_state=task_state.SHUTDOWN)
        task.status.state = task_state.FAILED
        tasks.append(task)
    store = store_of(Cluster(id="c"), a_node("n1"), *tasks, a_service(1))
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        cluster = store.view.cluster
        assert cluster is not None
        await change(store, cluster, lambda cluster: setattr(cluster.spec, "task_history_limit", 2))
        await until(lambda: len(store.view.tasks) == 2)


async def test_an_update_goes_on_by_itself_to_its_end() -> None:
    service = a_service(2)
    for config in (service.spec.update,):
        config.monitor_ns = SECOND // 10
        config.delay_ns = SECOND // 20
    store = store_of(a_node("n1"), service)
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 2)
        await run_all(store)

        def new_image(service: Object) -> None:
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)  # type: ignore[arg-type, union-attr]
            spec.task.container.image = "v2"
            replace_spec(service, spec, timestamp(0))  # type: ignore[arg-type]

        await change(store, service, new_image)
        async with asyncio.timeout(60):
            while store.view.services.get("s").update_status.state != 3:  # type: ignore[union-attr]
                await run_all(store)
                await asyncio.sleep(0.005)
    live = [task for task in store.view.tasks if task_state.is_running(task)]
    assert [task.spec.container.image for task in live] == ["v2", "v2"]


@pytest.mark.parametrize("fate", ["lost", "late", "committed"])
async def test_a_commit_without_quorum_makes_no_task_twice(fate: str) -> None:
    store = store_of(a_node("n1"), a_service(3))
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(NoQuorum("nobody there"), fate)
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 3)
        await asyncio.sleep(0.02)
        assert sorted(task.slot for task in store.view.tasks) == [1, 2, 3]


async def test_the_loss_of_leadership_ends_the_loop() -> None:
    store = store_of(a_service(1))
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(NotLeader())
    async with leading(store) as running:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(running, 60)
        assert caught.group_contains(NotLeader)


async def test_a_replaced_state_is_read_anew() -> None:
    other = store_of(a_node("n9"), a_service(2, "restored"))
    frozen = other.freeze()
    store = store_of(a_node("n1"), a_service(1))
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 1)
        store.restore(frozen.applied_index, frozen.records())
        await until(lambda: count(store, task_state.ASSIGNED) == 2)
        assert {task.service_id for task in store.view.tasks} == {"restored"}


async def test_nothing_is_written_when_nothing_has_to_change() -> None:
    store = store_of(a_node("n1"), a_service(3), a_service(None, "everywhere"))
    async with leading(store):
        await until(lambda: count(store, task_state.ASSIGNED) == 4)
        await run_all(store)
        await asyncio.sleep(0.05)
        index = store.view.index
        await asyncio.sleep(0.1)
        assert store.view.index == index
    async with leading(store):  # as another manager would
        await asyncio.sleep(0.1)
        assert store.view.index == index
