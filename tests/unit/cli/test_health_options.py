"""Options that say how a task shows that it does its work, and how health is shown."""

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HealthConfig, HealthState
from swarm.cli.inspect_view import service_spec, task
from swarm.cli.task_table import current_state
from swarm.errors import InvalidArgument
from swarm.model.task_state import FAILED, RUNNING, STARTING
from swarm.model.validate import validate_service
from swarm.timestamps import SECOND, timestamp
from tests.unit.cli.test_service_spec import created, updated

WEB = ("--name", "web")


def _config(*words: str) -> HealthConfig:
    spec = created(*WEB, *words, "web:1")
    validate_service(spec)
    return spec.task.container.healthcheck


def test_the_options_of_docker_say_what_they_say_there() -> None:
    words = "--health-interval 10s --health-timeout 2s --health-retries 5 --health-start-period 1m".split()  # noqa: SIM905
    assert _config("--health-cmd", "curl -f x", *words, "--health-start-interval", "1s") == HealthConfig(
        test=["CMD-SHELL", "curl -f x"],
        interval_ns=10 * SECOND,
        timeout_ns=2 * SECOND,
        retries=5,
        start_period_ns=60 * SECOND,
        start_interval_ns=SECOND,
    )
    assert _config("--no-healthcheck") == HealthConfig(test=["NONE"])
    assert not created(*WEB, "web:1").task.container.HasField("healthcheck")


def test_http_and_tcp_and_what_is_done_about_it() -> None:
    assert list(_config("--health-http", "https://:8443/up").test) == ["HTTP", "https://:8443/up"]
    assert list(_config("--health-tcp", "5432").test) == ["TCP", "5432"]
    assert _config("--health-tcp", "1", "--health-action", "none").action == HealthConfig.ACTION_NONE


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--no-healthcheck", "--health-retries", "3"), "--no-healthcheck and --health-retries"),
        (("--health-cmd", "x", "--health-tcp", "1"), "--health-cmd and --health-tcp"),
        (("--health-interval", "soon"), "soon"),
        (("--health-http", "example.com/x"), "names no host"),
    ],
)
def test_what_contradicts_is_refused(words: tuple[str, ...], error: str) -> None:
    with pytest.raises(InvalidArgument, match=error):
        _config(*words)


def test_an_update_changes_what_it_names_and_goes_back_to_the_image() -> None:
    spec = created(*WEB, "--health-cmd", "x", "--health-retries", "5", "web:1")
    slower = updated(spec, "--health-interval", "1m").task.container.healthcheck
    assert (list(slower.test), slower.retries, slower.interval_ns) == (["CMD-SHELL", "x"], 5, 60 * SECOND)
    off = updated(spec, "--no-healthcheck")
    assert off.task.container.healthcheck == HealthConfig(test=["NONE"])
    assert updated(off, "--health-retries", "2").task.container.healthcheck == HealthConfig(retries=2)
    assert list(updated(spec, "--health-tcp", "80").task.container.healthcheck.test) == ["TCP", "80"]
    image = updated(spec, "--health-cmd", "", "--health-retries", "0")
    assert not image.task.container.HasField("healthcheck")
    assert updated(spec) == spec


def test_inspect_shows_the_check_and_the_health() -> None:
    spec = created(*WEB, "--health-http", ":80/", "--health-interval", "2s", "web:1")
    assert service_spec(spec)["TaskTemplate"]["ContainerSpec"]["Healthcheck"] == {
        "Test": ["HTTP", ":80/"],
        "Interval": 2 * SECOND,
    }
    one = Task(id="t")
    one.status.container.health.state = HealthState.HEALTH_STATE_UNHEALTHY
    one.status.container.health.failing_streak = 3
    one.status.container.health.log.add(exit_code=1, output="refused", started_at=timestamp(SECOND))
    assert task(one)["Status"]["ContainerStatus"]["Health"] == {
        "Status": "unhealthy",
        "FailingStreak": 3,
        "Log": [{"Start": "1970-01-01T00:00:01Z", "End": "", "ExitCode": 1, "Output": "refused"}],
    }


@pytest.mark.parametrize(
    ("state", "health", "text"),
    [
        (RUNNING, HealthState.HEALTH_STATE_NONE, "Running 5 seconds ago"),
        (RUNNING, HealthState.HEALTH_STATE_HEALTHY, "Running (healthy) 5 seconds ago"),
        (RUNNING, HealthState.HEALTH_STATE_UNHEALTHY, "Running (unhealthy) 5 seconds ago"),
        (STARTING, HealthState.HEALTH_STATE_STARTING, "Starting (health: starting) 5 seconds ago"),
        (FAILED, HealthState.HEALTH_STATE_UNHEALTHY, "Failed 5 seconds ago"),
    ],
)
def test_lists_show_the_health_of_what_runs(state: int, health: int, text: str) -> None:
    one = Task(id="t")
    one.status.state = state
    one.status.container.health.state = health
    assert current_state(one, 5 * SECOND) == text
