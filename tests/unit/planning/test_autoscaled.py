"""Everybody agrees on how many tasks an autoscaled service wants: the orchestrator, plans, dependencies."""

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceDependency, ServiceSpec
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.autoscale import parse_rule
from swarm.model.dependencies import HEALTHY, unmet
from tests.unit.planning.world import World, a_service_spec, kinds, nodes, updating


def scaled(least: int, most: int) -> ServiceSpec:
    spec = a_service_spec(replicas=least)
    spec.replicated.ClearField("replicas")
    spec.autoscale.replicas_min, spec.autoscale.replicas_max = least, most
    spec.autoscale.rules.append(parse_rule("prometheus=http://p|q=1"))
    return spec


def deciding(service: Service, replicas: int):
    def change(tx: Transaction) -> None:
        changed = copy_of(service)
        changed.autoscale_status.replicas = replicas
        tx.update(changed)

    return change


def running(world: World) -> int:
    return sum(world.where("web").values())


def bounds(least: int, most: int):
    def edit(spec: ServiceSpec) -> None:
        spec.autoscale.replicas_min, spec.autoscale.replicas_max = least, most

    return edit


def test_as_many_tasks_run_as_were_decided_and_no_update_begins() -> None:
    world = World(*nodes(2))
    world.run(scaled(2, 9))
    assert running(world) == 2
    world.do(deciding(world.service("web"), 5))
    assert running(world) == 5
    world.do(deciding(world.service("web"), 3))
    assert running(world) == 3
    assert not world.service("web").HasField("update_status")
    assert world.service("web").spec == scaled(2, 9)


def test_other_bounds_count_at_once_and_a_plan_shows_it() -> None:
    world = World(*nodes(2))
    world.run(scaled(2, 9))
    world.do(deciding(world.service("web"), 5))
    answer = world.ask(updating(world.service("web"), bounds(1, 4)))
    assert kinds(answer)["stop"] == 1
    assert "web is autoscaled: by its load it will have 1 to 4 replicas" in answer.notes
    world.do(updating(world.service("web"), bounds(7, 9)))
    assert running(world) == 7


def test_it_grows_during_an_update_and_all_tasks_are_new_in_the_end() -> None:
    world = World(*nodes(2))
    world.run(scaled(2, 9))

    def reimage(spec: ServiceSpec) -> None:
        spec.task.container.image = "v2"

    service = copy_of(world.service("web"))

    def both(tx: Transaction) -> None:
        updating(service, reimage)(tx)
        deciding(tx.services.get(service.id), 6)(tx)  # type: ignore[arg-type]

    world.do(both)
    tasks = [task for task in world.tables.tasks.by_service(service.id) if task_state.is_running(task)]
    assert [task.spec.container.image for task in tasks] == ["v2"] * 6


def test_who_depends_on_it_being_healthy_waits_for_as_many_as_were_decided() -> None:
    world = World(*nodes(1))
    world.run(scaled(2, 9))
    needs = ServiceDependency(service="web", condition=HEALTHY)
    assert not unmet(needs, look_at(world.tables))
    service = copy_of(world.service("web"))
    service.autoscale_status.replicas = 4
    tx = Transaction(world.tables, service.meta.updated_at)
    tx.update(service)
    assert "2 of 4 tasks run" in unmet(needs, look_at(tx))
