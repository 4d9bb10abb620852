"""What drivers have for the tasks of one agent: asked from the moment the agent needs it until it has it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Secret, Task
from swarm.clock import Clock
from swarm.errors import TaskRejected
from swarm.manager.secrets.drivers import Drivers
from swarm.manager.secrets.question import Question, question_for
from swarm.manager.secrets.reader import Outcome, Reader
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.model.secret_drivers import task_key

DRIVER_REST_S = 0.5  # at least so long between two tries


class DriverSecrets:
    """The secrets with drivers at one manager."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._clock = clock
        self._reader = Reader(store, clock, Drivers(clock))

    def of_session(self, tell: Callable[[str], None]) -> "SessionValues":
        """Return what asks for the tasks of one agent; see SessionValues."""
        return SessionValues(self._reader, self._clock, tell)

    async def close(self) -> None:
        """Close connections, and forget all answers."""
        await self._reader.close()


@dataclass(slots=True)
class _Asked:
    asking: asyncio.Task[None]
    item: Secret | None = None  # as the agent is to know it


class SessionValues:
    """What the dispatcher calls TaskValues: of one session of one agent."""

    def __init__(self, reader: Reader, clock: Clock, tell: Callable[[str], None]) -> None:
        """`tell` is called with the key of a task and secret when there is something new to be said."""
        self._reader = reader
        self._clock = clock
        self._tell = tell
        self._asked: dict[str, _Asked] = {}

    def told(self, view: ReadView, secret: Secret, task_id: str) -> Secret | None:
        """Return what to send to the agent, None as long as nothing is known; whoever has it is asked."""
        key = task_key(secret.id, task_id)
        known = self._asked.get(key)
        if known is not None:
            return known.item
        task = view.tasks.get(task_id)
        try:
            question = question_for(view, secret, task or Task(id=task_id))
        except TaskRejected as error:
            return _item(key, secret, Outcome(problem=str(error), refused=True))
        asking = asyncio.create_task(self._ask(key, secret, question), name=f"secret-{key}")
        self._asked[key] = _Asked(asking)
        return None

    def drop(self, key: str) -> None:
        """Forget the answer for a task, and ask no more."""
        known = self._asked.pop(key, None)
        if known is not None:
            known.asking.cancel()

    def close(self) -> None:
        """Forget everything."""
        for key in tuple(self._asked):
            self.drop(key)

    async def _ask(self, key: str, secret: Secret, question: Question) -> None:
        while True:
            outcome = await self._reader.read(question)
            item = _item(key, secret, outcome)
            asked = self._asked.get(key)
            if asked is None:
                return
            if item != asked.item:
                asked.item = item
                self._tell(key)
            if not outcome.problem or outcome.refused:
                return
            wait_s = outcome.until_s - self._clock.monotonic_s()
            await asyncio.sleep(max(wait_s, DRIVER_REST_S))


def _item(key: str, secret: Secret, outcome: Outcome) -> Secret:
    item = Secret(id=key, problem=outcome.problem, refused=outcome.refused)
    item.spec.annotations.name = secret.spec.annotations.name
    item.spec.template_driver = secret.spec.template_driver
    item.spec.secret_data = outcome.value
    return item
