"""What is asked to be planned is checked like the change itself, and nothing of it is stored."""

import asyncio

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node, Rebalance
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotLeader, StaleVersion
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.planning.forecaster import Forecaster
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, store_with
from swarm.model import task_state
from swarm.model.service import new_service
from swarm.model.task import new_task
from swarm.security.authorization import FORWARDED_KEY
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext, FakeImages, FakeLogs, FakeRaft, a_spec
from tests.unit.controlapi.test_servicer import no_dial
from tests.unit.orchestrator.bench import a_node

STEP = c.PlannedStep


async def digest(image: str, auth: object) -> str:
    asked.append(image)
    return "sha256:" + "1" * 64


asked: list[str] = []


def a_servicer(*objects, leader: str = "r1") -> tuple[ControlServicer, Store]:
    asked.clear()
    clock = SystemClock()
    store = store_with(*objects, clock=clock)
    store.attach(LocalProposer(store))
    servicer = ControlServicer(
        store,
        clock,
        FakeRaft(1, leader),
        FakeImages(),
        FakeLogs(),
        "m1",
        no_dial,
        resolve_image=digest,
        planner=Forecaster(store, clock),
    )
    return servicer, store


def crowded(replicas: int, *nodes: Node) -> list:
    """Return a service whose tasks all run on n1, and nodes."""
    service = new_service("s", a_spec("web", replicas=replicas))
    found = []
    for slot in range(1, replicas + 1):
        task = new_task(service, f"t{slot}", 1, slot=slot, node_id="n1")
        task.status.state = task_state.RUNNING
        found.append(task)
    return [service, a_node("n1"), *nodes, *found]


async def plan(servicer: ControlServicer, *changes: c.PlannedChange, role: Role = Role.LOCAL, **more):
    request = c.PlanChangesRequest(changes=changes, **more)
    with acting_as(Identity("", role, "")):
        return await servicer.PlanChanges(request, FakeContext())


def creating(spec, **more) -> c.PlannedChange:
    return c.PlannedChange(create_service=c.CreateServiceRequest(spec=spec, **more))


async def test_a_planned_service_is_answered_and_not_stored():
    servicer, store = a_servicer(a_node("n1"))
    version = store.version
    answer = await plan(servicer, creating(a_spec("web", replicas=2)))
    assert [step.kind for step in answer.steps] == [STEP.KIND_START] * 2
    assert store.version == version
    assert len(store.view.services) == 0


async def test_mistakes_are_those_of_the_real_commands():
    servicer, store = a_servicer(*crowded(1))
    with pytest.raises(InvalidArgument, match="no name"):
        await plan(servicer, creating(a_spec("")))
    with pytest.raises(NotFound):
        await plan(servicer, c.PlannedChange(remove_service=c.RemoveServiceRequest(ref="nobody")))
    with pytest.raises(NotFound):
        await plan(servicer, services=["nobody"])
    stale = c.UpdateServiceRequest(id="s", version=99, spec=a_spec("web"))
    with pytest.raises(StaleVersion):
        await plan(servicer, c.PlannedChange(update_service=stale))
    service = store.view.services.get("s")
    back = c.UpdateServiceRequest(id="s", version=service.meta.version.index, rollback=True)
    with pytest.raises(FailedPrecondition, match="no previous spec"):
        await plan(servicer, c.PlannedChange(update_service=back))
    with pytest.raises(InvalidArgument, match="says nothing"):
        await plan(servicer, c.PlannedChange())


async def test_going_back_is_planned_as_it_is_done_also_to_an_older_revision():
    servicer, store = a_servicer(*crowded(1))

    async def update(image: str) -> None:
        service = store.view.services.get("s")
        wanted = c.UpdateServiceRequest(id="s", version=service.meta.version.index, spec=service.spec)
        wanted.spec.task.container.image = image
        await servicer.UpdateService(wanted, FakeContext())

    for image in ("web:2", "web:3"):
        await update(image)
    version = store.view.services.get("s").meta.version.index
    back = c.SteerUpdateRequest(ref="web", action=c.SteerUpdateRequest.ACTION_ROLLBACK, version=version)
    answer = await plan(servicer, c.PlannedChange(steer_update=back))
    assert [(step.kind, step.reason) for step in answer.steps] == [(STEP.KIND_REPLACE, "another version")]
    back.revision = 1
    answer = await plan(servicer, c.PlannedChange(steer_update=back))
    assert answer.services[0].kept == 1, "the task that runs is of the first revision still"
    back.revision = 9
    with pytest.raises(NotFound):
        await plan(servicer, c.PlannedChange(steer_update=back))
    back.version, back.revision = 1, 0
    with pytest.raises(StaleVersion):
        await plan(servicer, c.PlannedChange(steer_update=back))


