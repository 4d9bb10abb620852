import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.errors import FailedPrecondition
from swarm.model import rollout

NOW = timestamp(1_700_000_000 * SECOND)
State = UpdateStatus


def a_service(state: int, canary: int = 0) -> Service:
    service = Service()
    service.spec.annotations.name = "web"
    if canary:
        service.spec.update.canary = canary
    service.update_status.state = state
    return service


@pytest.mark.parametrize(
    ("before", "paused"),
    [
        (State.STATE_UPDATING, State.STATE_PAUSED),
        (State.STATE_CANARY, State.STATE_PAUSED),
        (State.STATE_ROLLBACK_STARTED, State.STATE_ROLLBACK_PAUSED),
    ],
)
def test_what_goes_on_can_be_paused_and_what_is_paused_goes_on(before: int, paused: int) -> None:
    service = a_service(before)
    assert rollout.pause(service)
    assert service.update_status.state == paused
    assert "by hand" in service.update_status.message
    assert not rollout.pause(service), "the request came twice"
    assert rollout.resume(service, NOW)
    rolls_back = before == State.STATE_ROLLBACK_STARTED
    assert service.update_status.state == (before if rolls_back else State.STATE_UPDATING)
    assert service.update_status.resumed_at == NOW
    assert not rollout.resume(service, NOW)


@pytest.mark.parametrize("state", [State.STATE_NONE, State.STATE_COMPLETED, State.STATE_ROLLBACK_COMPLETED])
def test_without_an_update_there_is_nothing_to_steer(state: int) -> None:
    service = a_service(state, canary=1)
    for act in (rollout.pause, lambda one: rollout.resume(one, NOW)):
        with pytest.raises(FailedPrecondition, match="service web is not being updated"):
            act(service)
    with pytest.raises(FailedPrecondition, match="no canaries"):
        rollout.promote(service)
    assert service.update_status.state == state


def test_canaries_are_promoted_once_also_before_they_wait() -> None:
    for state in (State.STATE_CANARY, State.STATE_UPDATING):
        service = a_service(state, canary=1)
        assert rollout.promote(service)
        assert service.update_status.state == State.STATE_UPDATING
        assert service.update_status.promoted
        assert not rollout.promote(service)


def test_what_to_do_instead_is_said() -> None:
    with pytest.raises(FailedPrecondition, match="service promote web"):
        rollout.resume(a_service(State.STATE_CANARY, canary=1), NOW)
    with pytest.raises(FailedPrecondition, match="service resume web"):
        rollout.promote(a_service(State.STATE_PAUSED, canary=1))
    with pytest.raises(FailedPrecondition, match="no canaries"):
        rollout.promote(a_service(State.STATE_UPDATING))
