"""How healthy is a container after a probe, when comes the next one, what do the managers hear? Pure.

Docker's rules: the first success makes a container healthy; as many failures in a row as it has retries
make it unhealthy. Failures soon after the start count only once it has been healthy. Nothing but probes
changes the health: while the agent is away, nothing happens to it.
"""

from swarm.api.v1.types_pb2 import HealthProbe, HealthStatus
from swarm.model.health import HEALTHY, STARTING, UNHEALTHY, HealthCheck
from swarm.model.limits import HEALTH_OUTPUT_CHARACTERS, HEALTH_PROBES
from swarm.model.truncate import bounded_health, cut
from swarm.model.units import format_duration
from swarm.timestamps import nanoseconds, timestamp

TIMED_OUT = -1
UNHEALTHY_PREFIX = "unhealthy: "
REASON_CHARACTERS = 300  # of what a probe said, in the error of a task


def begun() -> HealthStatus:
    """Return the health of a container that was not asked yet."""
    return HealthStatus(state=STARTING)


def probe_result(began_ns: int, ended_ns: int, exit_code: int, output: str) -> HealthProbe:
    """Return what is kept of a probe: of its output the beginning, without what would upset a terminal."""
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in output)
    return HealthProbe(
        started_at=timestamp(began_ns),
        ended_at=timestamp(ended_ns),
        exit_code=exit_code,
        output=cut(text.strip(), HEALTH_OUTPUT_CHARACTERS.value),
    )


def after(check: HealthCheck, health: HealthStatus, probe: HealthProbe, started_ns: int) -> HealthStatus:
    """Return the health after a probe of a container that was started at `started_ns`."""
    result = HealthStatus(state=health.state or STARTING, failing_streak=health.failing_streak)
    result.log.extend([*health.log, probe][-HEALTH_PROBES.value :])
    if probe.exit_code == 0:
        result.state, result.failing_streak = HEALTHY, 0
        return result
    age_ns = nanoseconds(probe.started_at) - started_ns
    if result.state == STARTING and age_ns < check.forgiven_ns:
        return result
    result.failing_streak += 1
    if result.failing_streak >= check.retries:
        result.state = UNHEALTHY
    return result


def delay_ns(check: HealthCheck, health: HealthStatus, started_ns: int, last_ns: int, now_ns: int) -> int:
    """Return how long to wait for the next probe; `last_ns` is when the last one ended, or the start.

    Never longer than an interval, whatever was done to the clock.
    """
    starts = health.state == STARTING and now_ns - started_ns < check.forgiven_ns
    wait_ns = check.start_interval_ns if starts else check.interval_ns
    return max(0, min(wait_ns, last_ns + wait_ns - now_ns))


def is_news(before: HealthStatus, health: HealthStatus) -> bool:
    """Whether the managers should hear of it: another state, or the first failure on the way to healthy."""
    if before.state != health.state:
        return True
    return health.state == STARTING and not before.log and bool(health.log)


def is_worth_keeping(before: HealthStatus, health: HealthStatus) -> bool:
    """Whether the next agent must know of it: a healthy container that stays so writes nothing."""
    return (before.state, before.failing_streak) != (health.state, health.failing_streak) or is_news(
        before, health
    )


def reported(health: HealthStatus) -> HealthStatus:
    """Return what the managers hear: of a healthy container not what it said."""
    bounded = bounded_health(health)
    if health.state == HEALTHY:
        del bounded.log[:]
    return bounded


def unhealthy_reason(health: HealthStatus) -> str:
    """Return why a container is unhealthy, with what the last probe said."""
    last = health.log[-1] if health.log else HealthProbe(exit_code=TIMED_OUT)
    times = f"{health.failing_streak} failures in a row" if health.failing_streak > 1 else "1 failure"
    code = "" if last.exit_code == TIMED_OUT else f"exit code {last.exit_code}, "
    said = cut(" ".join(last.output.split()), REASON_CHARACTERS)
    what = f'last probe said "{said}"' if said else "last probe said nothing"
    return f"{UNHEALTHY_PREFIX}{what} ({code}{times})"


def timed_out(timeout_ns: int, output: str) -> str:
    """Return what is kept of a probe that did not answer in time."""
    said = f"; it said: {output}" if output.strip() else ""
    return f"no answer within {format_duration(timeout_ns)}{said}"
