"""Which secrets and configs must a node have, and what changed among them? Pure but for its memory.

A node has what its tasks need from the moment they are assigned until they have ended or are told to end.
Secrets and configs never change but for their labels, which no node needs: each is sent once a session.
"""

from collections import Counter
from collections.abc import Iterable

from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.manager.store.tables import ReadView
from swarm.model.file_references import data_ids
from swarm.model.task_state import RUNNING

NONE: frozenset[str] = frozenset()


def needed(task: Task) -> frozenset[str]:
    """Return the ids of the secrets and configs that the node of a task needs for it now."""
    if task.status.state > RUNNING or task.desired_state > RUNNING:
        return NONE
    container = task.spec.container
    return data_ids(container) if container.secrets or container.configs else NONE


class DataSet:
    """The secrets and configs that one agent was told in one session."""

    def __init__(self) -> None:
        self._needs: dict[str, frozenset[str]] = {}  # by task; only tasks that need something
        self._users: Counter[str] = Counter()  # how many tasks need one
        self._sent: set[str] = set()

    def reset(self, tasks: Iterable[Task]) -> None:
        """Begin anew: the agent has nothing, and these are its tasks."""
        self._needs.clear()
        self._users.clear()
        self._sent.clear()
        for task in tasks:
            self.note(task.id, task)

    def note(self, task_id: str, task: Task | None) -> None:
        """Note what a task needs now; None: it is not on the node any more."""
        before = self._needs.pop(task_id, NONE)
        now = needed(task) if task is not None else NONE
        if now:
            self._needs[task_id] = now
        for data_id in now - before:
            self._users[data_id] += 1
        for data_id in before - now:
            self._users[data_id] -= 1
            if not self._users[data_id]:
                del self._users[data_id]

    def take_new(self, view: ReadView) -> list[Secret | Config]:
        """Return what the agent needs and was not told yet, without what it never reads.

        What does not exist any more is sent without data, so that the agent does not wait for it.
        """
        fresh = sorted(self._users.keys() - self._sent)
        self._sent.update(fresh)
        return [_for_agent(view, data_id) for data_id in fresh]

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
