"""Options of `service create` and `service update` that say how a task shows that it does its work."""

from typing import Any

import click

from swarm.api.v1 import types_pb2 as t
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.clock import nanoseconds
from swarm.errors import InvalidArgument
from swarm.model.health import ACTIONS, WORDS
from swarm.model.units import parse_duration

Given = dict[str, Any]

OPTIONS = (
    click.option("--health-cmd", help="Command in the container that says how it is; 0: healthy."),
    click.option(
        "--health-http", metavar="[SCHEME://]:PORT/PATH", help="Page that a healthy container has."
    ),
    click.option(
        "--health-tcp", metavar="PORT", help="Port on which a healthy container takes connections."
    ),
    click.option("--health-interval", help="Time between two probes, e.g. 10s (default 30s)."),
    click.option("--health-timeout", help="Longest that a probe may take (default 30s)."),
    click.option(
        "--health-retries",
        type=click.IntRange(min=0),
        help="Failures in a row that make it unhealthy (default 3).",
    ),
    click.option(
        "--health-start-period", help="Failures do not count so long after the start (default 0s)."
    ),
    click.option("--health-start-interval", help="Time between probes until then (default 5s)."),
    click.option(
        "--health-action",
        type=click.Choice(list(ACTIONS)),
        help="restart: a task runs when it is healthy and is replaced when not; none: health is only shown.",
    ),
    click.option("--no-healthcheck", is_flag=True, help="No health check, whatever the image says."),
)
_TESTS = ("health_cmd", "health_http", "health_tcp")
_DURATIONS = ("interval", "timeout", "start_period", "start_interval")


def apply_health(spec: ServiceSpec, given: Given) -> None:
    """Write the options that were given into `spec`; raises InvalidArgument for those that contradict."""
    named = [key for key, value in given.items() if key.startswith("health_") and value is not None]
    if given.get("no_healthcheck"):
        if named:
            raise InvalidArgument(f"--no-healthcheck and --{named[0].replace('_', '-')}: give one of them")
        spec.task.container.healthcheck.CopyFrom(t.HealthConfig(test=["NONE"]))
        return
    if not named:
        return
    config = spec.task.container.healthcheck
    tests = [key for key in named if key in _TESTS]
    if len(tests) > 1:
        both = " and ".join(f"--{key.replace('_', '-')}" for key in tests)
        raise InvalidArgument(f"{both}: a task has one health check, give one of them")
    if tests or list(config.test) == ["NONE"]:
        del config.test[:]  # whoever sets an interval wants a check: then the image's
    for key in tests:
        config.test.extend(_test(key, given[key]))
    for name in _DURATIONS:
        text = given.get(f"health_{name}")
        if text is not None:
            setattr(config, f"{name}_ns", parse_duration(text))
    if given.get("health_retries") is not None:
        config.retries = given["health_retries"]
    if given.get("health_action") is not None:
        config.action = ACTIONS[given["health_action"]]
    if config == t.HealthConfig():
        spec.task.container.ClearField("healthcheck")


def _test(option: str, text: str) -> list[str]:
    if not text:
        return []  # back to the image's
    return [{"health_cmd": "CMD-SHELL", "health_http": "HTTP", "health_tcp": "TCP"}[option], text]


def shown_config(config: t.HealthConfig) -> dict[str, Any]:
    """Return a health check as `inspect` shows it; durations in nanoseconds."""
    view: dict[str, Any] = {"Test": list(config.test)} if config.test else {}
    for key, name in (
        ("Interval", "interval_ns"),
        ("Timeout", "timeout_ns"),
        ("StartPeriod", "start_period_ns"),
        ("StartInterval", "start_interval_ns"),
        ("Retries", "retries"),
    ):
        if getattr(config, name):
            view[key] = getattr(config, name)
    if config.action:
        view["Action"] = next(word for word, action in ACTIONS.items() if action == config.action)
    return view


def shown_health(health: t.HealthStatus) -> dict[str, Any]:
    """Return the health of a task as `task inspect` shows it."""
    return {
        "Status": WORDS.get(health.state, "none"),
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": one.started_at.ToJsonString() if nanoseconds(one.started_at) else "",
                "End": one.ended_at.ToJsonString() if nanoseconds(one.ended_at) else "",
                "ExitCode": one.exit_code,
                "Output": one.output,
            }
            for one in health.log
        ],
    }


def health_suffix(status: t.TaskStatus) -> str:
    """Return what stands behind the state of a task in lists, e.g. ` (healthy)`; nothing without a check."""
    state = status.container.health.state
    if state not in WORDS or status.state not in {t.TASK_STATE_STARTING, t.TASK_STATE_RUNNING}:
        return ""
    return " (health: starting)" if state == t.HEALTH_STATE_STARTING else f" ({WORDS[state]})"
