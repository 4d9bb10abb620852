"""Doing what somebody asks of this node's containers."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from swarm.agent.containers.conversation import Conversation
from swarm.agent.containers.execs import Execs
from swarm.agent.containers.files import FileRequests, removal
from swarm.agent.containers.summary import details, is_to_go, sample, shown_places, shown_process, summary
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import (
    ContainerOutput,
    ContainerRequest,
    ContainerSummary,
    ExecOptions,
    ListContainers,
    PathInfo,
    ProcessList,
    PruneContainers,
    SampleList,
    StopContainer,
)
from swarm.clock import SECOND, Clock
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.model.task import task_name
from swarm.runtime.base import ContainerInfo, ContainerState, RuntimeDriver
from swarm.runtime.images.base import ImageConfig

log = structlog.get_logger(__name__)

SAMPLE_PERIOD_S = 1.0
DEFAULT_GRACE_S = 10.0
SHOWN = frozenset({ContainerState.RUNNING})


class PlainOnes(Protocol):
    """The containers of this node that belong to no task."""

    def records(self) -> Mapping[str, TaskRecord]:
        """Return all in the form of tasks, by id."""

    def tell(self, container_id: str, event: str, attributes: Mapping[str, str] | None = None) -> None:
        """Hear what was done with a container, plain or not."""

    async def summaries(self, *, everything: bool, refs: tuple[str, ...]) -> list[ContainerSummary]:
        """Return a line about each, or about those that `refs` name."""

    def image_of(self, container_id: str) -> ImageConfig | None:
        """Return what the image of a container says, plain or not; None when it is not known."""

    async def prune(self, wanted: PruneContainers) -> list[ContainerOutput]:
        """Remove those that do not run and are meant; return what is to be told of each."""


class ContainerRequests:
    """Answers every kind of request; raises SwarmErrors, which the caller gets."""

    def __init__(
        self,
        driver: RuntimeDriver,
        records: Callable[[], Mapping[str, TaskRecord]],
        clock: Clock,
        plain: PlainOnes | None = None,
        files: FileRequests | None = None,
    ) -> None:
        """`records` returns the tasks of this node, `plain` knows the containers without one.

        `files` answers what is about the files of both.
        """
        self._driver = driver
        self._tasks = records
        self._plain = plain
        self._clock = clock
        self._execs = Execs(driver)
        self._files = files

    def _records(self) -> Mapping[str, TaskRecord]:
        plain = self._plain.records() if self._plain is not None else {}
        return {**self._tasks(), **plain} if plain else self._tasks()

    async def close(self) -> None:
        """End what people left running."""
        await self._execs.close()

    async def answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        """Do what is asked and say the last word."""
        verb = request.WhichOneof("verb")
        if self._files is not None and self._files.takes(request):
            await self._files.answer(request, conversation)
            return
        match verb:
            case "list":
                await self._list(conversation, request.list)
            case "stats":
                await self._stats(conversation, follow=request.stats.follow)
            case "prune":
                await self._prune(conversation, request.prune)
            case None:
                raise InvalidArgument("this node is of an older version: it does not know the request")
            case _:
                await self._about_one(verb, request, conversation)
                return
        await conversation.send(ContainerOutput(done=True))

    async def _about_one(self, verb: str, request: ContainerRequest, conversation: Conversation) -> None:
        container_id = request.container_id
        info = await self._driver.inspect(container_id)
        if info is None and container_id in self._records():
            raise FailedPrecondition(f"container {self._name(container_id)} was not started yet")
        if info is None:
            raise NotFound(f"there is no container {container_id} on this node")
        if verb == "exec":
            await self._exec(container_id, request.exec, conversation)
            return
        if verb == "wait":
            ended = await self._driver.wait(container_id)
            await conversation.send(ContainerOutput(exit_code=ended.exit_code))
            return
        if verb in {"inspect", "top", "stat", "copy_from"}:
            await self._look(verb, request, info, conversation)
        else:
            await self._change(verb, request, info, conversation)
        await conversation.send(ContainerOutput(done=True))

    async def _exec(self, container_id: str, options: ExecOptions, conversation: Conversation) -> None:
        def ended(code: int) -> None:
            self._tell(container_id, "exec_die", {"exitCode": str(code)})

        program = options.command[0] if options.command else ""  # the rest may be secret
        self._tell(container_id, f"exec_create: {program}")
        self._tell(container_id, f"exec_start: {program}")
        if await self._execs.run(container_id, options, conversation, ended):
            self._tell(container_id, "exec_detach")

    async def _look(
        self, verb: str, request: ContainerRequest, info: ContainerInfo, conversation: Conversation
    ) -> None:
        match verb:
            case "inspect":
                record = self._records().get(info.id)
                shown = details(info, record, self._image_of(info.id))
                shown.places.CopyFrom(shown_places(await self._driver.places(info.id)))
                if request.inspect.size and self._files is not None:
                    await self._files.measure(shown.summary)
                await conversation.send(ContainerOutput(details=shown))
            case "top":
                found = await self._driver.processes(info.id)
                self._tell(info.id, "top")
                processes = ProcessList(processes=[shown_process(one) for one in found])
                await conversation.send(ContainerOutput(processes=processes))
            case "stat":
                kind = await self._driver.path_kind(info.id, request.stat.path)
                path = PathInfo(exists=bool(kind), directory=kind == "directory")
                await conversation.send(ContainerOutput(path=path))
            case "copy_from":
                wanted = request.copy_from
                self._tell(info.id, "archive-path")
                async for data in self._driver.copy_from(info.id, wanted.path, follow=wanted.follow_link):
                    await conversation.send_chunks(data)

    async def _change(
        self, verb: str, request: ContainerRequest, info: ContainerInfo, conversation: Conversation
    ) -> None:
        """Do something to a container. That of a task is not spared: the orchestrator replaces the task."""
        log.info("agent.container_changed_by_hand", task_id=info.id, verb=verb)
        match verb:
            case "stop":
                await self._driver.stop(info.id, self._grace_s(info.id, request.stop), request.stop.signal)
            case "kill":
                await self._kill(info, request.kill.signal)
            case "pause" | "unpause":
                await self._pause(verb, info)
            case "remove":
                await self._remove(info, force=request.remove.force)
            case "copy_to":
                wanted = request.copy_to
                archive = conversation.data()
                await self._driver.copy_to(info.id, wanted.path, archive, keep_owner=wanted.keep_owner)
                self._tell(info.id, "extract-to-dir")

    async def _pause(self, verb: str, info: ContainerInfo) -> None:
        for_commit = self._files is not None and self._files.leave_to_others(info.id)
        if info.state is ContainerState.RUNNING and info.paused is (verb == "pause") and not for_commit:
            what = "is paused already" if info.paused else "is not paused"
            raise FailedPrecondition(f"container {self._name(info.id)} {what}")
        await (self._driver.pause(info.id) if verb == "pause" else self._driver.unpause(info.id))
        self._tell(info.id, verb)

    def _image_of(self, container_id: str) -> ImageConfig | None:
        return self._plain.image_of(container_id) if self._plain is not None else None

    def _tell(self, container_id: str, event: str, attributes: Mapping[str, str] | None = None) -> None:
        if self._plain is not None:
            self._plain.tell(container_id, event, attributes)

    async def _list(self, conversation: Conversation, wanted: ListContainers) -> None:
        for task_id, record in () if wanted.refs or wanted.plain else self._tasks().items():
            info = await self._driver.inspect(task_id)
            if info is not None and (wanted.all or info.state in SHOWN):
                line = summary(info, record, self._image_of(task_id))
                await self._send_line(conversation, line, wanted)
        if self._plain is not None:
            for one in await self._plain.summaries(everything=wanted.all, refs=tuple(wanted.refs)):
                await self._send_line(conversation, one, wanted)

    async def _send_line(
        self, conversation: Conversation, one: ContainerSummary, wanted: ListContainers
    ) -> None:
        if wanted.size and self._files is not None:
            await self._files.measure(one)
        await conversation.send(ContainerOutput(container=one))

    async def _stats(self, conversation: Conversation, *, follow: bool) -> None:
        while True:
            found = [
                (record, await self._driver.sample(task_id)) for task_id, record in self._records().items()
            ]
            now_ns = self._clock.now_ns()
            samples = SampleList(
                samples=[sample(record, one, now_ns) for record, one in found if one is not None]
            )
            await conversation.send(ContainerOutput(samples=samples))
            if not follow:
                return
            await asyncio.sleep(SAMPLE_PERIOD_S)

    async def _prune(self, conversation: Conversation, wanted: PruneContainers) -> None:
        for task_id, record in list(self._tasks().items()):
            info = await self._driver.inspect(task_id)
            labels, image = record.task.spec.container.labels, self._image_of(task_id)
            if info is not None and is_to_go(info, labels, image, wanted):
                gone = ContainerOutput(removed=task_id)
                if self._files is not None:
                    gone = await removal(task_id, self._files.measure)
                await self._driver.remove(task_id)
                await conversation.send(gone)
        for gone in await self._plain.prune(wanted) if self._plain is not None else ():
            await conversation.send(gone)

    async def _kill(self, info: ContainerInfo, signal: str) -> None:
        if info.state is not ContainerState.RUNNING:
            raise FailedPrecondition(f"container {self._name(info.id)} does not run")
        await self._driver.kill(info.id, signal or "SIGKILL")

    async def _remove(self, info: ContainerInfo, *, force: bool) -> None:
        if info.state is not ContainerState.EXITED and not force:
            raise FailedPrecondition(
                f"container {self._name(info.id)} is {info.state.value}: stop it, or remove it by force"
            )
        await self._driver.remove(info.id)

    def _grace_s(self, container_id: str, wanted: StopContainer) -> float:
        if wanted.HasField("grace_ns"):
            return wanted.grace_ns / SECOND
        record = self._records().get(container_id)
        if record is not None and record.task.spec.container.HasField("stop_grace_period_ns"):
            return record.task.spec.container.stop_grace_period_ns / SECOND
        return DEFAULT_GRACE_S

    def _name(self, container_id: str) -> str:
        record = self._records().get(container_id)
        return task_name(record.task) if record is not None else container_id
