"""Asks drivers: no more often than needed, few at once, and again after a while where nothing came of it."""

import asyncio
import random
import traceback
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import structlog

from swarm.clock import Clock
from swarm.errors import TaskFailure, TransientError
from swarm.manager.secrets.drivers import Drivers
from swarm.manager.secrets.question import Driver, Question, StoredData
from swarm.manager.store.store import Store
from swarm.model.limits import SECRET_BYTES

log = structlog.get_logger(__name__)

REUSE_S = 30.0  # a thousand tasks of a service that start together are one question
REFUSAL_S = 2.0  # so long a refusal holds: tasks that are replaced at once do not flood the driver
AT_ONCE = 16
REMEMBERED_MAX = 1024  # answers of at most SECRET_BYTES each
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 30.0

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a question: a value, or why there is none."""

    value: bytes = field(default=b"", repr=False)
    problem: str = ""
    refused: bool = False
    until_s: float = 0.0  # so long it holds, by the monotonic clock
    failures: int = 0  # one after the other


class Reader:
    """The questions of one manager."""

    def __init__(self, store: Store, clock: Clock, drivers: Drivers) -> None:
        self._store = store
        self._clock = clock
        self._drivers = drivers
        self._known: OrderedDict[Key, Outcome] = OrderedDict()
        self._turns: dict[Key, asyncio.Lock] = {}
        self._waiting: dict[Key, int] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Close connections, and forget all answers."""
        self._known.clear()
        await self._drivers.close()

    async def read(self, question: Question) -> Outcome:
        """Return what the driver says, or said a moment ago. Raises nothing."""
        try:
            driver = self._drivers.find(question.driver)
            per_task = driver.per_task(question)
        except TaskFailure as error:
            return self._failed(question, None, Outcome(problem=str(error), refused=True))
        except Exception as error:  # noqa: BLE001 -- of other people's code
            return self._failed(question, None, _broken(question, error))
        key = (*question.key, question.task.id if per_task else "")
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            async with self._turns.setdefault(key, asyncio.Lock()):
                known = self._known.get(key)
                if known is not None and self._clock.monotonic_s() < known.until_s:
                    return known
                return await self._ask(key, driver, question, known)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key], self._turns[key]

    async def _ask(self, key: Key, driver: Driver, question: Question, before: Outcome | None) -> Outcome:
        try:
            async with self._slots:
                answer = await driver.read(question, StoredData(self._store.view, question))
        except TaskFailure as error:
            outcome = self._failed(question, before, Outcome(problem=str(error), refused=True))
        except TransientError as error:
            outcome = self._failed(question, before, Outcome(problem=str(error)))
        except Exception as error:  # noqa: BLE001 -- of other people's code
            outcome = self._failed(question, before, _broken(question, error))
        else:
            problem = next(SECRET_BYTES.exceeded("what its driver gave", len(answer.value)), "")
            if not answer.value:
                problem = "what its driver gave is empty"
            if problem:
                outcome = self._failed(question, before, Outcome(problem=problem, refused=True))
            else:
                until_s = self._clock.monotonic_s() + REUSE_S if answer.reusable else 0.0
                outcome = Outcome(answer.value, until_s=until_s)
        self._remember(key, outcome)
        return outcome

    def _failed(self, question: Question, before: Outcome | None, outcome: Outcome) -> Outcome:
        failures = before.failures + 1 if before is not None else 1
        wait_s = REFUSAL_S if outcome.refused else backoff_s(failures)
        if before is None or before.problem != outcome.problem:
            log.warning(
                "secrets.driver_gave_nothing",
                secret_id=question.secret_id,
                driver=question.driver,
                service_id=question.task.service_id,
                refused=outcome.refused,
                reason=outcome.problem,
            )
        return replace(outcome, until_s=self._clock.monotonic_s() + wait_s, failures=failures)

    def _remember(self, key: Key, outcome: Outcome) -> None:
        self._known.pop(key, None)
        if outcome.until_s:
            self._known[key] = outcome
        now_s = self._clock.monotonic_s()
        while self._known:
            oldest = next(iter(self._known))
            # Failures are kept a little longer than they hold, so that it is known how many there were.
            if len(self._known) <= REMEMBERED_MAX and now_s < self._known[oldest].until_s + REUSE_S:
                break
            del self._known[oldest]


def backoff_s(failures: int) -> float:
    """Return after how long to ask again, with some chance in it: all managers must not come together."""
    most = min(BACKOFF_MIN_S * 2 ** min(failures - 1, 10), BACKOFF_MAX_S)
    return random.uniform(most / 2, most)  # noqa: S311 -- no secret


def _broken(question: Question, error: Exception) -> Outcome:
    # Not what it says, nor with what values: both may be secret.
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = [f"{frame.filename}:{frame.lineno}" for frame in last]
    log.error(
        "secrets.driver_broken",
        driver=question.driver,
        error_type=type(error).__name__,
        where="".join(where),
    )
    return Outcome(problem=f"its driver {question.driver} does not work: {type(error).__name__}")
