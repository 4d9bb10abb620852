"""Tells tasks that are to stop when nobody is led to them any more: only then they stop.

In the entry that wants a task to stop it ceases to serve. Every node takes it out of its rules and names as
soon as it hears that, and says so; when all have, the task is `withdrawn`. Agents wait for that only so long
(swarm/model/defaults.py): a node that is alive and does not answer must not keep what people stop.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

import structlog

from swarm.api.v1.objects_pb2 import Task
from swarm.errors import TransientError
from swarm.manager.dispatcher.settled import is_settled
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Action, Commit, Watch, WatchOverflow
from swarm.model.task_state import RUNNING

log = structlog.get_logger(__name__)

LOOK_S = 0.1  # how late a task may be noticed while others wait
RETRY_S = 0.5
WRITE_TIMEOUT_S = 2.0


def waits(task: Task) -> bool:
    """Whether a task runs, is to stop, and may still be somewhere in rules or names."""
    stopping = task.desired_state > RUNNING and task.status.state == RUNNING
    return stopping and bool(task.networks) and not task.withdrawn


def ready(view: ReadView, waiting: Mapping[str, int], reached: Callable[[str], int]) -> tuple[str, ...]:
    """Return the tasks that nobody is led to; `waiting` has the entry in which each was told to stop."""
    return tuple(
        task_id
        for task_id, index in waiting.items()
        if (task := view.tasks.get(task_id)) is not None
        and is_settled(view, [one.network_id for one in task.networks], index, reached)
    )


def withdraw(transaction: Transaction, task_ids: Collection[str]) -> None:
    """Write that nobody is led to these tasks, where that still matters."""
    for task_id in task_ids:
        task = transaction.tasks.get(task_id)
        if task is not None and waits(task):
            changed = copy_of(task)
            changed.withdrawn = True
            transaction.update(changed)


class WithdrawalLoop:
    """Runs while this manager leads."""

    def __init__(self, store: Store, reached: Callable[[str], int], changed: asyncio.Event) -> None:
        """`reached` says up to which entry a node has everything in force; `changed`: ask it again."""
        self._store = store
        self._reached = reached
        self._changed = changed
        self._waiting: dict[str, int] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        with self._store.watch(Task) as watch:
            self._begin()
            while True:
                self._changed.clear()
                if task_ids := ready(self._store.view, self._waiting, self._reached):
                    await self._write(task_ids)
                try:
                    self._take_in(await self._next(watch))
                except WatchOverflow:
                    self._begin()

    def _begin(self) -> None:
        view = self._store.view
        self._waiting = {task.id: view.index for task in view.tasks if waits(task)}

    async def _next(self, watch: Watch) -> Iterable[Commit]:
        if not self._waiting:
            return [await anext(watch)]
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._changed.wait()
        return watch.drain()

    def _take_in(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            for event in commit.events:
                task = event.object
                if not isinstance(task, Task):
                    continue
                if event.action is Action.REMOVE or not waits(task):
                    self._waiting.pop(task.id, None)
                else:
                    self._waiting.setdefault(task.id, commit.index)

    async def _write(self, task_ids: Collection[str]) -> None:
        try:
            await self._store.update(lambda transaction: withdraw(transaction, task_ids), WRITE_TIMEOUT_S)
        except TransientError as error:
            log.warning("dispatcher.tasks_not_withdrawn", tasks=len(task_ids), reason=str(error))
            await asyncio.sleep(RETRY_S)
