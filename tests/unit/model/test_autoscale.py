"""What a spec says about autoscaling, and how many replicas a service wants by it."""

from collections.abc import Callable

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ScaleStep, ServiceSpec
from swarm.clock import SECOND, timestamp
from swarm.errors import InvalidArgument
from swarm.model.autoscale import (
    CPU,
    MEMORY,
    PROMETHEUS,
    is_set_by_hand,
    most_replicas,
    parse_rule,
    parse_step,
    rule_text,
    set_by_hand,
    step_size,
    wanted_replicas,
)
from swarm.model.service import new_service, replace_spec, roll_back
from swarm.model.spec_changes import changes
from swarm.model.validate import service_warnings, validate_service

NOW = timestamp(1_700_000_000 * SECOND)
QUERY = 'prometheus=http://prom:9090|sum(rate(requests_total{job="web",code!~"5.."}[1m]))=100'


def scaled(least: int | None = 2, most: int = 10, *rules: str, replicas: int | None = None) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    spec.task.resources.reservations.nano_cpus = 500_000_000
    spec.task.resources.limits.memory_bytes = 1 << 30
    spec.replicated.SetInParent()
    if replicas is not None:
        spec.replicated.replicas = replicas
    if least is not None:
        spec.autoscale.replicas_min = least
    spec.autoscale.replicas_max = most
    spec.autoscale.rules.extend(map(parse_rule, rules or ("cpu=70",)))
    return spec


def changed(spec: ServiceSpec, edit: Callable[[ServiceSpec], object]) -> ServiceSpec:
    copy = ServiceSpec()
    copy.CopyFrom(spec)
    edit(copy)
    return copy


def running(spec: ServiceSpec, replicas: int) -> Service:
    service = new_service("s1", spec)
    service.autoscale_status.replicas = replicas
    service.autoscale_status.reason = "cpu"
    service.autoscale_status.decided_at.CopyFrom(NOW)
    return service


@pytest.mark.parametrize("text", ["cpu=70", "memory=82.5", QUERY])
def test_a_rule_reads_as_it_is_written(text: str) -> None:
    assert rule_text(parse_rule(text)) == text


def test_what_rules_say() -> None:
    assert (parse_rule("cpu=70%").source, parse_rule("cpu=70%").target) == (CPU, 70)
    assert parse_rule("memory=80").source == MEMORY
    rule = parse_rule(QUERY)
    assert (rule.source, rule.url, rule.target) == (PROMETHEUS, "http://prom:9090", 100)
    assert rule.query == 'sum(rate(requests_total{job="web",code!~"5.."}[1m]))'


@pytest.mark.parametrize(
    "text",
    [
        *("", "cpu", "cpu=", "cpu=much", "cpu=nan", "cpu=inf", "disk=3", "sum(up)=3"),
        *("prometheus=http://p|sum(up)", "prometheus=sum(up)=3", "prometheus=http://p|up==3"),
    ],
)
def test_a_rule_that_says_nothing_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"write cpu=PERCENT|at the end"):
        parse_rule(text)


def test_steps() -> None:
    assert parse_step("4", "--scale-up-step") == ScaleStep(tasks=4)
    assert parse_step("50%", "--scale-up-step") == ScaleStep(percent=50)
    for text in ("", "%", "-1", "0", "0%", "x", "1.5"):
        with pytest.raises(InvalidArgument, match="--scale-up-step"):
            parse_step(text, "--scale-up-step")
    assert step_size(ScaleStep(tasks=4, percent=100), 1) == 4
    assert step_size(ScaleStep(tasks=4, percent=100), 9) == 9
    assert step_size(ScaleStep(percent=10), 3) == 1, "a share is never less than one task"


def test_a_valid_one_is_accepted() -> None:
    validate_service(scaled(2, 10, "cpu=70", "memory=80", QUERY, replicas=2))
    validate_service(scaled(0, 10, QUERY))
    validate_service(scaled(None, 1))


