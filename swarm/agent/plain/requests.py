"""Doing what somebody asks of this node's plain containers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import structlog

from swarm.agent.containers.conversation import Conversation
from swarm.agent.containers.files import Measure, removal
from swarm.agent.containers.summary import defaults, is_to_go, shown_places, summary
from swarm.agent.log_attributes import AttributesOf
from swarm.agent.log_publisher import log_query
from swarm.agent.plain.attach import attend
from swarm.agent.plain.container import Plain
from swarm.agent.plain.containers import PlainContainers
from swarm.agent.system.disk_watch import is_about_space
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import (
    ContainerDetails,
    ContainerOutput,
    ContainerRequest,
    ContainerSummary,
    OutputChunk,
    PruneContainers,
)
from swarm.api.v1.logs_pb2 import LOG_STREAM_STDERR, LOG_STREAM_STDOUT
from swarm.api.v1.plain_pb2 import CreateContainer
from swarm.clock import nanoseconds, timestamp
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, TaskFailure
from swarm.model.plain import restart_problems
from swarm.runtime.base import ContainerInfo, ContainerState, LogLine, RuntimeDriver
from swarm.runtime.images.base import ImageConfig, Pull
from swarm.runtime.processes import signal_number

log = structlog.get_logger(__name__)

DEFAULT_GRACE_NS = 10_000_000_000
FINAL_SIGNALS = frozenset({"", "KILL", "TERM", "9", "15"})

_PULLS = {CreateContainer.PULL_ALWAYS: Pull.ALWAYS, CreateContainer.PULL_NEVER: Pull.NEVER}

# What only plain containers know, and what is done otherwise with them than with those of tasks.
ABOUT_PLAIN = frozenset(
    {"create", "start", "restart", "rename", "update", "connect", "disconnect", "events"}
)
FOR_PLAIN = frozenset({"stop", "kill", "remove", "inspect", "wait", "attach", "logs"})


class PlainRequests:
    """Answers requests; raises SwarmErrors, which the caller gets."""

    def __init__(self, containers: PlainContainers, driver: RuntimeDriver, attributes: AttributesOf) -> None:
        """Serve `containers`, which `driver` runs; `attributes` are what is told of each with its output."""
        self._containers = containers
        self._driver = driver
        self._attributes = attributes
        self.measure: Measure = _not_measured

    def takes(self, request: ContainerRequest) -> bool:
        """Whether a request is to be answered here."""
        verb = request.WhichOneof("verb") or ""
        if verb in {"attach", "logs"}:
            return True
        known = self._containers.get(request.container_id) is not None
        return verb in ABOUT_PLAIN or (verb in FOR_PLAIN and known)

    async def answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        """Do what is asked and say the last word."""
        try:
            await self._answer(request, conversation)
        except TaskFailure as error:
            raise type(error)(self._containers.explain(error)) from error
        except OSError as error:
            if not is_about_space(error):
                raise
            raise FailedPrecondition(self._containers.explain(error)) from error

    async def _answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        verb = request.WhichOneof("verb") or ""
        if verb == "create":
            await self._create(request, conversation)
        elif verb == "attach":
            await self._attach(request, conversation)
            return
        elif verb == "logs":
            await self._logs(request, conversation)
        elif verb == "events":
            async with contextlib.aclosing(self._containers.events.follow(request.events)) as events:  # type: ignore[type-var]
                async for event in events:
                    await conversation.send(ContainerOutput(event=event))
        elif verb == "wait":
            await self._wait(request.container_id, conversation)
            return
        elif verb == "inspect":
            plain = self._containers.must_get(request.container_id)
            details = await plain_details(plain)
            details.places.CopyFrom(shown_places(await self._driver.places(plain.id)))
            if request.inspect.size:
                await self.measure(details.summary)
            await conversation.send(ContainerOutput(details=details))
        else:
            await self._change(verb, request)
        await conversation.send(ContainerOutput(done=True))

    async def summaries(self, *, everything: bool, refs: tuple[str, ...]) -> list[ContainerSummary]:
        """Return a line about each, or about those that `refs` name."""
        chosen = self._containers.named(refs) if refs else self._containers.all()
        found = [await plain_summary(plain) for plain in chosen]
        return [one for one in found if everything or one.state in {"running", "paused", "restarting"}]

    async def prune(self, wanted: PruneContainers) -> list[ContainerOutput]:
        """Remove those that do not run and are meant; return what is to be told of each."""
        removed = []
        for plain in self._containers.all():
            ran = await plain.info()
            info = ran or _never_ran(plain)
            if plain.restarting or not is_to_go(
                info, plain.record.spec.container.labels, plain.image, wanted
            ):
                continue
            gone = ContainerOutput(removed=plain.id, removed_bytes=0)
            if ran is not None:
                gone = await removal(plain.id, self.measure)
            await self._containers.finished(plain.remove(force=False))
            removed.append(gone)
        return removed

    def records(self) -> Mapping[str, TaskRecord]:
        """Return all in the form of tasks."""
        return self._containers.records()

    def image_of(self, container_id: str) -> ImageConfig | None:
        """Return what the image of a container says, plain or not."""
        return self._containers.image_of(container_id)

    def tell(self, container_id: str, event: str, attributes: Mapping[str, str] | None = None) -> None:
        """Hear what was done with a container, plain or not."""
        self._containers.tell(container_id, event, attributes)

    async def _create(self, request: ContainerRequest, conversation: Conversation) -> None:
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        telling = asyncio.create_task(_tell(lines, conversation))
        try:
            pull = _PULLS.get(request.create.pull, Pull.MISSING)
            plain = await self._containers.create(request.create.spec, lines.put_nowait, pull)
        except asyncio.CancelledError:
            telling.cancel()
            raise
        finally:
            # Not cancelled else: gRPC would give up the whole conversation with a line on its way.
            lines.put_nowait(None)
            await asyncio.gather(telling, return_exceptions=True)
        await conversation.send(ContainerOutput(created=plain.id, warnings=await plain.warnings()))

    async def _change(self, verb: str, request: ContainerRequest) -> None:
        plain = self._containers.must_get(request.container_id)
        log.info("agent.plain_container_changed_by_hand", container=plain.name, verb=verb)
        finished = self._containers.finished
        match verb:
            case "start":
                await finished(plain.start())
            case "stop":
                grace = request.stop.grace_ns if request.stop.HasField("grace_ns") else None
                await finished(plain.stop(_grace_s(plain, grace), request.stop.signal))
            case "restart":
                grace = request.restart.grace_ns if request.restart.HasField("grace_ns") else None
                await finished(plain.restart(_grace_s(plain, grace), request.restart.signal))
            case "kill":
                await self._kill(plain, request.kill.signal)
            case "remove":
                await finished(plain.remove(force=request.remove.force))
            case "rename":
                await self._containers.rename(plain, request.rename.name)
            case "connect":
                await self._containers.connect(plain, request.connect.network)
            case "disconnect":
                await self._containers.disconnect(plain, request.disconnect.network)
            case "update":
                await finished(self._update(plain, request))

    async def _kill(self, plain: Plain, signal: str) -> None:
        info = await plain.info()
        if info is None or info.state is not ContainerState.RUNNING:
            raise FailedPrecondition(f"container {plain.name} does not run")
        if signal.upper().removeprefix("SIG") in FINAL_SIGNALS:
            await plain.note_stopped()  # who kills it does not want it back at once
        await self._driver.kill(plain.id, signal or "SIGKILL")
        self._containers.tell(plain.id, "kill", {"signal": str(signal_number(signal or "SIGKILL"))})

    async def _update(self, plain: Plain, request: ContainerRequest) -> None:
        wanted = request.update
        if not (wanted.HasField("restart") or wanted.HasField("resources")):
            raise InvalidArgument("nothing to update: give a restart policy or resources")
        for problem in restart_problems(wanted.restart):
            raise InvalidArgument(problem)
        if plain.record.spec.auto_remove and wanted.restart.condition:
            raise FailedPrecondition(f"container {plain.name} is removed when it ends (--rm)")
        if wanted.HasField("resources"):
            await plain.limit(wanted.resources)
        if wanted.HasField("restart"):
            await plain.change(lambda record: record.spec.restart.CopyFrom(wanted.restart))
        self._containers.tell(plain.id, "update")

    async def _attach(self, request: ContainerRequest, conversation: Conversation) -> None:
        plain = self._containers.get(request.container_id)
        if plain is not None and request.attach.start:
            await self._start_attached(plain, request, conversation)
            return
        info = await self._driver.inspect(request.container_id)
        if info is None or info.state is not ContainerState.RUNNING:
            raise FailedPrecondition(
                f"container {plain.name if plain else request.container_id} does not run: start it first"
            )
        self._containers.tell(request.container_id, "attach")
        await attend(self._driver, request.container_id, request.attach, conversation)

    async def _start_attached(
        self, plain: Plain, request: ContainerRequest, conversation: Conversation
    ) -> None:
        """Start it once the caller is attached, so that they see its first word."""
        info = await plain.info()
        self._containers.tell(plain.id, "attach")
        if info is not None and info.state is ContainerState.RUNNING:
            await attend(self._driver, plain.id, request.attach, conversation)
            return
        attached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        attending: asyncio.Task[None] | None = None

        async def before_start() -> None:
            nonlocal attending
            attending = asyncio.create_task(
                attend(self._driver, plain.id, request.attach, conversation, attached), name="plain-attach"
            )
            # Whoever asked may have left, and nobody takes its outcome then.
            attending.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait((attending, attached), return_when=asyncio.FIRST_COMPLETED)

        try:
            await self._containers.finished(plain.start(before_start))
            if attending is None:
                raise FailedPrecondition(f"container {plain.name} is being started by somebody else")
            await attending
        finally:
            attached.cancel()
            if attending is not None:
                attending.cancel()
                await asyncio.gather(attending, return_exceptions=True)

    async def _wait(self, container_id: str, conversation: Conversation) -> None:
        plain = self._containers.must_get(container_id)
        info = await plain.info()
        try:
            ended = info and await self._driver.wait(container_id)
        except NotFound:
            ended = None  # removed meanwhile
        await conversation.send(ContainerOutput(exit_code=ended.exit_code if ended else 0))

    async def _logs(self, request: ContainerRequest, conversation: Conversation) -> None:
        plain = self._containers.get(request.container_id)
        if plain is not None and await plain.info() is None:
            return  # it never ran
        options = request.logs.options
        attributes = self._attributes(plain.task()) if plain is not None and options.details else None
        lines = self._driver.logs(request.container_id, log_query(options))
        await send_logs(lines, conversation, attributes)


async def send_logs(
    lines: AsyncIterator[LogLine], conversation: Conversation, attributes: Mapping[str, str] | None
) -> None:
    """Send the lines of a container, each with its time and what else is told of it."""
    async for line in lines:
        chunk = OutputChunk(
            stream=LOG_STREAM_STDERR if line.stream == "stderr" else LOG_STREAM_STDOUT,
            data=line.data if line.partial else line.data + b"\n",
            timestamp=timestamp(line.timestamp_ns),
            attributes=attributes,
        )
        await conversation.send(ContainerOutput(chunk=chunk))


async def plain_summary(plain: Plain) -> ContainerSummary:
    """Return one line about a plain container."""
    info = await plain.info() or ContainerInfo(plain.id, ContainerState.CREATED)
    record, task = plain.record, plain.task()
    found = summary(info, TaskRecord(task, task.status), plain.image)
    found.task_id = ""
    found.plain, found.restarts = True, record.restarts
    found.restart.CopyFrom(record.spec.restart)
    if plain.health.state:
        found.health.CopyFrom(plain.health)
    if plain.restarting and found.state not in {"running", "paused"}:
        found.state = "restarting"
    if found.state == "created" or record.error:
        found.error = record.error or found.error
    if info.state is not ContainerState.RUNNING:
        found.pid = 0
    return found


async def plain_details(plain: Plain) -> ContainerDetails:
    """Return everything known of a plain container."""
    found = ContainerDetails(
        summary=await plain_summary(plain),
        plain=plain.record,
        image=defaults(plain.image),
        warnings=await plain.warnings(),
    )
    found.spec.CopyFrom(plain.record.spec.container)
    found.resources.CopyFrom(plain.record.spec.resources)
    return found


async def _not_measured(found: ContainerSummary) -> None:
    """Leave out what a container takes on the disk."""


def _never_ran(plain: Plain) -> ContainerInfo:
    """Return what counts for a prune: as if it had ended when it was made."""
    return ContainerInfo(
        plain.id, ContainerState.EXITED, finished_at_ns=nanoseconds(plain.record.created_at)
    )


def _grace_s(plain: Plain, wanted_ns: int | None) -> float:
    spec = plain.record.spec.container
    own = spec.stop_grace_period_ns if spec.HasField("stop_grace_period_ns") else DEFAULT_GRACE_NS
    return (own if wanted_ns is None else wanted_ns) / 1e9


async def _tell(lines: "asyncio.Queue[str | None]", conversation: Conversation) -> None:
    while (line := await lines.get()) is not None:
        await conversation.send_chunks(f"{line}\n".encode(), "stderr")
