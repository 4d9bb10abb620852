"""Constraint enforcer and orphans: what a node's change does to the tasks it has."""

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeRole, UpdateStatus
from swarm.clock import SECOND
from swarm.manager.orchestrator.enforcer import facts_of, plan_evictions
from swarm.manager.orchestrator.orphans import plan_orphans
from swarm.manager.store.tables import copy_of
from swarm.model import task_state
from swarm.model.generic_resources import parse_owned
from swarm.model.resources import capacity_of
from tests.unit.orchestrator.bench import Bench, a_node, a_spec


def placed(*constraints: str, replicas: int | None = 2, cpus: float = 0.0) -> Bench:
    spec = a_spec(replicas)
    spec.task.placement.constraints.extend(constraints)
    if cpus:
        spec.task.resources.reservations.nano_cpus = int(cpus * 10**9)
    bench = Bench(spec, nodes=0)
    bench.write(lambda tx: tx.create(a_node("n1", disk="ssd")))
    bench.run()
    return bench


def evictions(bench: Bench) -> tuple[str, ...]:
    node = bench.tables.nodes.get("n1")
    assert node is not None
    return plan_evictions(node, bench.tables.tasks.by_node("n1"), bench.tables)


def relabel(node: Node) -> None:
    node.spec.annotations.labels["disk"] = "hdd"


def shrink(node: Node) -> None:
    node.description.resources.nano_cpus = 5 * 10**9


def test_nothing_happens_while_the_constraints_hold() -> None:
    assert evictions(placed("node.labels.disk==ssd")) == ()


def test_a_label_that_forbids_a_task_evicts_it() -> None:
    bench = placed("node.labels.disk==ssd")
    bench.change_node("n1", relabel)
    assert evictions(bench) == ("t1", "t2")


def test_a_role_that_forbids_a_task_evicts_it() -> None:
    bench = placed("node.role==worker")
    bench.change_node("n1", lambda node: setattr(node, "role", NodeRole.NODE_ROLE_MANAGER))
    assert evictions(bench) == ("t1", "t2")


def test_it_is_the_present_constraints_of_the_service_that_count() -> None:
    bench = placed("node.labels.disk==ssd")
    bench.update(constraint="node.labels.disk==hdd")
    bench.change_service(lambda service: service.ClearField("update_status"))
    bench.change_node("n1", relabel)
    assert evictions(bench) == ()


def test_during_an_update_the_tasks_still_to_be_replaced_keep_to_their_own_constraints() -> None:
    bench = placed("node.labels.disk==ssd")
    bench.update(constraint="node.labels.disk==hdd")
    bench.change_service(
        lambda service: setattr(service.update_status, "state", UpdateStatus.STATE_UPDATING)
    )
    assert evictions(bench) == ()


def test_a_node_that_shrinks_evicts_just_enough_newest_first() -> None:
    bench = placed(replicas=4, cpus=2)
    bench.change_node("n1", shrink)
    assert evictions(bench) == ("t3", "t4")


def test_a_node_that_loses_a_named_resource_evicts_the_task_that_has_it() -> None:
    bench = placed(replicas=3)
    bench.change_node("n1", lambda node: own(node, "gpu=a,gpu=b,gpu=c"))
    for slot, name in ((1, "a"), (2, "b"), (3, "c")):
        give(bench, slot, f"gpu={name}")
    assert evictions(bench) == ()
    before = facts_of(bench.tables.nodes.get("n1"))
    bench.change_node("n1", lambda node: own(node, "gpu=a,gpu=c"))
    assert facts_of(bench.tables.nodes.get("n1")) != before
    assert evictions(bench) == ("t2",)


def test_of_a_counted_resource_the_newest_tasks_lose_what_is_gone() -> None:
    bench = placed(replicas=3)
    bench.change_node("n1", lambda node: own(node, "ssd=6"))
    for slot in (1, 2, 3):
        give(bench, slot, "ssd=2")
    assert evictions(bench) == ()
    bench.change_node("n1", lambda node: own(node, "ssd=3"))
    assert evictions(bench) == ("t2", "t3")


