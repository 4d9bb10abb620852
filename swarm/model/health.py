"""What is a health check, is it valid, what does it say of a task? Docker's words and defaults."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HealthConfig, HealthState
from swarm.errors import InvalidArgument
from swarm.timestamps import SECOND

INTERVAL_NS = 30 * SECOND
TIMEOUT_NS = 30 * SECOND
START_INTERVAL_NS = 5 * SECOND
RETRIES = 3
SHORTEST_NS = 1_000_000  # as Docker has it; probes come one after another anyway

STARTING = HealthState.HEALTH_STATE_STARTING
HEALTHY = HealthState.HEALTH_STATE_HEALTHY
UNHEALTHY = HealthState.HEALTH_STATE_UNHEALTHY
WORDS = {STARTING: "starting", HEALTHY: "healthy", UNHEALTHY: "unhealthy"}
ACTIONS = {"restart": HealthConfig.ACTION_RESTART, "none": HealthConfig.ACTION_NONE}

# Only the container itself is asked, so a host would have to be itself.
_HTTP = re.compile(r"(?:(https?)://)?(?:localhost|127\.0\.0\.1)?:?(\d{1,5})((?:[/?][!-~]*)?)")
_TCP = re.compile(r"(?:tcp://)?(?:localhost|127\.0\.0\.1)?:?(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Command:
    """A command in the container; exit code 0 is good."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Http:
    """A GET request; an answer from 200 to 399 is good."""

    scheme: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Tcp:
    """A connection; that it can be made is good."""

    port: int


Probe: TypeAlias = Command | Http | Tcp


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check in force; durations in nanoseconds."""

    probe: Probe
    interval_ns: int = INTERVAL_NS
    timeout_ns: int = TIMEOUT_NS
    start_period_ns: int = 0
    start_interval_ns: int = START_INTERVAL_NS
    retries: int = RETRIES
    gates: bool = True  # a task runs only when it is healthy, and fails when it is not

    @property
    def forgiven_ns(self) -> int:
        """How long after the start failures do not count: at least until Docker would ask first."""
        return max(self.start_period_ns, self.interval_ns)


def merged(spec: HealthConfig, image: HealthConfig) -> HealthConfig:
    """Return what the user said, filled up with what the image says."""
    result = HealthConfig()
    result.CopyFrom(spec)
    if not result.test:
        result.test.extend(image.test)
    for name in ("interval_ns", "timeout_ns", "start_period_ns", "start_interval_ns", "retries"):
        if not getattr(result, name):
            setattr(result, name, getattr(image, name))
    return result


def check_of(config: HealthConfig) -> HealthCheck | None:
    """Return the check that a merged config asks for; None when there is nothing to check.

    An image that asks for what nobody knows has no check.
    """
    try:
        probe = parse_test(tuple(config.test))
    except InvalidArgument:
        return None
    if probe is None:
        return None
    interval_ns = config.interval_ns if config.interval_ns > 0 else INTERVAL_NS
    return HealthCheck(
        probe=probe,
        interval_ns=interval_ns,
        timeout_ns=config.timeout_ns if config.timeout_ns > 0 else TIMEOUT_NS,
        start_period_ns=max(0, config.start_period_ns),
        # Whoever is asked more often than that by default is so from the beginning.
        start_interval_ns=config.start_interval_ns
        if config.start_interval_ns > 0
        else min(START_INTERVAL_NS, interval_ns),
        retries=config.retries or RETRIES,
        gates=config.action == HealthConfig.ACTION_RESTART,
    )


def parse_test(test: tuple[str, ...]) -> Probe | None:
    """Return the probe that `test` describes, None for none; raises InvalidArgument."""
    if not test or test == ("NONE",):
        return None
    kind, *words = test
    if kind == "CMD" and words and words[0]:
        return Command(tuple(words))
    if kind == "CMD-SHELL" and len(words) == 1 and words[0].strip():
        return Command(("/bin/sh", "-c", words[0]))
    if kind == "HTTP" and len(words) == 1:
        return _http(words[0])
    if kind == "TCP" and len(words) == 1:
        match = _TCP.fullmatch(words[0])
        if match:
            return Tcp(_port(match.group(1), words[0]))
        raise InvalidArgument(f'the health check by TCP "{words[0]}" is not PORT, such as 5432')
    raise InvalidArgument(
        f'the health check "{kind}" is none of NONE, CMD WORD..., CMD-SHELL COMMAND, '
        f"HTTP [SCHEME://]:PORT/PATH, TCP PORT"
    )


def _http(text: str) -> Http:
    match = _HTTP.fullmatch(text)
    if not match:
        raise InvalidArgument(
            f'the health check by HTTP "{text}" is not [http://|https://]:PORT[/PATH], such as :8080/health '
            "(the container itself is asked, so it names no host)"
        )
    scheme, port, path = match.groups()
    return Http(scheme or "http", _port(port, text), path if path.startswith("/") else f"/{path}")


def _port(word: str, text: str) -> int:
    if not 1 <= int(word) <= 65535:
        raise InvalidArgument(f'the health check "{text}": {word} is not a port')
    return int(word)


def health_problems(config: HealthConfig) -> Iterator[str]:
    """Yield what is wrong with the health check of a spec."""
    if any("\0" in word for word in config.test):
        yield "the health check holds a NUL character"
    try:
        parse_test(tuple(config.test))
    except InvalidArgument as problem:
        yield str(problem)
    for name in ("interval", "timeout", "start_period", "start_interval"):
        value = getattr(config, f"{name}_ns")
        if value and value < SHORTEST_NS:
            yield f"the {name.replace('_', ' ')} of the health check is less than 1ms"
    if config.action not in HealthConfig.Action.values():
        yield f"{config.action} is not an action of a health check ({', '.join(ACTIONS)})"


def health_of(task: Task) -> "HealthState":
    """Return what is known of the health of a task; HEALTH_STATE_NONE without a health check."""
    return task.status.container.health.state


def is_sound(task: Task) -> bool:
    """Whether nothing is known against the health of a task."""
    return health_of(task) not in {STARTING, UNHEALTHY}
