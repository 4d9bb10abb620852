"""How are our machines now? All are asked at the same time, none is waited for too long."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from swarm.errors import SwarmError
from swarm.machine.drivers.base import driver
from swarm.machine.errors import AuthRefused, HostKeyRefused, Unreachable
from swarm.machine.membership import info_of
from swarm.machine.provision import Ways
from swarm.machine.store import Record

PARALLEL_MAX = 16
# What drivers say of a machine that cannot answer.
_POWERLESS = {"stopped": "Off", "missing": "Gone"}
_REASONS = {
    "stopped": "it is off: swarmctl machine start",
    "missing": "its driver does not have it any more: swarmctl machine rm",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A machine's state in one word, what its node says of itself, and what is wrong."""

    record: Record
    state: str
    info: dict[str, Any] = field(default_factory=dict)
    error: str = ""


async def ask_all(ways: Ways, records: Sequence[Record], timeout_s: float) -> list[Condition]:
    """Return how each machine is, in the same order; no error is raised."""
    places = asyncio.Semaphore(PARALLEL_MAX)
    hurried = replace(ways, timeout_s=0.0)

    async def ask(record: Record) -> Condition:
        async with places:
            return await _ask(hurried, record, timeout_s)

    return list(await asyncio.gather(*(ask(record) for record in records)))


async def _ask(ways: Ways, record: Record, timeout_s: float) -> Condition:
    try:
        async with asyncio.timeout(timeout_s), ways.connect(record) as link:
            return condition(record, await info_of(link))
    except TimeoutError:
        return Condition(record, "Timeout", error=f"no answer within {timeout_s:.0f} s")
    except Unreachable as error:
        return await _unreachable(record, error, timeout_s)
    except HostKeyRefused as error:
        return Condition(record, "Stranger", error=str(error))
    except AuthRefused as error:
        return Condition(record, "Closed", error=str(error))
    except SwarmError as error:
        return Condition(record, "Error", error=str(error))


async def _unreachable(record: Record, error: Unreachable, timeout_s: float) -> Condition:
    """Return how a machine is that does not answer: its driver may know why."""
    found = Condition(record, "Unreachable", error=str(error))
    if record.state != "ready":
        return found
    try:
        async with asyncio.timeout(timeout_s):
            state = await driver(record.driver).state(record)
    except (SwarmError, TimeoutError):
        return found
    if state not in _POWERLESS:
        return found
    return Condition(record, _POWERLESS[state], error=f"{_REASONS[state]} {record.name}")


def condition(record: Record, info: dict[str, Any]) -> Condition:
    """Return how a machine is that answers over SSH, from what its node says of itself."""
    if record.state != "ready" and not info.get("NodeID"):
        return Condition(record, record.state.capitalize(), info, record.error)
    if not info:
        return Condition(
            record, "Stopped", error="swarmd does not answer there: swarmctl machine logs " + record.name
        )
    if record.role and not info.get("NodeID"):
        return Condition(
            record,
            "Outside",
            info,
            "its node belongs to no cluster: swarmctl machine provision " + record.name,
        )
    if info.get("Error"):
        return Condition(record, "Error", info, str(info["Error"]))
    if info.get("NodeID") and not info.get("Connected"):
        return Condition(record, "Disconnected", info)
    return Condition(record, "Running", info)
