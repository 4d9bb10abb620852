"""The shell around an agenda: hear of changes, look at one thing after another, sleep until an alarm."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import ClassVar

from swarm.clock import SECOND, Clock
from swarm.manager.orchestrator.agenda import Agenda
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Kind
from swarm.manager.store.watch import Commit, Watch, WatchOverflow
from swarm.pacing import Pacer

# Alarms are times of day: when somebody sets the clock, a sleeper notices after so long.
CLOCK_CHECK_S = 30.0


class AgendaLoop(ABC):
    """Looks at everything once, then at what changes concern, while this manager leads."""

    kinds: ClassVar[tuple[Kind, ...]]  # changes of these can put something on the agenda

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pacer = Pacer(clock)
        self._agenda = Agenda()

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(*self.kinds) as watch:
            await self._look_at_everything()
            while True:
                try:
                    await self._take_in_waiting(watch)
                    if self._agenda:
                        await self._look_at(self._agenda.take())
                    else:
                        await self._wait(watch)
                except WatchOverflow:
                    await self._look_at_everything()

    @abstractmethod
    async def _look_at_everything(self) -> None:
        """Put all there is on the agenda."""

    @abstractmethod
    def _note(self, commit: Commit) -> None:
        """Put on the agenda what a commit concerns."""

    @abstractmethod
    async def _look_at(self, one_id: str) -> None:
        """Decide what one thing needs, and commit that."""

    async def _take_in_waiting(self, watch: Watch) -> None:
        for commit in watch.drain():
            self._note(commit)
            await self._pacer.breathe()
        self._agenda.ring(self._clock.now_ns())

    async def _wait(self, watch: Watch) -> None:
        """Wait until something changes, or until the next alarm."""
        alarm_ns = self._agenda.next_alarm_ns()
        rest_s = None
        if alarm_ns is not None:
            rest_s = min(CLOCK_CHECK_S, max(0.0, (alarm_ns - self._clock.now_ns()) / SECOND))
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                self._note(await anext(watch))
