"""Between a plan and its commit the world goes on."""

from swarm.clock import timestamp
from swarm.manager.orchestrator.commit import commit_service_change, commit_steps
from swarm.manager.orchestrator.plan import NewTask, Plan, Step
from swarm.manager.orchestrator.service_loop import parts
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from tests.unit.orchestrator.bench import Bench, a_spec


def commit(bench: Bench, plan: Plan, version: int, *task_ids: str) -> bool:
    return bench.write(lambda tx: commit_steps(tx, "s", version, plan.steps, task_ids, bench.clock.now_ns()))


def test_a_plan_for_an_older_service_is_refused_as_a_whole() -> None:
    bench = Bench(a_spec(2))
    plan, version = bench.plan(), bench.service.meta.version.index
    bench.update(replicas=1)
    assert not commit(bench, plan, version, "a", "b")
    assert bench.tasks == ()


def test_a_plan_for_a_service_that_is_gone_is_refused() -> None:
    bench = Bench(a_spec(2))
    plan, version = bench.plan(), bench.service.meta.version.index
    bench.remove_service()
    assert not commit(bench, plan, version, "a", "b")


def test_a_creation_that_came_true_after_all_is_not_repeated() -> None:
    bench = Bench(a_spec(2))
    plan, version = bench.plan(), bench.service.meta.version.index
    assert commit(bench, plan, version, "a", "b")
    assert commit(bench, plan, version, "c", "d")
    assert [task.id for task in bench.tasks] == ["a", "b"]


def test_a_replacement_that_came_true_after_all_is_not_repeated() -> None:
    for replicas in (1, None):
        bench = Bench(a_spec(replicas), nodes=1)
        bench.run()
        bench.report(bench.live[0], task_state.FAILED)
        plan, version = bench.plan(), bench.service.meta.version.index
        assert commit(bench, plan, version, "a")
        assert commit(bench, plan, version, "b")
        assert [task.id for task in bench.live] == ["a"]


def test_desired_state_never_goes_back() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    plan = Plan((Step(desire=(("t1", task_state.SHUTDOWN), ("unknown", task_state.SHUTDOWN))),))
    version = bench.service.meta.version.index
    bench.write(
        lambda tx: commit_steps(
            tx, "s", version, [Step(desire=(("t1", task_state.REMOVE),))], (), bench.clock.now_ns()
        )
    )
    assert commit(bench, plan, version)
    assert bench.task("t1").desired_state == task_state.REMOVE


def test_since_when_a_task_is_to_stop_is_written_once() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    assert not bench.task("t1").HasField("stopping_since")
    version, now_ns = bench.service.meta.version.index, bench.clock.now_ns()
    for state in (task_state.SHUTDOWN, task_state.REMOVE):
        assert commit(bench, Plan((Step(desire=(("t1", state),)),)), version)
        bench.clock.advance(60)
    assert bench.task("t1").stopping_since == timestamp(now_ns)


def test_a_change_of_a_service_that_changed_is_refused() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    bench.update(image="v2")
    bench.run()
    bench.clock.advance(60)
    change = bench.plan().service_change
    assert change is not None, "the update is about to complete"
    version = bench.service.meta.version.index
    bench.update(image="v3")
    assert not bench.write(lambda tx: commit_service_change(tx, "s", version, change))


def test_a_task_can_be_made_like_the_one_before() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    old = bench.live[0]
    bench.update(image="v2")
    step = Step(create=NewTask(slot=2, previous=old, as_previous=True))
    version = bench.service.meta.version.index
    bench.write(lambda tx: commit_steps(tx, "s", version, [step], ["new"], bench.clock.now_ns()))
    assert bench.task("new").spec == old.spec
    assert bench.task("new").spec_version == old.spec_version


def test_a_step_is_never_cut_and_parts_keep_to_the_limit() -> None:
    steps = [Step(desire=(("a", 640),), create=NewTask(slot=1)) for _ in range(5)]
    assert [len(part) for part in parts(steps, 4)] == [2, 2, 1]
    assert [len(part) for part in parts(steps, 1)] == [1] * 5
    assert list(parts([], 4)) == []


def test_what_is_forgotten_twice_is_forgotten() -> None:
    bench = Bench(a_spec(1))
    transaction = Transaction(bench.tables, timestamp(0))
    version = bench.service.meta.version.index
    assert commit_steps(transaction, "s", version, [Step(remove=("nobody",))], (), 0)
    assert not transaction.writes