async def test_changes_are_tried_one_on_the_other():
    servicer, store = a_servicer(*crowded(1))
    node = copy_of(store.view.nodes.get("n1"))
    node.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
    drain = c.UpdateNodeRequest(id="n1", version=node.meta.version.index, spec=node.spec)
    answer = await plan(
        servicer,
        c.PlannedChange(remove_service=c.RemoveServiceRequest(ref="web")),
        creating(a_spec("web", replicas=1)),
        c.PlannedChange(update_node=drain),
    )
    assert [step.kind for step in answer.steps] == [STEP.KIND_STOP, STEP.KIND_WAIT]


async def test_a_viewer_may_ask_but_has_no_registry_asked_with_the_credentials_of_a_service():
    servicer, _ = a_servicer(*crowded(1))
    await plan(servicer, creating(a_spec("db", image="elsewhere.test/db:1")), role=Role.VIEWER)
    assert asked == []
    await plan(servicer, creating(a_spec("db", image="elsewhere.test/db:1")))
    assert asked == ["elsewhere.test/db:1"]


async def test_only_the_leader_answers():
    servicer, _ = a_servicer(a_node("n1"), leader="r2")
    with acting_as(Identity("", Role.LOCAL, "")), pytest.raises(NotLeader):
        await servicer.PlanChanges(c.PlanChangesRequest(), FakeContext(metadata=((FORWARDED_KEY, "1"),)))


async def test_too_many_changes_are_refused():
    servicer, _ = a_servicer(a_node("n1"))
    with pytest.raises(InvalidArgument, match=r"501 changes; the limit is 500 \(CHANGES\)"):
        await plan(servicer, *[creating(a_spec("web"))] * 501)


async def test_a_mistake_names_the_service_that_has_it():
    servicer, _ = a_servicer(a_node("n1"))
    wrong = a_spec("second")
    wrong.task.container.secrets.add(secret_name="nowhere", target={"name": "x"})
    with pytest.raises(InvalidArgument, match=r"^invalid service second: there is no secret nowhere"):
        await plan(servicer, creating(a_spec("first")), creating(wrong))


async def test_a_rebalance_is_planned_or_begun_and_asking_twice_begins_one():
    servicer, store = a_servicer(*crowded(4, a_node("n2")))
    wanted = c.RebalanceServiceRequest(ref="web")
    answer = await plan(servicer, c.PlannedChange(rebalance_service=wanted))
    assert [step.kind for step in answer.steps] == [STEP.KIND_MOVE] * 2
    assert not store.view.services.get("s").HasField("rebalance")
    begun = (await servicer.RebalanceService(wanted, FakeContext())).service
    assert (begun.rebalance.state, len(begun.rebalance.moves)) == (Rebalance.STATE_MOVING, 2)
    answer = await plan(servicer, c.PlannedChange(rebalance_service=wanted))
    assert [step.kind for step in answer.steps] == [STEP.KIND_MOVE] * 2, "what is under way goes on"
    again = (await servicer.RebalanceService(wanted, FakeContext())).service
    assert again == begun


async def test_a_balanced_service_is_left_as_it_is():
    servicer, store = a_servicer(*crowded(1, a_node("n2")))
    version = store.version
    answer = await servicer.RebalanceService(c.RebalanceServiceRequest(ref="web"), FakeContext())
    assert not answer.service.HasField("rebalance")
    assert store.version == version


async def test_a_service_that_changes_while_its_moves_are_looked_for_is_not_moved():
    servicer, store = a_servicer(*crowded(4, a_node("n2")))

    def touch(tx) -> None:
        tx.update(copy_of(tx.services.get("s")))

    asking = asyncio.create_task(
        servicer.RebalanceService(c.RebalanceServiceRequest(ref="web"), FakeContext())
    )
    planner = servicer._planner
    found = planner.moves

    async def moves_and_a_change(*arguments):
        moves = await found(*arguments)
        await store.update(touch)
        return moves

    planner.moves = moves_and_a_change
    with pytest.raises(StaleVersion):
        await asking
