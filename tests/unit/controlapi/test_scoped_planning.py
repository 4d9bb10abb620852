"""People with a scope look ahead at what is theirs: nothing else is named, changed or told."""

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.errors import NotFound, NotPermitted
from swarm.model import task_state
from swarm.model.service import new_service
from swarm.model.task import new_task
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext, a_spec
from tests.unit.controlapi.test_planning import STEP, a_servicer, creating
from tests.unit.orchestrator.bench import a_node

RED = ("team=red",)


def spec_of(name: str, team: str, replicas: int = 1, cpus: int = 0, priority: int = 0):
    spec = a_spec(name, replicas=replicas)
    spec.annotations.labels["team"] = team
    spec.task.resources.reservations.nano_cpus = cpus * 10**9
    spec.task.priority, spec.task.preempt = priority, priority > 0
    return spec


def running(name: str, team: str, replicas: int, cpus: int = 0) -> list:
    service = new_service(f"id-{name}", spec_of(name, team, replicas, cpus))
    found = [service]
    for slot in range(1, replicas + 1):
        task = new_task(service, f"t-{name}-{slot}", 1, slot=slot, node_id="n1")
        task.status.state = task_state.RUNNING
        found.append(task)
    return found


async def plan(servicer, *changes, scope=RED, role=Role.OPERATOR, **more):
    with acting_as(Identity("", role, "", user="ann", scope=scope)):
        return await servicer.PlanChanges(c.PlanChangesRequest(changes=changes, **more), FakeContext())


async def test_what_is_theirs_is_planned():
    servicer, _ = a_servicer(a_node("n1"), *running("theirs", "blue", 1))
    answer = await plan(servicer, creating(spec_of("web", "red", replicas=2)), with_specs=True)
    assert [step.kind for step in answer.steps] == [STEP.KIND_START] * 2
    assert {step.service_name for step in answer.steps} == {"web"}
    assert [one.service_name for one in answer.specs] == ["web"]


async def test_a_service_without_the_label_cannot_be_planned():
    servicer, _ = a_servicer(a_node("n1"))
    with pytest.raises(NotPermitted, match="web needs the label team=red"):
        await plan(servicer, creating(spec_of("web", "blue")))


async def test_what_is_not_theirs_is_not_there():
    servicer, store = a_servicer(a_node("n1"), *running("theirs", "blue", 1))
    theirs = store.view.services.by_name("theirs")
    update = c.UpdateServiceRequest(
        id=theirs.id, version=theirs.meta.version.index, spec=spec_of("theirs", "red", replicas=0)
    )
    for changes, more in (
        ([c.PlannedChange(update_service=update)], {}),
        ([c.PlannedChange(remove_service=c.RemoveServiceRequest(ref="theirs"))], {}),
        ([], {"services": ["theirs"]}),
    ):
        with pytest.raises(NotFound):
            await plan(servicer, *changes, **more)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
async def test_nodes_are_not_planned_with(role):
    servicer, _ = a_servicer(*running("mine", "red", 1), a_node("n1"), a_node("n2"))
    drained = c.PlannedChange(update_node=c.UpdateNodeRequest(id="n1"))
    with pytest.raises(NotPermitted, match="what becomes of a node is about more than what has team=red"):
        await plan(servicer, drained, role=role)


async def test_what_happens_to_others_is_told_by_number_only():
    """A task that is pushed out is somebody's: how many there are is told, not whose."""
    servicer, _ = a_servicer(a_node("n1"), *running("secretive", "blue", 2, cpus=4))
    urgent = creating(spec_of("web", "red", replicas=1, cpus=4, priority=100))
    whole = await plan(servicer, urgent, scope=())
    assert "secretive" in {step.service_name for step in whole.steps}, "else nothing would be hidden here"
    answer = await plan(servicer, urgent)
    assert {step.service_name for step in answer.steps} == {"web"}
    assert "secretive" not in {one.service_name for one in answer.services}
    assert "one task of services that you do not see would start, stop or move as well" in answer.notes
    assert not any("secretive" in note for note in answer.notes)