def test_a_task_whose_device_is_gone_must_leave() -> None:
    bench = placed(replicas=2)

    def have(node: Node, *names: str) -> None:
        del node.description.devices[:]
        for name in names:
            node.description.devices.add(name=f"v.com/c={name}", parts=[name])

    def change(tx) -> None:
        for slot, name in ((1, "a"), (2, "b")):
            task = copy_of(bench.in_slot(slot)[0])
            (task.assigned_generic if slot == 1 else task.shared_devices).add(kind="v.com/c", named=name)
            tx.update(task)

    bench.change_node("n1", lambda node: have(node, "a", "b"))
    bench.write(change)
    before = facts_of(bench.tables.nodes.get("n1"))
    assert evictions(bench) == ()
    bench.change_node("n1", lambda node: have(node, "a"))
    assert facts_of(bench.tables.nodes.get("n1")) != before
    assert evictions(bench) == ("t2",)


def own(node: Node, text: str) -> None:
    del node.description.resources.generic[:]
    node.description.resources.generic.extend(parse_owned([text]))


def give(bench: Bench, slot: int, text: str) -> None:
    def change(tx) -> None:
        task = copy_of(bench.in_slot(slot)[0])
        task.assigned_generic.extend(parse_owned([text]))
        tx.update(task)

    bench.write(change)


def test_finished_tasks_do_not_count_and_are_not_evicted() -> None:
    bench = placed("node.labels.disk==ssd", replicas=4, cpus=2)
    for slot in (1, 2):
        bench.report(bench.in_slot(slot)[0], task_state.COMPLETE)
    bench.change_node("n1", shrink)
    assert evictions(bench) == ()


def test_tasks_of_global_services_are_left_to_the_orchestrator() -> None:
    bench = placed("node.labels.disk==ssd", replicas=None)
    bench.change_node("n1", relabel)
    assert evictions(bench) == ()


def test_nothing_is_enforced_on_a_node_that_is_drained_or_down() -> None:
    for change in (
        lambda node: setattr(node.spec, "availability", NodeAvailability.NODE_AVAILABILITY_DRAIN),
        lambda node: setattr(node.status, "state", 1),
    ):
        bench = placed("node.labels.disk==ssd")
        bench.change_node("n1", relabel)
        bench.change_node("n1", change)
        assert evictions(bench) == ()


def test_a_heartbeat_changes_no_facts() -> None:
    node = a_node("n1")
    again = a_node("n1")
    again.meta.version.index = 7
    again.status.message = "still there"
    assert facts_of(node) == facts_of(again)
    assert facts_of(node).capacity == capacity_of(node)


def a_running_task() -> Task:
    task = Task(id="t1", node_id="n1")
    task.status.state = task_state.RUNNING
    return task


def test_tasks_of_a_node_that_is_down_for_a_day_are_orphans() -> None:
    bench = Bench(a_spec(1), nodes=1)
    bench.lose("n1")
    node, task = bench.tables.nodes.get("n1"), a_running_task()
    now_ns = bench.clock.now_ns()
    day_ns = 24 * 3600 * SECOND
    early = plan_orphans(node, [task], now_ns + day_ns - 1)
    assert early.task_ids == ()
    assert early.wake_at_ns == now_ns + day_ns
    assert plan_orphans(node, [task], now_ns + day_ns).task_ids == ("t1",)


def test_tasks_of_a_node_that_is_gone_are_orphans_at_once() -> None:
    assert plan_orphans(None, [a_running_task()], 0).task_ids == ("t1",)


def test_neither_finished_tasks_nor_those_of_other_nodes_become_orphans() -> None:
    done = a_running_task()
    done.status.state = task_state.COMPLETE
    assert plan_orphans(None, [done], 0).task_ids == ()
    plan = plan_orphans(a_node("n1"), [a_running_task()], 10**30)
    assert plan.task_ids == ()
    assert plan.wake_at_ns is None


def test_a_task_of_a_service_that_is_gone_is_not_the_enforcers_business() -> None:
    bench = placed("node.labels.disk==ssd")
    bench.change_node("n1", relabel)
    bench.remove_service()
    assert isinstance(bench.tables.services.get("s"), Service | None)
    assert evictions(bench) == ()
