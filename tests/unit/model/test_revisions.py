import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.errors import FailedPrecondition, NotFound
from swarm.model.revisions import REVISIONS_BYTES_LIMIT, REVISIONS_LIMIT, all_of
from swarm.model.service import new_service, replace_spec, roll_back

NOW_NS = 1_700_000_000 * SECOND


def a_spec(image: str = "web:1") -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = image
    spec.replicated.replicas = 2
    return spec


def change(service: Service, edit, at_s: int = 0) -> None:
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    edit(spec)
    replace_spec(service, spec, timestamp(NOW_NS + at_s * SECOND))


def image(name: str):
    return lambda spec: setattr(spec.task.container, "image", name)


def images(service: Service) -> list[tuple[int, str]]:
    return [(one.revision, one.spec.task.container.image) for one in all_of(service)]


def test_every_spec_is_a_revision_with_the_time_it_came():
    service = new_service("s", a_spec())
    service.meta.created_at.CopyFrom(timestamp(NOW_NS))
    change(service, image("web:2"), 5)
    change(service, lambda spec: setattr(spec.replicated, "replicas", 3), 9)
    assert images(service) == [(1, "web:1"), (2, "web:2"), (3, "web:2")]
    assert [nanoseconds(one.created_at) - NOW_NS for one in all_of(service)] == [0, 5 * SECOND, 9 * SECOND]


def test_a_revision_keeps_how_its_update_went():
    service = new_service("s", a_spec())
    change(service, image("web:2"))
    service.update_status.state = UpdateStatus.STATE_COMPLETED
    change(service, image("web:3"))
    states = [one.update_status.state for one in all_of(service)]
    assert states == [UpdateStatus.STATE_NONE, UpdateStatus.STATE_COMPLETED, UpdateStatus.STATE_UPDATING]


def test_no_more_revisions_are_kept_than_the_limit_and_the_newest_of_them():
    service = new_service("s", a_spec())
    for number in range(2, 40):
        change(service, image(f"web:{number}"))
    assert len(service.revisions) == REVISIONS_LIMIT
    assert images(service)[-1] == (39, "web:39")
    assert images(service)[0] == (39 - REVISIONS_LIMIT, f"web:{39 - REVISIONS_LIMIT}")


def labelled(text: str):
    return lambda spec: spec.task.container.labels.update({"k": text})


def test_large_specs_leave_room_for_fewer_revisions():
    service = new_service("s", a_spec())
    for number in range(2, 8):
        change(service, labelled("x" * (REVISIONS_BYTES_LIMIT // 3) + str(number)))
    assert [one.revision for one in service.revisions] == [5, 6]


def test_of_a_spec_that_is_larger_than_the_limit_only_the_number_is_kept():
    service = new_service("s", a_spec())
    change(service, labelled("x" * (REVISIONS_BYTES_LIMIT + 1)))
    large = service.spec.task.container.labels["k"]
    change(service, image("web:2"))
    assert [(one.revision, one.HasField("spec")) for one in service.revisions] == [(1, True), (2, False)]
    with pytest.raises(NotFound, match="no revision 2 to go back to; kept are: 1"):
        roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True, revision=2)
    roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True)
    assert service.spec.task.container.labels["k"] == large, "the spec before is always there"
    assert service.revisions[-1].rolled_back


def test_revisions_hold_no_credentials_and_going_back_uses_the_present_ones():
    service = new_service("s", a_spec())
    change(service, lambda spec: setattr(spec.task.container.registry_auth, "password", "first"))
    change(service, image("web:2"))
    change(service, lambda spec: setattr(spec.task.container.registry_auth, "password", "second"))
    assert all(not one.spec.task.container.HasField("registry_auth") for one in all_of(service))
    roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True, revision=1)
    assert service.spec.task.container.image == "web:1"
    assert service.spec.task.container.registry_auth.password == "second"


def test_going_back_to_a_revision_makes_a_new_one_and_can_be_undone():
    service = new_service("s", a_spec())
    change(service, image("web:2"))
    change(service, image("web:3"))
    roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True, revision=1)
    assert images(service)[-2:] == [(3, "web:3"), (4, "web:1")]
    assert service.revisions[-1].rolled_back
    assert service.revisions[-1].update_status.message == "asked"
    assert service.update_status.state == UpdateStatus.STATE_ROLLBACK_STARTED
    roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True)
    assert images(service)[-1] == (5, "web:3")


def test_a_revision_that_is_not_kept_or_is_the_present_one_cannot_be_gone_back_to():
    service = new_service("s", a_spec())
    change(service, image("web:2"))
    with pytest.raises(NotFound, match="no revision 7 to go back to; kept are: 1"):
        roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True, revision=7)
    with pytest.raises(FailedPrecondition, match="already has the spec of revision 2"):
        roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True, revision=2)


def test_after_an_automatic_rollback_earlier_revisions_can_still_be_gone_back_to():
    service = new_service("s", a_spec())
    change(service, image("web:2"))
    change(service, image("bad"))
    roll_back(service, timestamp(NOW_NS), "task t failed", keep_previous=False)
    with pytest.raises(FailedPrecondition, match="service history web"):
        roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True)
    roll_back(service, timestamp(NOW_NS), "asked", keep_previous=True, revision=1)
    assert service.spec.task.container.image == "web:1"


def test_only_what_tasks_are_made_of_counts_as_their_version():
    service = new_service("s", a_spec())
    change(service, lambda spec: setattr(spec.replicated, "replicas", 5))
    change(service, lambda spec: setattr(spec.update, "parallelism", 5))
    assert (service.spec_version, service.revision) == (1, 3)
    change(service, image("web:2"))
    change(service, lambda spec: spec.endpoint.ports.add(target_port=80))
    assert (service.spec_version, service.revision) == (3, 5)


def test_scaling_in_the_middle_of_an_update_leaves_the_update_and_what_it_may_go_back_to():
    service = new_service("s", a_spec())
    change(service, image("web:2"))
    status = UpdateStatus()
    status.CopyFrom(service.update_status)
    change(service, lambda spec: setattr(spec.replicated, "replicas", 7), 60)
    assert service.update_status == status
    assert service.previous_spec.task.container.image == "web:1"
    assert service.previous_spec.replicated.replicas == 7
    service.update_status.state = UpdateStatus.STATE_COMPLETED
    change(service, lambda spec: setattr(spec.replicated, "replicas", 2))
    assert service.previous_spec.task.container.image == "web:2", "scaling back is what is undone now"
    assert not service.HasField("update_status")


def test_a_service_from_before_revisions_were_counted_goes_on_from_its_spec_version():
    service = new_service("s", a_spec())
    service.spec_version, service.revision = 4, 0
    change(service, image("web:2"))
    assert images(service) == [(4, "web:1"), (5, "web:2")]
