"""Doing what somebody asks of the files that a container changed: list them, export all, make an image."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

import structlog

from swarm.agent.container import NodeFacts, template_context
from swarm.agent.containers.commit import committed
from swarm.agent.containers.conversation import Conversation
from swarm.agent.containers.pausing import Pausing
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import (
    CommittedImage,
    ContainerOutput,
    ContainerRequest,
    ContainerSummary,
    PathChange,
    PathChanges,
)
from swarm.clock import Clock, timestamp
from swarm.errors import FailedPrecondition, NotFound, SwarmError
from swarm.runtime.base import RuntimeDriver
from swarm.runtime.changes import Change, ChangeKind
from swarm.runtime.images.base import ImageStore

log = structlog.get_logger(__name__)

VERBS = frozenset({"diff", "export", "commit"})
CHANGES_AT_ONCE = 200  # of up to 4096 bytes each, in a message
_KINDS = {
    ChangeKind.CHANGED: PathChange.KIND_CHANGED,
    ChangeKind.ADDED: PathChange.KIND_ADDED,
    ChangeKind.DELETED: PathChange.KIND_DELETED,
}


Measure = Callable[[ContainerSummary], Awaitable[None]]


class PlainOnes(Protocol):
    """The containers of this node that belong to no task."""

    measure: Measure  # of those that they describe themselves

    def tell(self, container_id: str, event: str, attributes: Mapping[str, str] | None = None) -> None:
        """Hear what was done with a container, plain or not."""


class FileRequests:
    """Answers requests; raises SwarmErrors, which the caller gets."""

    def __init__(
        self,
        driver: RuntimeDriver,
        images: ImageStore,
        records: Callable[[], Mapping[str, TaskRecord]],
        clock: Clock,
        facts: Callable[[], NodeFacts],
        plain: PlainOnes,
        pausing: Pausing,
    ) -> None:
        """`records` has all containers, those without a task, which `plain` knows, in the form of tasks."""
        self._driver = driver
        self._images = images
        self._records = records
        self._clock = clock
        self._facts = facts
        self._pausing = pausing
        self._tell = plain.tell
        plain.measure = self.measure

    def takes(self, request: ContainerRequest) -> bool:
        """Whether a request is to be answered here."""
        return request.WhichOneof("verb") in VERBS

    def leave_to_others(self, container_id: str) -> bool:
        """Hear that people paused a container, or let it go on; whether it stood still for a commit."""
        return self._pausing.leave_to_others(container_id)

    async def answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        """Do what is asked and say the last word."""
        container_id = request.container_id
        if await self._driver.inspect(container_id) is None:
            known = container_id in self._records()
            reason = "never ran: it has no files yet" if known else "is not on this node"
            raise (FailedPrecondition if known else NotFound)(f"container {container_id} {reason}")
        verb = request.WhichOneof("verb")
        try:
            if verb == "diff":
                await self._diff(container_id, conversation)
            elif verb == "export":
                async with aclosing(self._driver.export(container_id)) as chunks:  # type: ignore[type-var]
                    async for chunk in chunks:
                        await conversation.send_chunks(chunk)
                self._tell(container_id, "export", {})
            else:
                await self._commit(request, conversation)
        except OSError as error:
            raise FailedPrecondition(f"this node cannot store it: {error.strerror}") from error
        await conversation.send(ContainerOutput(done=True))

    async def measure(self, found: ContainerSummary) -> None:
        """Say what a container takes on the disk; nothing where its driver cannot tell."""
        try:
            written = await self._driver.disk_bytes(found.id, output=False)
        except SwarmError:  # it never ran, or went
            return
        found.written_bytes = written
        found.total_bytes = written + self._images.image_bytes(found.id)

    async def _diff(self, container_id: str, conversation: Conversation) -> None:
        found: list[PathChange] = []
        async with aclosing(self._driver.changes(container_id)) as changes:  # type: ignore[type-var]
            async for one in changes:
                found.append(_as_message(one))
                if len(found) == CHANGES_AT_ONCE:
                    await conversation.send(ContainerOutput(changed=PathChanges(changes=found)))
                    found = []
        await conversation.send(ContainerOutput(changed=PathChanges(changes=found)))

    async def _commit(self, request: ContainerRequest, conversation: Conversation) -> None:
        container_id, wanted = request.container_id, request.commit
        record = self._records().get(container_id)
        if record is None:
            raise NotFound(f"there is no container {container_id} on this node")
        task = record.task
        created = timestamp(self._clock.now_ns()).ToJsonString()

        def configure(base: bytes, diff_id: str) -> bytes:
            return committed(base, diff_id, wanted, task, template_context(task, self._facts()), created)

        layer = self._layer(container_id, pause=wanted.pause)
        async with self._images.commit(container_id, layer, configure) as (digest, archive):
            about = CommittedImage(digest=digest, base=task.spec.container.image)
            await conversation.send(ContainerOutput(committed=about))
            async with aclosing(archive) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    await conversation.send_chunks(chunk)
        log.info("agent.container_committed", task_id=container_id, digest=digest)
        self._tell(container_id, "commit", {"comment": wanted.message})

    async def _layer(self, container_id: str, *, pause: bool) -> AsyncIterator[bytes]:
        """Yield what a container changed; while it is read, the container gets no time."""
        async with AsyncExitStack() as stack:
            if pause:
                try:
                    await stack.enter_async_context(self._pausing.paused(container_id))
                except FailedPrecondition as error:
                    reason = f"{error}; --pause=false reads its files while it runs"
                    raise FailedPrecondition(reason) from error
            async with aclosing(self._driver.layer(container_id)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    yield chunk


def _as_message(one: Change) -> PathChange:
    return PathChange(kind=_KINDS[one.kind], path=one.path)


async def removal(container_id: str, measure: Measure) -> ContainerOutput:
    """Return what is to be told of a container once it is removed: also what it has written until now."""
    found = ContainerSummary(id=container_id)
    await measure(found)
    written = found.written_bytes if found.HasField("written_bytes") else None
    return ContainerOutput(removed=container_id, removed_bytes=written)