PROBLEMS: list[tuple[str, ServiceSpec]] = [
    ("--replicas-max", scaled(1, 0)),
    ("replicas-min 5 is more than replicas-max 4", scaled(5, 4)),
    ("20 replicas are not between replicas-min 2 and replicas-max 10", scaled(replicas=20)),
    ("1 replicas are not between", scaled(replicas=1)),
    ("replicas-min 0", scaled(0, 4)),
    ("cpu is there twice", scaled(1, 4, "cpu=70", "cpu=80")),
    ("is not a number above 0", scaled(1, 4, "cpu=0")),
    ("is not a number above 0", scaled(1, 4, "memory=-3")),
    ("above 10000 %", scaled(1, 4, "cpu=20000")),
    ("is not an address", scaled(1, 4, "prometheus=ftp://p|up=1")),
    ("is not an address", scaled(1, 4, "prometheus=http://p:x|up=1")),
    ("is not an address", scaled(1, 4, "prometheus=|up=1")),
    ("credentials in the address", scaled(1, 4, "prometheus=http://me:pw@p|up=1")),
    ("more than host, port and path", scaled(1, 4, "prometheus=http://p?x=y|up=1")),
    ("there is no query", scaled(1, 4, "prometheus=http://p| =1")),
    ("QUERY_BYTES", scaled(1, 4, f"prometheus=http://p|{'a' * 5000}=1")),
    ("SCALE_RULES", scaled(1, 4, *(f"prometheus=http://p|up{n}=1" for n in range(9)))),
    ("needs a rule", changed(scaled(), lambda spec: spec.autoscale.ClearField("rules"))),
    ("REPLICAS", scaled(1, 100_001)),
    ("is longer than 1 h", changed(scaled(), lambda s: setattr(s.autoscale, "up_window_ns", 10**13))),
    (
        "scale-down window is negative",
        changed(scaled(), lambda s: setattr(s.autoscale, "down_window_ns", -1)),
    ),
    ("scale-down step of 0", changed(scaled(), lambda s: s.autoscale.down_step.SetInParent())),
    ("only replicated", changed(scaled(), lambda spec: getattr(spec, "global").SetInParent())),
    (
        r"cpu=70: percent of what\? Set --reserve-cpu \(or --limit-cpu\)",
        changed(scaled(), lambda spec: spec.task.ClearField("resources")),
    ),
    (
        r"memory=70: percent of what\? Set --reserve-memory",
        changed(scaled(1, 2, "memory=70"), lambda spec: spec.task.resources.ClearField("limits")),
    ),
]


@pytest.mark.parametrize(("problem", "spec"), PROBLEMS, ids=[problem for problem, _ in PROBLEMS])
def test_what_is_wrong_is_said(problem: str, spec: ServiceSpec) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        validate_service(spec)


def test_a_target_that_no_task_can_exceed_is_warned_of() -> None:
    spec = scaled(1, 4, "cpu=100")
    assert service_warnings(spec) == []
    spec.task.resources.limits.nano_cpus = 500_000_000
    (warning,) = service_warnings(spec)
    assert "no task can use more" in warning


def test_it_begins_with_what_was_said_or_with_the_least() -> None:
    assert wanted_replicas(new_service("s1", scaled(replicas=5))) == 5
    assert wanted_replicas(new_service("s1", scaled(3))) == 3
    assert wanted_replicas(new_service("s1", scaled(None))) == 1
    assert wanted_replicas(new_service("s1", scaled(0, 4, QUERY))) == 0


def test_what_was_decided_counts_within_the_bounds() -> None:
    assert wanted_replicas(running(scaled(replicas=3), 7)) == 7
    assert wanted_replicas(running(scaled(replicas=3), 70)) == 10
    assert most_replicas(scaled(replicas=3)) == 10


def test_a_new_spec_keeps_the_number_within_its_bounds() -> None:
    service = running(scaled(), 7)
    replace_spec(service, changed(scaled(), lambda s: setattr(s.task.container, "image", "web:2")), NOW)
    assert (wanted_replicas(service), service.autoscale_status.reason) == (7, "cpu")
    replace_spec(service, scaled(2, 5), NOW)
    assert (service.autoscale_status.replicas, wanted_replicas(service)) == (5, 5)
    replace_spec(service, scaled(6, 9), NOW)
    assert wanted_replicas(service) == 6


def test_going_back_keeps_the_number_and_turning_it_off_asks_the_spec() -> None:
    service = running(scaled(replicas=3), 7)
    replace_spec(service, changed(scaled(), lambda s: setattr(s.task.container, "image", "web:2")), NOW)
    roll_back(service, NOW, "bad", keep_previous=False)
    assert wanted_replicas(service) == 7, "the spec before said 3, of the time when it was made"
    plain = changed(scaled(replicas=4), lambda spec: spec.ClearField("autoscale"))
    replace_spec(service, plain, NOW)
    assert wanted_replicas(service) == 4
    assert not service.HasField("autoscale_status")
    replace_spec(service, scaled(), NOW)
    assert wanted_replicas(service) == 4, "it goes on from what there is"


def test_a_number_by_hand_counts_also_when_it_is_the_one_of_the_spec() -> None:
    before = scaled(replicas=3)
    assert not is_set_by_hand(before, changed(before, lambda s: setattr(s.autoscale, "replicas_max", 20)))
    assert is_set_by_hand(before, changed(before, lambda s: setattr(s.replicated, "replicas", 4)))
    again = changed(before, lambda s: setattr(s.autoscale, "scaled_by_hand", 1))
    assert is_set_by_hand(before, again)
    service = running(again, 8)
    set_by_hand(service, NOW)
    assert wanted_replicas(service) == 3


def test_the_history_tells_rules_as_people_write_them() -> None:
    before = scaled(1, 10, "cpu=70")
    after = scaled(1, 20, "cpu=60")
    after.autoscale.scaled_by_hand = 1
    assert list(changes(before, after)) == [
        "autoscale replicas-max 10 → 20",
        "autoscale rules -cpu=70 +cpu=60",
        "scaled by hand",
    ]
