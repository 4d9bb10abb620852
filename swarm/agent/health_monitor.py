"""Asks one container for its health again and again, one probe at a time, and says what it found."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from swarm.agent.health import after, delay_ns, probe_result
from swarm.agent.probes import Answer
from swarm.api.v1.types_pb2 import HealthStatus
from swarm.clock import Clock
from swarm.model.health import HealthCheck
from swarm.timestamps import SECOND, nanoseconds

log = structlog.get_logger(__name__)

SHORTEST_WAIT_S = 0.001  # so that others have their turn whatever the interval is


async def watch(
    task_id: str,
    check: HealthCheck,
    health: HealthStatus,
    started_ns: int,
    ask: Callable[[], Awaitable[Answer | None]],
    clock: Clock,
    tell: Callable[[HealthStatus], None],
) -> None:
    """Probe until cancelled, beginning with `health` as it was known last; `tell` hears of every result."""
    last_ns = nanoseconds(health.log[-1].ended_at) if health.log else started_ns
    works = True
    while True:
        wait_s = delay_ns(check, health, started_ns, last_ns, clock.now_ns()) / SECOND
        await asyncio.sleep(max(SHORTEST_WAIT_S, wait_s))
        began_ns = clock.now_ns()
        answer, worked = await _ask(task_id, ask, complains=works)
        last_ns, works = clock.now_ns(), worked
        if answer is not None:
            probe = probe_result(began_ns, last_ns, answer.exit_code, answer.output)
            health = after(check, health, probe, started_ns)
            tell(health)


async def _ask(
    task_id: str, ask: Callable[[], Awaitable[Answer | None]], *, complains: bool
) -> tuple[Answer | None, bool]:
    """Return the answer, and whether we could ask: what goes wrong here says nothing about the container."""
    try:
        return await ask(), True
    except Exception:
        if complains:  # once, until it works again
            log.exception("agent.probe_failed", task_id=task_id)
        return None, False
