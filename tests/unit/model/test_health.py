"""What a health check is: words, defaults, and the user's over the image's."""

import pytest

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import HealthConfig
from swarm.errors import InvalidArgument
from swarm.model.health import Command, HealthCheck, Http, Probe, Tcp, check_of, merged, parse_test
from swarm.model.validate import validate_service
from swarm.timestamps import SECOND


@pytest.mark.parametrize(
    ("test", "probe"),
    [
        ((), None),
        (("NONE",), None),
        (("CMD", "curl", "-f", "x"), Command(("curl", "-f", "x"))),
        (("CMD-SHELL", "exit 1"), Command(("/bin/sh", "-c", "exit 1"))),
        (("HTTP", ":8080/health?deep=1"), Http("http", 8080, "/health?deep=1")),
        (("HTTP", "https://:443"), Http("https", 443, "/")),
        (("HTTP", "http://localhost:80/a/b"), Http("http", 80, "/a/b")),
        (("HTTP", "8080?x"), Http("http", 8080, "/?x")),
        (("TCP", "5432"), Tcp(5432)),
        (("TCP", ":5432"), Tcp(5432)),
        (("TCP", "tcp://127.0.0.1:5432"), Tcp(5432)),
    ],
)
def test_a_test_says_what_is_asked(test: tuple[str, ...], probe: Probe | None) -> None:
    assert parse_test(test) == probe


@pytest.mark.parametrize(
    "test",
    [
        ("NONE", "x"),
        ("CMD",),
        ("CMD", ""),
        ("CMD-SHELL",),
        ("CMD-SHELL", " "),
        ("CMD-SHELL", "a", "b"),
        ("GET", "x"),
        ("curl -f localhost",),
        ("HTTP",),
        ("HTTP", ""),
        ("HTTP", "ftp://:21/"),
        ("HTTP", "http://example.com:80/"),
        ("HTTP", ":80/a b"),
        ("HTTP", ":80/a\r\nHost: x"),
        ("HTTP", ":0/"),
        ("HTTP", ":65536/"),
        ("TCP", "web:80"),
        ("TCP", "99999"),
        ("TCP", ""),
    ],
)
def test_what_makes_no_sense_is_refused_and_an_image_that_says_it_has_no_check(
    test: tuple[str, ...],
) -> None:
    with pytest.raises(InvalidArgument):
        parse_test(test)
    assert check_of(HealthConfig(test=test)) is None
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    spec.task.container.healthcheck.test.extend(test)
    with pytest.raises(InvalidArgument, match="health check"):
        validate_service(spec)


def test_durations_below_a_millisecond_are_refused() -> None:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    spec.task.container.healthcheck.start_period_ns = 999_999
    with pytest.raises(InvalidArgument, match="the start period of the health check is less than 1ms"):
        validate_service(spec)
    spec.task.container.healthcheck.start_period_ns = 1_000_000
    validate_service(spec)


def test_the_defaults_are_those_of_docker() -> None:
    assert check_of(HealthConfig(test=["TCP", "80"])) == HealthCheck(
        Tcp(80), 30 * SECOND, 30 * SECOND, 0, 5 * SECOND, 3, gates=True
    )
    often = check_of(HealthConfig(test=["TCP", "80"], interval_ns=SECOND))
    assert often is not None
    assert often.start_interval_ns == SECOND  # asked no less often at the start than later


def test_what_the_user_says_is_filled_up_with_what_the_image_says() -> None:
    image = HealthConfig(test=["CMD", "x"], interval_ns=7, timeout_ns=8, retries=9)
    user = HealthConfig(retries=2, start_period_ns=5, action=HealthConfig.ACTION_NONE)
    assert merged(user, image) == HealthConfig(
        test=["CMD", "x"],
        interval_ns=7,
        timeout_ns=8,
        retries=2,
        start_period_ns=5,
        action=HealthConfig.ACTION_NONE,
    )
    assert check_of(merged(HealthConfig(test=["NONE"]), image)) is None
    assert merged(HealthConfig(), HealthConfig()) == HealthConfig()
