"""What is a driver asked, and what does it answer? Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from swarm.api.v1.objects_pb2 import Secret, Task
from swarm.api.v1.specs_pb2 import SecretDriver
from swarm.errors import TaskRejected
from swarm.manager.store.tables import ReadView
from swarm.model.data_versions import family_of
from swarm.model.secret_drivers import named_data
from swarm.model.task import task_name
from swarm.model.templates import TemplateContext, expand


@dataclass(frozen=True, slots=True)
class ForTask:
    """The task that a secret is for."""

    id: str
    name: str
    image: str
    service_id: str
    service_name: str
    service_labels: Mapping[str, str]
    hostname: str  # as its service says it, placeholders and all
    node_id: str


@dataclass(frozen=True, slots=True)
class Question:
    """One secret for one task; placeholders in the options are filled in."""

    secret_id: str
    secret_name: str
    secret_labels: Mapping[str, str]
    driver: str
    options: Mapping[str, str]
    task: ForTask

    @property
    def key(self) -> tuple[object, ...]:
        """Return what an answer holds for: questions with the same key are one, but for the task."""
        return (self.secret_id, self.driver, tuple(sorted(self.options.items())))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a driver gave."""

    value: bytes = field(repr=False)
    reusable: bool = True  # also later, for the same question


class Lookup(Protocol):
    """What its options ending in -secret and -config name: secrets and configs of the cluster."""

    def secret(self, name: str) -> bytes:
        """Return the data of a secret; raises TaskRejected."""

    def config(self, name: str) -> bytes:
        """Return the data of a config; raises TaskRejected."""


class Driver(Protocol):
    """One kind of place where secrets are kept."""

    def per_task(self, question: Question) -> bool:
        """Whether the answer may depend on the task otherwise than by the options."""

    async def read(self, question: Question, lookup: Lookup) -> Answer:
        """Return a secret.

        Raises TaskRejected when asking again will not help before somebody changes something, and
        Unavailable when it may. What they say is shown to everybody: nothing of the secret may be in it.
        """

    async def close(self) -> None:
        """Close connections."""


class StoredData:
    """A Lookup in the cluster's own store: the versions in force of what a question names."""

    def __init__(self, view: ReadView, question: Question) -> None:
        self._view = view
        driver = SecretDriver(name=question.driver, options=question.options)
        self._named = frozenset(named_data(driver))

    def _check(self, kind: str, name: str) -> None:
        if (kind, name) not in self._named:
            raise TaskRejected(f'its driver asks for the {kind} "{name}", which its options do not name')

    def secret(self, name: str) -> bytes:
        """See Lookup."""
        self._check("secret", name)
        found = self._view.secrets.by_name(name)
        if found is None or not found.spec.secret_data:
            raise TaskRejected(
                f'its driver needs the secret "{name}" of this cluster, which '
                f"{'has a driver itself' if found is not None else 'does not exist'}"
            )
        return found.spec.secret_data

    def config(self, name: str) -> bytes:
        """See Lookup."""
        self._check("config", name)
        found = self._view.configs.by_name(name)
        if found is None:
            raise TaskRejected(f'its driver needs the config "{name}" of this cluster, which does not exist')
        return found.spec.data


def question_for(view: ReadView, secret: Secret, task: Task) -> Question:
    """Return what to ask for a task; raises TaskRejected for a placeholder that cannot be filled in."""
    context = _context(view, task)
    options = {key: expand(value, context) for key, value in secret.spec.driver.options.items()}
    return Question(
        secret_id=secret.id,
        secret_name=family_of(secret.spec.annotations.name),
        secret_labels=dict(secret.spec.annotations.labels),
        driver=secret.spec.driver.name,
        options=options,
        task=ForTask(
            id=task.id,
            name=context.task_name,
            image=task.spec.container.image,
            service_id=task.service_id,
            service_name=context.service_name,
            service_labels=context.service_labels,
            hostname=task.spec.container.hostname,
            node_id=task.node_id,
        ),
    )


def _context(view: ReadView, task: Task) -> TemplateContext:
    """Return what placeholders stand for: the same as on the node of the task."""
    context = TemplateContext(
        service_id=task.service_id,
        service_name=task.service_annotations.name,
        service_labels=dict(task.service_annotations.labels),
        node_id=task.node_id,
        task_id=task.id,
        task_name=task_name(task),
        task_slot=str(task.slot) if task.slot else task.node_id,
    )
    node = view.nodes.get(task.node_id)
    if node is None:
        return context
    about = node.description
    return replace(
        context,
        node_hostname=about.hostname,
        node_os=about.platform.os,
        node_architecture=about.platform.architecture,
    )
