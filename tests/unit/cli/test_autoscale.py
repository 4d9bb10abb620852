"""Autoscaling on the command line: what options become, and what is shown."""

import pytest

from swarm.api.v1.control_pb2 import ServiceStatus
from swarm.api.v1.objects_pb2 import AutoscaleStatus, Service
from swarm.cli import autoscale_view
from swarm.cli.autoscale_options import keep_count
from swarm.cli.convergence import expected_tasks
from swarm.cli.event_view import attributes
from swarm.cli.inspect_view import service as inspected
from swarm.cli.job_options import set_replicas
from swarm.cli.job_view import replicas_text
from swarm.cli.pretty import pretty_service
from swarm.clock import SECOND, timestamp
from swarm.errors import InvalidArgument
from swarm.model.autoscale import rule_text
from swarm.model.validate import validate_service
from tests.unit.cli.test_service_spec import created, updated

QUERY = 'prometheus=http://p:9090|sum(rate(x{a="b"}[1m]))=100'
BOUNDS = ("--replicas-min", "2", "--replicas-max", "10")
FIRST = (*BOUNDS, "--scale-on", "cpu=70", "--reserve-cpu", "0.5", "web:1")


def a_service(replicas: int = 4) -> Service:
    service = Service(id="s1", spec=created("--name", "web", *FIRST))
    status = service.autoscale_status
    status.replicas = replicas
    status.reason = "2 → 4: cpu is at 130%, the target is 70%"
    status.decided_at.CopyFrom(timestamp(SECOND))
    status.holding = "its update is paused"
    status.readings.append(AutoscaleStatus.Reading(rule="cpu=70", value=71.23456, wish=4))
    status.readings.append(AutoscaleStatus.Reading(rule=QUERY, problem="the query has no result"))
    return service


def test_options_become_a_spec():
    spec = created(
        *BOUNDS,
        *("--scale-on", "cpu=70", "--scale-on", "memory=80", "--scale-on", QUERY),
        *("--scale-up-window", "30s", "--scale-down-window", "10m", "--scale-up-step", "3"),
        *(
            "--scale-down-step",
            "50%",
            "--limit-cpu",
            "1",
            "--limit-memory",
            "64m",
            "--replicas",
            "3",
            "web:1",
        ),
    )
    spec.annotations.name = "web"
    validate_service(spec)
    scale = spec.autoscale
    assert (scale.replicas_min, scale.replicas_max, spec.replicated.replicas) == (2, 10, 3)
    assert list(map(rule_text, scale.rules)) == ["cpu=70", "memory=80", QUERY]
    assert (scale.up_window_ns, scale.down_window_ns) == (30 * SECOND, 600 * SECOND)
    assert (scale.up_step.tasks, scale.down_step.percent) == (3, 50)
    assert not created("web:1").HasField("autoscale")


def test_an_update_replaces_a_rule_of_the_same_kind_and_removes_by_name():
    spec = created("--scale-on", QUERY, *FIRST)
    spec = updated(spec, "--scale-on", "cpu=60", "--scale-on", "memory=50")
    assert list(map(rule_text, spec.autoscale.rules)) == [QUERY, "cpu=60", "memory=50"]
    spec = updated(spec, "--scale-on-rm", "cpu", "--scale-on-rm", QUERY.removesuffix("=100"))
    assert list(map(rule_text, spec.autoscale.rules)) == ["memory=50"]
    with pytest.raises(InvalidArgument, match="not scaled on that"):
        updated(spec, "--scale-on-rm", "cpu")
    assert updated(spec) == spec


def test_new_bounds_forget_a_number_that_they_exclude_unless_it_is_said_now():
    spec = created("--replicas", "3", *FIRST)
    assert updated(spec, "--replicas-max", "8").replicated.replicas == 3
    assert not updated(spec, "--replicas-min", "5").replicated.HasField("replicas")
    assert updated(spec, "--replicas-min", "5", "--replicas", "3").replicated.replicas == 3


def test_turning_it_off_keeps_the_number_there_is():
    service = a_service(7)
    assert not updated(service.spec, "--scale-off").HasField("autoscale")
    for number, given in ((7, None), (0, 3)):
        spec = updated(service.spec, "--scale-off")
        keep_count(spec, {"scale_off": True, "replicas": given}, service)
        assert spec.replicated.replicas == number
    with pytest.raises(InvalidArgument, match="is not autoscaled"):
        updated(created("web:1"), "--scale-off")
    with pytest.raises(InvalidArgument, match="no other option"):
        updated(service.spec, "--scale-off", "--replicas-max", "3")


def test_to_scale_by_hand_counts_each_time():
    spec = created("--replicas", "3", *FIRST)
    assert spec.autoscale.scaled_by_hand == 0
    set_replicas(spec, 3)
    assert (spec.replicated.replicas, spec.autoscale.scaled_by_hand) == (3, 1)
    plain = created("web:1")
    set_replicas(plain, 3)
    assert not plain.HasField("autoscale")


def test_it_is_shown_wherever_replicas_are():
    service = a_service()
    assert expected_tasks(service) == 4
    assert replicas_text(service, ServiceStatus(running_tasks=3, desired_tasks=4)) == "3/4 (autoscaled 2-10)"
    service.spec.task.placement.max_replicas_per_node = 2
    status = ServiceStatus(running_tasks=3, desired_tasks=4)
    assert replicas_text(service, status) == "3/4 (max 2 per node, autoscaled 2-10)"


def test_inspect_shows_spec_and_decision():
    view = inspected(a_service())
    assert view["Spec"]["Autoscale"] == {"ReplicasMax": 10, "ReplicasMin": 2, "ScaleOn": ["cpu=70"]}
    assert view["AutoscaleStatus"] == {
        "Replicas": 4,
        "Reason": "2 → 4: cpu is at 130%, the target is 70%",
        "DecidedAt": "1970-01-01T00:00:01.000000000Z",
        "Holding": "its update is paused",
        "Readings": [
            {"Rule": "cpu=70", "Value": 71.235, "Wish": 4},
            {"Rule": QUERY, "Problem": "the query has no result"},
        ],
    }
    pretty = pretty_service(a_service())
    assert "Replicas: 4" in pretty
    assert "Autoscaled: 2-10" in pretty
    assert f"cpu=70: is 71.2346, wants 4; {QUERY}: the query has no result" in pretty
    assert "ScaleOn: cpu=70" in pretty


def test_why_tells_what_was_decided_and_what_holds_it():
    assert autoscale_view.told(a_service()) == [
        "it is autoscaled, 2 to 10 replicas, now 4 (2 → 4: cpu is at 130%, the target is 70%)",
        "it stays at 4: its update is paused",
        f"{QUERY}: the query has no result",
    ]
    assert autoscale_view.told(Service()) == []


def test_an_event_tells_the_number_and_the_reason():
    before, after = a_service(2), a_service(4)
    before.autoscale_status.reason = before.autoscale_status.holding = ""
    told = attributes("service", after, before)
    assert (told["replicas.old"], told["replicas.new"]) == ("2", "4")
    assert told["scalereason.new"].startswith("2 → 4: cpu")
    assert told["scaleholding.new"] == "its update is paused"
