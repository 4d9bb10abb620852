"""What happens to a plain container that has ended, and to one that an agent finds when it starts? Pure."""

from dataclasses import dataclass
from enum import Enum

from swarm.api.v1.plain_pb2 import PlainContainer, PlainRestart
from swarm.clock import SECOND

FIRST_DELAY_NS = SECOND // 10
LONGEST_DELAY_NS = 60 * SECOND
STEADY_NS = 10 * SECOND  # what ran so long did not crash on its start: its next restart comes at once


class Then(Enum):
    """What to do."""

    STAY = "stay"  # ended, until somebody starts or removes it
    RESTART = "restart"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended."""

    exit_code: int
    ran_ns: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and when."""

    then: Then
    delay_ns: int = 0


def after_end(record: PlainContainer, ending: Ending, last_delay_ns: int) -> Decision:
    """Return what follows from the end of a container; `last_delay_ns` is that of its restart before."""
    policy = record.spec.restart
    again = {
        PlainRestart.CONDITION_ALWAYS: True,
        PlainRestart.CONDITION_UNLESS_STOPPED: True,
        PlainRestart.CONDITION_ON_FAILURE: ending.exit_code != 0
        and (not policy.max_retries or record.restarts < policy.max_retries),
    }
    if not record.stopped and not record.removing and again.get(policy.condition, False):
        return Decision(Then.RESTART, next_delay_ns(last_delay_ns, ending.ran_ns))
    return Decision(Then.REMOVE if record.spec.auto_remove or record.removing else Then.STAY)


def next_delay_ns(last_ns: int, ran_ns: int) -> int:
    """Return how long to wait before a restart: twice as long each time that it crashes soon."""
    if ran_ns >= STEADY_NS or not last_ns:
        return FIRST_DELAY_NS
    return min(2 * last_ns, LONGEST_DELAY_NS)


def starts_with_agent(record: PlainContainer) -> bool:
    """Whether a container that is known to have ended is started when the agent starts."""
    if record.spec.restart.condition == PlainRestart.CONDITION_ALWAYS:
        return True
    return record.spec.restart.condition == PlainRestart.CONDITION_UNLESS_STOPPED and not record.stopped
