"""Which container does a person mean, and how is its node asked?"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import (
    ContainerInput,
    ContainerOutput,
    ContainerQuestion,
    ContainerRequest,
    ListContainers,
)
from swarm.api.v1.objects_pb2 import Task
from swarm.cli.connect import Connection
from swarm.errors import Ambiguous, FailedPrecondition, InvalidArgument, NameConflict, NotFound
from swarm.model.task_state import RUNNING

VIEWING = frozenset({"list", "inspect", "top", "stats", "wait", "list_volumes", "logs", "disk", "events"})


@dataclass(frozen=True, slots=True)
class Target:
    """A container and where it is."""

    container_id: str
    node_id: str
    plain: bool = False  # of no task


class NowhereFound(NotFound):
    """There is no such container: every node was asked."""


def find_container(conn: Connection, ref: str, *, noun: str = "container") -> Target:
    """Return the container that `ref` names: a task's id, its beginning, `web.1`, or a service.

    Of a service it is the one that runs in the lowest slot. A container without a task has a name or id;
    `NAME@NODE` where several nodes have one of that name. A service that was made later has not taken that
    name away, except where the `noun` is service. Raises NotFound, Ambiguous, FailedPrecondition.
    """
    ref = ref.removeprefix("/")  # as Docker's `inspect` writes names
    try:
        task = conn.control.GetTask(c.GetTaskRequest(ref=ref)).task
    except (NotFound, InvalidArgument):
        service = _service_id(conn, ref)
        if not service:
            return find_plain(conn, ref)
        if noun == "container" and (plain := find_named(conn, ref)):
            return plain
        task = _running_task(conn, service, ref)
    if not task.node_id:
        raise FailedPrecondition(f"task {ref} is on no node yet; `swarmctl task why {ref}` says why")
    return Target(task.id, task.node_id)


def find_plain(conn: Connection, ref: str) -> Target:
    """Return the container without a task that `ref` names; raises NotFound, Ambiguous, Unavailable."""
    ref = ref.removeprefix("/")
    name, answers = _asked_for(conn, ref)
    found = [one for one in answers if one.HasField("container")]
    exact = [one for one in found if name in (one.container.name, one.container.id)] or found
    if exact:
        return _one_of(exact, ref)
    notices = [one.notice for one in answers if one.HasField("notice")]
    silent = f" Not every node could be asked: {'; '.join(notices)}" if notices else ""
    raise (NotFound if silent else NowhereFound)(
        f'no container, task or service "{ref}"; `swarmctl container ls --all` lists the containers.{silent}'
    )


def find_named(conn: Connection, name: str) -> Target | None:
    """Return the container without a task that has this name, if there is one; raises Ambiguous."""
    _, answers = _asked_for(conn, name)
    named = [one for one in answers if one.HasField("container") and one.container.name == name]
    return _one_of(named, name) if named else None


def _asked_for(conn: Connection, ref: str) -> tuple[str, list[ContainerOutput]]:
    """Return the name in NAME[@NODE], and what the nodes say of containers without a task called so."""
    name, at, node = ref.rpartition("@")
    name, nodes = (name, node_ids(conn, [node])) if at else (ref, [])
    return name, list(ask(conn, ContainerRequest(list=ListContainers(all=True, refs=[name])), nodes))


def _one_of(found: Sequence[ContainerOutput], ref: str) -> Target:
    if len(found) == 1:
        return Target(found[0].container.id, found[0].node_id, plain=True)
    places = ", ".join(sorted(f"{one.container.id[:12]} on node {one.node_id}" for one in found))
    raise Ambiguous(f'"{ref}" may be any of {len(found)} containers ({places}): write NAME@NODE')


def check_new_name(conn: Connection, name: str) -> None:
    """Refuse a name by which commands would reach a task's container instead; raises NameConflict."""
    with suppress(NotFound, InvalidArgument, Ambiguous):  # the last: of ids
        if conn.control.GetService(c.GetServiceRequest(ref=name)).service.spec.annotations.name == name:
            raise NameConflict(f'"{name}" means the service of that name: choose another name')
    with suppress(NotFound, InvalidArgument):
        if "." in name:  # else it is the beginning of an id, by chance
            task = conn.control.GetTask(c.GetTaskRequest(ref=name)).task
            raise NameConflict(f'"{name}" means the task {task.id} of a service: choose another name')


def _service_id(conn: Connection, ref: str) -> str:
    try:
        return str(conn.control.GetService(c.GetServiceRequest(ref=ref)).service.id)
    except (NotFound, InvalidArgument):
        return ""


def _running_task(conn: Connection, service_id: str, ref: str) -> Task:
    filters = c.Filters(service_ids=[service_id], desired_states=[RUNNING])
    tasks = conn.control.ListTasks(c.ListTasksRequest(filters=filters)).tasks
    running = [task for task in tasks if task.status.state == RUNNING]
    if not running:
        raise FailedPrecondition(f"no task of service {ref} runs; `swarmctl service why {ref}` says why")
    found: Task = min(running, key=lambda task: (task.slot, task.node_id))
    return found


def node_ids(conn: Connection, refs: Sequence[str]) -> list[str]:
    """Return the ids of nodes named by id, beginning of an id or hostname."""
    return [conn.control.GetNode(c.GetNodeRequest(ref=ref)).node.id for ref in refs]


def question(request: ContainerRequest, nodes: Sequence[str]) -> ContainerInput:
    """Return the first message of a conversation."""
    return ContainerInput(question=ContainerQuestion(node_ids=nodes, request=request))


def ask(
    conn: Connection,
    request: ContainerRequest,
    nodes: Sequence[str],
    more: Iterable[ContainerInput] = (),
    *,
    timeout_s: float | None = None,
) -> Iterator[ContainerOutput]:
    """Yield the answers of some nodes (none given: of all)."""
    verb = request.WhichOneof("verb")
    method = conn.containers.View if verb in VIEWING else conn.containers.Operate

    def inputs() -> Iterator[ContainerInput]:
        yield question(request, nodes)
        yield from more

    answers: Iterator[ContainerOutput] = method(inputs(), timeout=timeout_s)
    return answers


def ask_one(conn: Connection, target: Target, request: ContainerRequest) -> list[ContainerOutput]:
    """Return everything that the node of one container answers."""
    request.container_id = target.container_id
    return list(ask(conn, request, [target.node_id]))


class Notices:
    """Says on stderr which nodes could not answer, and remembers that there were any."""

    def __init__(self) -> None:
        self.any = False

    def filter(self, answers: Iterator[ContainerOutput]) -> Iterator[ContainerOutput]:
        """Yield what is no notice."""
        for answer in answers:
            if answer.HasField("notice"):
                self.add(answer.notice)
            else:
                yield answer

    def add(self, notice: str) -> None:
        """Say one more thing that is not known."""
        self.any = True
        click.echo(f"Warning: {notice}", err=True)

    @property
    def exit_code(self) -> int:
        """What a command that asked several nodes ends with."""
        return 1 if self.any else 0


def only(answers: Sequence[ContainerOutput], kind: str) -> Any:
    """Return the one answer of a kind."""
    return next(getattr(answer, kind) for answer in answers if answer.HasField(kind))
