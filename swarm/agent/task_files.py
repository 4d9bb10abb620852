"""The secrets and configs of this node's tasks: what the managers sent, and the files made of it.

What they sent is kept in memory only. After a restart it is not there until a manager sends it again: tasks
that run keep their files, and one that is to start waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from swarm.agent.assignments import DataChanges
from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.errors import TaskRejected, Unavailable
from swarm.model.file_references import FileReference, file_references
from swarm.model.secret_drivers import task_key
from swarm.model.templates import TemplateContext, Unfilled, expand, expand_bytes
from swarm.model.validate_data import data_of
from swarm.runtime.base import BindMount, ContainerConfig
from swarm.runtime.memory_files import MemoryFile, MemoryFiles

log = structlog.get_logger(__name__)

VARIABLE = "SWARM_TASK_FILES"  # where a process without a container finds them
Data = Mapping[str, Secret | Config]


def task_files(task: Task, context: TemplateContext, data: Data) -> tuple[MemoryFile, ...]:
    """Return the files of a task, templates filled in.

    Raises Unavailable while something has not come yet, and TaskRejected for what is gone or cannot be
    filled in. No error shows anything of a secret.
    """
    references = file_references(task.spec.container)
    found = {one: _present(one, data, task.id) for one in references}
    filled = replace(context, functions=_functions(task, context, found))
    return tuple(
        MemoryFile(one.target, _contents(one, item, filled), one.uid, one.gid, one.mode)
        for one, item in found.items()
    )


def _present(one: FileReference, data: Data, task_id: str) -> Secret | Config:
    item = data.get(task_key(one.id, task_id)) or data.get(one.id)
    if item is None:
        raise Unavailable(f"{one} is not yet on this node: it waits for a manager to send it")
    if isinstance(item, Secret) and item.problem:
        problem = f"{one}: {item.problem}"
        raise TaskRejected(problem) if item.refused else Unavailable(problem)
    if not data_of(item.spec):
        raise TaskRejected(f"{one} does not exist any more")
    return item


def _contents(one: FileReference, item: Secret | Config, context: TemplateContext) -> bytes:
    data = data_of(item.spec)
    if not item.spec.template_driver:
        return data
    try:
        return expand_bytes(data, context)
    except Unfilled as problem:
        where = f"line {problem.line} of {one}, which is a template"
        if isinstance(item, Secret):  # the reason may quote from it
            raise TaskRejected(f"a placeholder in {where}, cannot be filled in") from None
        raise TaskRejected(f"{where}: {problem}") from None


def _functions(
    task: Task, context: TemplateContext, found: Mapping[FileReference, Secret | Config]
) -> Mapping[str, Callable[[str], str]]:
    def looked_up(kind: str) -> Callable[[str], str]:
        mine = {one: item for one, item in found.items() if one.kind == kind}
        # By the name of the file, as in Swarm, or by that of the object.
        by_name = {one.name: item for one, item in mine.items()}
        by_name |= {one.target.rpartition("/")[2]: item for one, item in mine.items()}
        by_name |= {one.target: item for one, item in mine.items()}

        def get(name: str) -> str:
            if name not in by_name:
                raise TaskRejected(
                    f'a placeholder means the {kind} "{name[:64]}", which the task does not have'
                )
            return data_of(by_name[name].spec).decode(errors="surrogateescape")

        return get

    def variable(name: str) -> str:
        for one in task.spec.container.env:
            key, equals, value = one.partition("=")
            if equals and expand(key, context) == name:
                return expand(value, context)
        raise TaskRejected(f'a placeholder means the variable "{name[:64]}", which the task does not have')

    return {"secret": looked_up("secret"), "config": looked_up("config"), "env": variable}


def with_files(
    config: ContainerConfig, references: Sequence[FileReference], place: Path, *, isolated: bool
) -> ContainerConfig:
    """Return the config of a container that sees its files, which are at `place`.

    Without a container nothing can be put at a path: a variable says where they are.
    """
    if not isolated:
        return replace(config, env=(*config.env, f"{VARIABLE}={place}"))
    mounts = [
        BindMount(str(place / one.target.lstrip("/")), one.target, read_only=True, relabel="Z")
        for one in references
    ]
    return replace(config, mounts=(*config.mounts, *mounts))


class TaskFiles:
    """Shell around the above."""

    def __init__(self, files: MemoryFiles, isolated: Callable[[], Awaitable[bool]]) -> None:
        """`isolated` tells whether this node runs containers, and not plain processes."""
        self._files = files
        self._isolated = isolated
        self._data: dict[str, Secret | Config] = {}

    def apply(self, changes: DataChanges) -> None:
        """Take what a manager sent."""
        if changes.complete:
            self._data.clear()
        self._data.update((item.id, item) for item in changes.put)
        for data_id in changes.drop:
            self._data.pop(data_id, None)

    async def add_to(self, config: ContainerConfig, task: Task, context: TemplateContext) -> ContainerConfig:
        """Make the files of a task and return the config of a container that sees them; as `task_files`."""
        references = file_references(task.spec.container)
        if not references:
            return config
        place = await asyncio.to_thread(self._files.find, task.id)
        if place is None:
            files = task_files(task, context, self._data)
            place = await asyncio.to_thread(self._files.make, task.id, files)
        return with_files(config, references, place, isolated=await self._isolated())

    async def wipe(self, task: Task) -> None:
        """Leave nothing of the files of a task; raises OSError."""
        if file_references(task.spec.container):
            await asyncio.to_thread(self._files.wipe, task.id)

    async def keep_only(self, held: Callable[[], Collection[str]]) -> None:
        """Leave nothing of the files of tasks that this node does not have: of an agent that was killed."""
        for task_id in await asyncio.to_thread(self._files.task_ids):
            if task_id in held():  # asked for each: tasks may come meanwhile
                continue
            log.warning("agent.unknown_files_found", task_id=task_id)
            await asyncio.to_thread(self._files.wipe, task_id)
