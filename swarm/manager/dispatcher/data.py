"""Which secrets and configs must a node have, and what changed among them? Pure but for its memory.

A node has what its tasks need from the moment they are assigned until they have ended or are told to end,
and the certificates that its HTTP proxy serves.
Secrets and configs never change but for their labels, which no node needs: each is sent once a session.
What a driver gives is for one task, comes when the driver answers, and is needed until the task runs.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.manager.store.tables import ReadView
from swarm.model.file_references import data_ids
from swarm.model.secret_drivers import of_task_key, task_key
from swarm.model.task_state import RUNNING

NONE: frozenset[str] = frozenset()
_PROXY = "http proxy"  # no task has such an id


class TaskValues(Protocol):
    """What the drivers of secrets have for the tasks of one agent."""

    def told(self, view: ReadView, secret: Secret, task_id: str) -> Secret | None:
        """Return what to send to the agent, None as long as the driver has not answered; it is asked."""

    def drop(self, key: str) -> None:
        """Forget the answer for what `task_key` returned, and ask no more."""

    def close(self) -> None:
        """Forget everything."""


class NoValues:
    """A manager that asks no drivers: tasks wait for another one."""

    def told(self, view: ReadView, secret: Secret, task_id: str) -> Secret | None:
        """See TaskValues."""
        return None

    def drop(self, key: str) -> None:
        """See TaskValues."""

    def close(self) -> None:
        """See TaskValues."""


def needed(view: ReadView, task: Task) -> frozenset[str]:
    """Return by which ids the node of a task is sent the secrets and configs that it needs for it now."""
    if task.status.state > RUNNING or task.desired_state > RUNNING:
        return NONE
    container = task.spec.container
    if not container.secrets and not container.configs:
        return NONE
    ids = data_ids(container)
    driven = frozenset(one for one in ids if _has_driver(view, one))
    if not driven:
        return ids
    asked_for = frozenset(task_key(one, task.id) for one in driven)
    # A container that runs has its files and keeps them: nobody is asked again for a new session.
    return (ids - driven) | asked_for if task.status.state < RUNNING else ids - driven


def _has_driver(view: ReadView, data_id: str) -> bool:
    secret = view.secrets.get(data_id)
    return secret is not None and secret.spec.HasField("driver")


class DataSet:
    """The secrets and configs that one agent was told in one session."""

    def __init__(self, values: TaskValues) -> None:
        self._values = values
        self._needs: dict[str, frozenset[str]] = {}  # by task; only tasks that need something
        self._users: Counter[str] = Counter()  # how many tasks need one
        self._sent: set[str] = set()
        self._news: set[str] = set()  # what was sent, and is different now

    def reset(self, view: ReadView, tasks: Iterable[Task]) -> None:
        """Begin anew: the agent has nothing, and these are its tasks."""
        self._values.close()
        self._needs.clear()
        self._users.clear()
        self._sent.clear()
        self._news.clear()
        for task in tasks:
            self.note(view, task.id, task)

    def note(self, view: ReadView, task_id: str, task: Task | None) -> None:
        """Note what a task needs now; None: it is not on the node any more."""
        self._swap(task_id, needed(view, task) if task is not None else NONE)

    def note_answer(self, key: str) -> None:
        """Note that a driver says something else than the agent was told."""
        self._news.add(key)

    def _swap(self, user: str, now: frozenset[str]) -> None:
        before = self._needs.pop(user, NONE)
        if now:
            self._needs[user] = now
        for data_id in now - before:
            self._users[data_id] += 1
        for data_id in before - now:
            self._users[data_id] -= 1
            if not self._users[data_id]:
                del self._users[data_id]
                self._values.drop(data_id)

    def note_certificates(self, ids: frozenset[str]) -> None:
        """Note what the HTTP proxy of the node needs now."""
        self._swap(_PROXY, ids)

    def take_new(self, view: ReadView) -> list[Secret | Config]:
        """Return what the agent needs and was not told yet, without what it never reads.

        What does not exist any more is sent without data, so that the agent does not wait for it.
        """
        news, self._news = self._news, set()
        fresh = sorted(self._users.keys() - (self._sent - news))
        found = {data_id: self._for_agent(view, data_id) for data_id in fresh}
        told = {data_id: item for data_id, item in found.items() if item is not None}
        self._sent.update(told)
        return list(told.values())

    def _for_agent(self, view: ReadView, data_id: str) -> Secret | Config | None:
        secret_id, task_id = of_task_key(data_id)
        if not task_id:
            return _for_agent(view, data_id)
        secret = view.secrets.get(secret_id)
        return self._values.told(view, secret, task_id) if secret is not None else Secret(id=data_id)

    def take_unneeded(self) -> list[str]:
        """Return the ids of what the agent was told and no task needs any more."""
        unneeded = sorted(self._sent - self._users.keys())
        self._sent.difference_update(unneeded)
        return unneeded


def _for_agent(view: ReadView, data_id: str) -> Secret | Config:
    secret, config = view.secrets.get(data_id), view.configs.get(data_id)
    if config is not None:
        copy = Config(id=data_id)
        copy.spec.CopyFrom(config.spec)
        copy.spec.annotations.ClearField("labels")
        return copy
    sent = Secret(id=data_id)
    if secret is not None:
        sent.spec.CopyFrom(secret.spec)
        sent.spec.annotations.ClearField("labels")
    return sent
