"""Who would be pushed out is told before it happens, and happens as it was told."""

from swarm.api.v1.specs_pb2 import ServiceSpec
from tests.unit.planning.world import World, a_service_spec, creating, draining, nodes, told, updating


def urgent(name: str = "shop", replicas: int = 1, cpus: float = 4, priority: int = 10) -> ServiceSpec:
    spec = a_service_spec(name, replicas, cpus=cpus)
    spec.task.priority, spec.task.preempt = priority, True
    return spec


def test_a_plan_says_who_has_to_go_and_where_to() -> None:
    world = World(*nodes(2, cpus=4))
    world.run(a_service_spec("low", 3, cpus=1))
    world.run(a_service_spec("wide", 1, cpus=2))
    answer = world.ask(creating(urgent(cpus=3), "s"))
    moved = [step for step in answer.steps if step.service_name == "low"]
    assert "start shop.1" in " ".join(told(answer))
    assert moved
    assert all(step.reason.startswith("preempted by shop (priority 10)") for step in moved)
    assert world.where("low") == {"n1": 2, "n2": 1} or sum(world.where("low").values()) == 3


def test_a_victim_that_finds_no_other_node_waits_and_the_plan_says_why() -> None:
    world = World(*nodes(1, cpus=4))
    world.run(a_service_spec("low", 1, cpus=4))
    answer = world.ask(creating(urgent(), "s"))
    assert told(answer) == ["wait low.1 - -", "start shop.1 - n1"]
    assert answer.steps[0].reason.startswith("preempted by shop (priority 10); no suitable node")
    world.run(urgent())
    assert world.where("shop") == {"n1": 1}
    assert world.where("low") == {"n1": 0}


def test_without_being_asked_for_nobody_goes() -> None:
    world = World(*nodes(1, cpus=4))
    world.run(a_service_spec("low", 1, cpus=4))
    spec = urgent()
    spec.task.preempt = False
    assert told(world.ask(creating(spec, "s"))) == ["wait shop.1 - -"]
    world.run(spec)
    assert told(world.ask(updating(world.service("shop"), allow))) == ["wait low.1 - -", "start shop.1 - n1"]


def allow(spec: ServiceSpec) -> None:
    spec.task.preempt = True


def test_one_pushes_out_the_next_and_then_it_ends() -> None:
    world = World(*nodes(2, cpus=4))
    world.run(urgent("lowest", priority=-1))
    world.run(urgent("low", priority=1))
    world.run(urgent("high", priority=5))
    assert sum(world.where("high").values()) == sum(world.where("low").values()) == 1
    assert sum(world.where("lowest").values()) == 0
    world.run(urgent("highest", priority=9))
    assert sum(world.where("high").values()) == sum(world.where("highest").values()) == 1
    assert sum(world.where("low").values()) == 0


def test_when_the_urgent_one_goes_the_most_important_of_those_who_wait_comes_back() -> None:
    world = World(*nodes(1, cpus=4))
    world.run(a_service_spec("low", 1, cpus=4))
    mid = a_service_spec("mid", 1, cpus=4)
    mid.task.priority = 5
    world.run(mid)
    world.run(urgent())
    world.do(lambda tx: tx.remove(world.service("shop")))
    assert world.where("mid") == {"n1": 1}
    assert world.where("low") == {"n1": 0}


def test_another_priority_of_a_running_service_changes_nothing() -> None:
    world = World(*nodes(1, cpus=4))
    world.run(a_service_spec("low", 1, cpus=4))
    assert (
        told(world.ask(updating(world.service("low"), lambda spec: setattr(spec.task, "priority", 3)))) == []
    )


def another_image(spec: ServiceSpec) -> None:
    spec.task.container.image = "v2"


def test_an_update_that_stops_first_takes_the_room_of_its_own_tasks_and_pushes_nobody_out() -> None:
    world = World(*nodes(1, cpus=4))
    shop = urgent(replicas=2, cpus=1)
    shop.update.parallelism = 1
    world.run(shop)
    world.run(a_service_spec("low", 2, cpus=1))
    answer = world.ask(updating(world.service("shop"), another_image))
    assert told(answer) == ["replace shop.1 n1 n1", "replace shop.2 n1 n1"]
    low = {task.id for task in world.tables.tasks.by_service("s-low")}
    world.do(updating(world.service("shop"), another_image))
    assert {task.id for task in world.tables.tasks.by_service("s-low")} == low
    assert world.where("shop") == {"n1": 2}


def test_a_drained_node_gives_its_urgent_tasks_to_others_who_make_room() -> None:
    world = World(*nodes(2, cpus=2))
    world.run(urgent(cpus=2))
    (home,) = [node for node, number in world.where("shop").items() if number]
    (other,) = {"n1", "n2"} - {home}
    world.run(a_service_spec("low", 2, cpus=1))
    world.do(draining(home, since_ns=world.now_ns))
    assert world.where("shop") == {home: 0, other: 1}
    assert sum(world.where("low").values()) == 0
