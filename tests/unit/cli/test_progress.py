"""What the exit code of a command says that waits for a service."""

from types import SimpleNamespace

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import TaskState, UpdateStatus
from swarm.cli import progress
from swarm.cli.rollout import ATTEMPTS_MAX, change_service, is_rolled_back
from swarm.errors import NotFound, StaleVersion

RUNNING = TaskState.TASK_STATE_RUNNING


class Control:
    """A service of two tasks, of which one is of the spec before if `mixed`, and what becomes of it."""

    def __init__(self, *states: int, mixed: bool = False) -> None:
        self.states = list(states)
        self.mixed = mixed
        self.stale = 0
        self.revision = 2
        self.version = 1

    def GetService(self, request: c.GetServiceRequest) -> c.GetServiceResponse:
        service = Service(id="s", spec_version=2, revision=self.revision)
        service.meta.version.index = self.version
        service.spec.annotations.name = "web"
        service.spec.replicated.replicas = 2
        service.spec.update.monitor_ns = 0
        service.update_status.state = self.states[0]
        service.update_status.message = "because task t failed"
        if len(self.states) > 1:
            del self.states[0]
        return c.GetServiceResponse(service=service)

    def ListTasks(self, request: c.ListTasksRequest) -> c.ListTasksResponse:
        tasks = [Task(slot=slot, spec_version=2, desired_state=RUNNING) for slot in (1, 2)]
        for task in tasks:
            task.status.state = RUNNING
        if self.mixed:
            tasks[1].spec_version = 1
            tasks[1].spec.container.image = "old"
        return c.ListTasksResponse(tasks=tasks)


def wait(control, **options) -> int:
    wanted = {"quiet": True, "timeout_s": 30.0, "rollback": False}
    return progress.wait(SimpleNamespace(control=control), "s", **{**wanted, **options})


UPDATING, GOING_BACK = UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_ROLLBACK_STARTED
WENT_BACK = UpdateStatus.STATE_ROLLBACK_COMPLETED


@pytest.mark.parametrize(
    ("states", "code", "said"),
    [
        ((UPDATING, UpdateStatus.STATE_COMPLETED), 0, ""),
        ((UPDATING, UpdateStatus.STATE_PAUSED), 3, "service resume web"),
        ((UPDATING, GOING_BACK, WENT_BACK), 4, "service history web"),
        ((GOING_BACK, UpdateStatus.STATE_ROLLBACK_PAUSED), 3, "because task t failed"),
    ],
)
def test_success_pause_and_rollback_have_codes_of_their_own(states, code: int, said: str, capsys) -> None:
    assert wait(Control(*states)) == code
    assert said in capsys.readouterr().err


def test_a_rollback_that_was_asked_for_is_success() -> None:
    assert wait(Control(GOING_BACK, WENT_BACK), rollback=True) == 0


def test_canaries_that_wait_are_what_was_asked_for_and_the_next_step_is_said(capsys) -> None:
    assert wait(Control(UPDATING, UpdateStatus.STATE_CANARY, mixed=True)) == 0
    assert "service web:" in capsys.readouterr().err


def test_an_update_that_goes_on_too_long_is_no_success(capsys) -> None:
    assert wait(Control(UPDATING), timeout_s=0.0) == 1
    assert "goes on in the background" in capsys.readouterr().err


def test_ctrl_c_detaches_and_says_so(capsys, monkeypatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.time, "sleep", interrupt)
    assert wait(Control(UPDATING)) == 130
    assert "Detached: the service goes on in the background" in capsys.readouterr().err


def test_a_service_that_was_removed_is_no_success(capsys) -> None:
    control = Control(UPDATING)

    def gone(request: c.GetServiceRequest) -> c.GetServiceResponse:
        raise NotFound("gone")

    control.GetService = gone
    assert wait(control) == 1


def test_a_rollback_is_no_news_where_the_service_went_back_before() -> None:
    service = Service()
    service.update_status.state = WENT_BACK
    assert is_rolled_back(service)
    service.update_status.state = UPDATING
    assert not is_rolled_back(service)


def sender(control: Control, busy: int, other_spec: bool = False):
    """Return what sends a change to a service that is written to before each of the first `busy`."""
    left = [busy]

    def send(found: Service) -> Service:
        if left[0]:
            left[0] -= 1
            control.version += 1
            control.revision += other_spec
        if found.meta.version.index != control.version:
            raise StaleVersion("update out of sequence")
        return found

    return send


def test_a_change_is_sent_again_when_only_the_update_went_on() -> None:
    control = Control(UPDATING)
    conn = SimpleNamespace(control=control)
    assert change_service(conn, "web", sender(control, busy=2)).meta.version.index == 3
    with pytest.raises(StaleVersion):
        change_service(conn, "web", sender(control, busy=ATTEMPTS_MAX))


def test_a_change_is_not_sent_again_over_that_of_somebody_else() -> None:
    control = Control(UPDATING)
    with pytest.raises(StaleVersion):
        change_service(SimpleNamespace(control=control), "web", sender(control, busy=1, other_spec=True))
