"""`deploy.x-autoscale`."""

import pytest

from swarm.clock import SECOND
from swarm.errors import InvalidArgument
from swarm.model.autoscale import rule_text
from swarm.model.validate import validate_service
from tests.unit.compose.files import service

WHOLE = """\
deploy:
  replicas: 3
  resources: {reservations: {cpus: "0.5"}}
  x-autoscale:
    replicas_min: 2
    replicas_max: 20
    scale_on: [cpu=70, 'prometheus=http://p:9090|sum(x{a="b"})=100']
    scale_up_window: 10s
    scale_down_window: 1m
    scale_up_step: 2
    scale_down_step: 50%
"""


def test_it_says_what_the_options_say() -> None:
    spec = service(WHOLE)
    validate_service(spec)
    scale = spec.autoscale
    assert (scale.replicas_min, scale.replicas_max, spec.replicated.replicas) == (2, 20, 3)
    assert list(map(rule_text, scale.rules)) == ["cpu=70", 'prometheus=http://p:9090|sum(x{a="b"})=100']
    assert (scale.up_window_ns, scale.down_window_ns) == (10 * SECOND, 60 * SECOND)
    assert (scale.up_step.tasks, scale.down_step.percent) == (2, 50)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{replicas_most: 3}", r'x-autoscale has no "replicas_most"'),
        ("{scale_on: disk=3}", "write cpu=PERCENT"),
        ("{replicas_max: many}", "no whole number"),
        ("{scale_up_step: 0}", "scale_up_step"),
        ("{scale_up_window: 3}", "invalid duration"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=rf":\d+:\d+: .*{problem}"):
        service(f"deploy:\n  x-autoscale: {text}")
