"""`--dry-run` asks what the command itself would do, and does nothing: the rest of the API is not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node, Service
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.cli import node, rollout, service, service_group
from swarm.cli.plan import ATTEMPTS_MAX
from swarm.errors import InvalidArgument, StaleVersion


class Control:
    """Shows a service, a job and a node, whose versions grow with every look, and answers plans."""

    def __init__(self, stale: int = 0) -> None:
        self.stale = stale  # so many plans come too late
        self.looks = 0
        self.asked: list[c.PlannedChange] = []

    def GetService(self, request: c.GetServiceRequest) -> c.GetServiceResponse:
        self.looks += 1
        found = Service(id=f"id-{request.ref}")
        found.meta.version.index = self.looks
        found.spec.annotations.name = request.ref
        found.spec.task.container.image = "web:1"
        if request.ref == "fill":
            found.spec.replicated_job.total_completions = 3
        elif request.ref == "agent":
            getattr(found.spec, "global").SetInParent()
        else:
            found.spec.replicated.replicas = 2
        return c.GetServiceResponse(service=found)

    def GetNode(self, request: c.GetNodeRequest) -> c.GetNodeResponse:
        self.looks += 1
        found = Node(id=f"id-{request.ref}")
        found.meta.version.index = self.looks
        return c.GetNodeResponse(node=found)

    def PlanChanges(self, request: c.PlanChangesRequest) -> c.PlanChangesResponse:
        self.asked = list(request.changes)
        if self.stale:
            self.stale -= 1
            raise StaleVersion("it changed")
        return c.PlanChangesResponse()


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    found = Control()

    @contextmanager
    def connect(host: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(control=found)

    for module in (service, service_group, node, rollout):
        monkeypatch.setattr(module, "connect", connect)
    return found


def run(group: click.Group, *arguments: str) -> Result:
    return CliRunner().invoke(group, [arguments[0], "--dry-run", *arguments[1:]])


def planned(control: Control, group: click.Group, *arguments: str) -> list[c.PlannedChange]:
    result = run(group, *arguments)
    assert (result.exit_code, result.output) == (0, "Nothing would happen.\n"), result.exception
    return control.asked


def test_a_service_is_created_updated_scaled_and_removed_on_trial(control: Control) -> None:
    (one,) = planned(control, service_group.service, "create", "--name", "web", "--replicas", "3", "web:1")
    assert one.create_service.spec.replicated.replicas == 3
    (one,) = planned(control, service_group.service, "update", "--image", "web:2", "--force", "web")
    assert (one.update_service.id, one.update_service.spec.task.force_update) == ("id-web", 1)
    assert not one.update_service.skip_image_resolution
    several = planned(control, service_group.service, "scale", "web=5", "fill=7")
    assert several[0].update_service.spec.replicated.replicas == 5
    assert several[1].update_service.spec.replicated_job.total_completions == 7
    (one,) = planned(control, service_group.service, "rm", "web")
    assert one.remove_service.ref == "web"


@pytest.mark.parametrize(
    ("arguments", "revision"),
    [(("rollback", "web"), 0), (("rollback", "--to", "3", "web"), 3), (("update", "--rollback", "web"), 0)],
)
def test_going_back_is_tried_as_it_is_done(
    control: Control, arguments: tuple[str, ...], revision: int
) -> None:
    (one,) = planned(control, service_group.service, *arguments)
    steer = one.steer_update
    assert (steer.action, steer.revision) == (c.SteerUpdateRequest.ACTION_ROLLBACK, revision)
    assert (steer.ref, steer.version) == ("id-web", 1)


def test_nodes_are_drained_together_on_trial(control: Control) -> None:
    several = planned(control, node.node, "drain", "--timeout", "10m", "w1", "w2")
    assert [one.update_node.id for one in several] == ["id-w1", "id-w2"]
    for one in several:
        assert one.update_node.spec.availability == NodeAvailability.NODE_AVAILABILITY_DRAIN
        assert one.update_node.spec.drain_timeout_ns == 600 * 10**9


def test_what_has_no_replicas_is_named_and_nothing_is_asked(control: Control) -> None:
    result = run(service_group.service, "scale", "agent=2")
    assert isinstance(result.exception, InvalidArgument)
    assert "service agent is global" in str(result.exception)
    assert not control.asked


def test_a_plan_that_came_too_late_is_made_of_what_is_there_now_and_not_for_ever(control: Control) -> None:
    control.stale = 1
    (one,) = planned(control, service_group.service, "scale", "web=5")
    assert one.update_service.version == 2
    control.stale = ATTEMPTS_MAX
    assert isinstance(run(service_group.service, "scale", "web=5").exception, StaleVersion)
